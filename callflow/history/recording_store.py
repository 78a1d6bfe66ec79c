"""Where our own recordings lie: `RecordingStore`, of which there are two.

`RecordingFolder` is the folder in which the recorders write, and nothing else: what another node has is asked of that
one. `history/stored_recordings.py` moves whole recordings from there to an object store that all nodes read.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol
from zlib import adler32

from callflow.history.store import remove_files
from callflow.media.waveform_peaks import Peaks


_PIECE: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of a recording that is there. `size`: bytes. `changed_at`: Unix time, in seconds. `tag`: tells this
    version of it apart."""

    size: int
    changed_at: float
    tag: str


class Sound(Protocol):
    """A recording that can be read."""

    @property
    def about(self) -> Stored: ...

    @property
    def file(self) -> Path | None:
        """The file, where it is one of this machine."""

    def open(self, begin: int, end: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open these bytes of the sound, and yield them in pieces. Raises StoreAway or OSError."""

    async def peaks(self) -> Peaks | None:
        """Return how loud it is, where it is no file; None: that is not known. Raises StoreAway or BrokenRecording."""


class RecordingStore(Protocol):
    """Keeps recordings by the names of their files, such as `CALL.wav` and `CALL-2.wav`."""

    @property
    def trouble(self) -> str:
        """Why recordings do not get where they are to be kept; "": they do."""

    async def look(self, names: Collection[str]) -> dict[str, Stored | None]:
        """Return what is known of each that is there; None: nobody can tell whether it is."""

    async def find(self, name: str) -> Sound | None:
        """Return a recording; None: it is not there. Raises StoreAway."""

    async def delete(self, names: Sequence[str]) -> None:
        """Delete recordings, each of the names may be several with commas between them, and all that is kept beside
        them. Raises StoreAway: some may be left, and it is to be tried again."""

    async def looked(self, seconds: float) -> None:
        """Wait until it is known whether there is trouble, at most so long."""

    async def run(self) -> None:
        """Put what is whole where it is to be kept, until cancelled."""


class FileSound:
    """A file as a sound, read by threads."""

    def __init__(self, file: Path, about: Stored, moved: Callable[[], Sound] | None = None) -> None:
        """`moved`: returns where its sound is once the file is gone; None: nowhere."""
        self.file: Path | None = file
        self.about = about
        self._path, self._moved = file, moved

    @asynccontextmanager
    async def open(self, begin: int, end: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open these bytes. The file is closed in the end, even while it is being opened. Raises OSError."""
        opening = asyncio.ensure_future(asyncio.to_thread(_open, self._path, begin))
        try:
            file = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            raise
        except FileNotFoundError:
            if self._moved is None:
                raise
            async with self._moved().open(begin, end) as pieces:
                yield pieces
            return
        try:
            yield _Pieces(file, end - begin)
        finally:
            await asyncio.shield(asyncio.ensure_future(asyncio.to_thread(file.close)))

    async def peaks(self) -> Peaks | None:
        """Return None: of files they are read with `media/waveform_peaks.py`, and made where they are missing."""
        return None


class _Pieces:
    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file, self._left = file, left

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        some = await asyncio.to_thread(self._file.read, min(_PIECE, self._left))
        self._left -= len(some)
        if not some:
            raise StopAsyncIteration
        return some


class RecordingFolder:
    """Recordings that stay where they are made."""

    trouble = ""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def look(self, names: Collection[str]) -> dict[str, Stored | None]:
        """See `RecordingStore`."""
        found = await asyncio.to_thread(lambda: {name: about(self._folder / name) for name in names})
        return {name: each for name, each in found.items() if each is not None}

    async def find(self, name: str) -> Sound | None:
        """See `RecordingStore`."""
        known = await asyncio.to_thread(about, self._folder / name)
        return FileSound(self._folder / name, known) if known is not None else None

    async def delete(self, names: Sequence[str]) -> None:
        """See `RecordingStore`. What cannot be deleted is logged."""
        await asyncio.to_thread(remove_files, names, self._folder)

    async def looked(self, seconds: float) -> None:
        """Return at once."""

    async def run(self) -> None:
        """Do nothing: recordings stay where they are."""


def about(file: Path) -> Stored | None:
    """Return what is known of a file; None: it is not there, or no file. Blocking."""
    try:
        found = file.stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    tag = f"{found.st_mtime}-{found.st_size}-{adler32(bytes(file.absolute()))}"
    return Stored(found.st_size, found.st_mtime, tag)


def _open(path: Path, begin: int) -> BinaryIO:
    file = path.open("rb")
    file.seek(begin)
    return file


def _close(opening: asyncio.Future[Any]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
