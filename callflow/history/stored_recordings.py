"""Recordings in an object store, which all nodes read.

A recorder writes into a folder of its machine. A file that has not changed for a while, and that grows no more by what
the history says (its call is over, or another process went on with the next part), is put into the store, and then
deleted here. So nothing has to be remembered: what a process that ended has left is found by the next look of any that
has the folder. Until then the file here is the recording.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

from callflow.config import file_locks
from callflow.config.settings import Settings
from callflow.contracts.errors import BrokenRecording, StoreAway
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.history import recording_rows
from callflow.history.bucket import Bucket
from callflow.history.database import Database
from callflow.history.recording_store import FileSound, Sound, Stored, about
from callflow.history.store import remove_files
from callflow.media import waveform_peaks
from callflow.media.waveform_peaks import Peaks


log = logging.getLogger(__name__)
_warnings: Final = RepeatedWarnings(log, seconds=300.0)

_LOOK_SECONDS: Final = 10.0
_STILL_SECONDS: Final = 10.0
"""A recorder writes every second; the last time, after the end of its call."""
_MOST_PAUSE_SECONDS: Final = 300.0
"""Between two tries while the store is away."""
_FAILURES: Final = 3
"""After so many one after another the others wait for the next look."""
_MANY: Final = 200
_QUESTIONS: Final = 16
"""At the same time."""
_WAV_HEAD: Final = 44


def make(settings: Settings) -> Callable[[Path, Database], StoredRecordings]:
    """Return what makes the store that settings name. Raises ImportError."""
    bucket = Bucket(settings)
    return lambda folder, database: StoredRecordings(
        folder,
        bucket,
        lambda names: recording_rows.finished(database, names),
        look_seconds=_LOOK_SECONDS,
        still_seconds=_STILL_SECONDS,
    )


class StoredRecordings:
    """A folder with recordings that are being made or sent, and a bucket with all others; see `RecordingStore`."""

    def __init__(
        self,
        folder: Path,
        bucket: Bucket,
        finished: Callable[[Sequence[str]], Awaitable[Collection[str]]],
        *,
        look_seconds: float,
        still_seconds: float,
    ) -> None:
        """`finished`: returns those of these files that the history has, and that grow no more. `look_seconds`: between
        two looks at the folder. `still_seconds`: for so long a file must not have changed."""
        self._folder, self._bucket, self._finished = folder, bucket, finished
        self._look_seconds, self._still_seconds = look_seconds, still_seconds
        self.trouble = ""
        self._has_looked = asyncio.Event()
        self._sending: tuple[str, asyncio.Task[None]] | None = None
        self._questions = asyncio.Semaphore(_QUESTIONS)

    async def look(self, names: Collection[str]) -> dict[str, Stored | None]:
        """See `RecordingStore`."""
        here = await asyncio.to_thread(lambda: {name: about(self._folder / name) for name in names})
        found: dict[str, Stored | None] = {name: each for name, each in here.items() if each is not None}

        async def ask(name: str) -> None:
            async with self._questions:
                try:
                    known = await self._bucket.head(name)
                except StoreAway:
                    found[name] = None
                else:
                    if known is not None:
                        found[name] = known

        await asyncio.gather(*(ask(name) for name in names if name not in found))
        return found

    async def find(self, name: str) -> Sound | None:
        """See `RecordingStore`."""
        here = await asyncio.to_thread(about, self._folder / name)
        if here is not None:
            return FileSound(self._folder / name, here, moved=lambda: _StoredSound(self._bucket, name, here))
        known = await self._bucket.head(name)
        return _StoredSound(self._bucket, name, known) if known is not None else None

    async def delete(self, names: Sequence[str]) -> None:
        """See `RecordingStore`. What this process is sending meanwhile is not sent."""
        parts = [part for name in names for part in name.split(",") if Path(part).name == part]
        if self._sending is not None and self._sending[0] in parts:
            self._sending[1].cancel()
            await asyncio.wait({self._sending[1]})
        await asyncio.to_thread(remove_files, parts, self._folder)
        for part in parts:
            await self._bucket.delete(part)
            await self._bucket.delete(_peaks_of(part))

    async def looked(self, seconds: float) -> None:
        """See `RecordingStore`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._has_looked.wait()

    async def run(self) -> None:
        """Look for what is whole and send it, until cancelled; where that fails, it is tried again, less and less
        often."""
        failures = 0
        while True:
            try:
                if failures or not self._has_looked.is_set():
                    await self._bucket.check()
                await self.sweep()
                failures, self.trouble = 0, ""
            except StoreAway as error:
                failures += 1
                self.trouble = f"RECORDINGS STAY ON THIS MACHINE, because {self._bucket.name} cannot be used: {error}"
                _warnings.say("away", "%s; it is tried again", self.trouble)
            except Exception as error:
                failures += 1
                _warnings.say("fault", "recordings cannot be sent to their store; it is tried again", exc_info=error)
            self._has_looked.set()
            await asyncio.sleep(min(self._look_seconds * 2 ** min(failures, 9), _MOST_PAUSE_SECONDS))

    async def sweep(self) -> None:
        """Send what is whole. Raises StoreAway, and what the database raises."""
        names, failed = await asyncio.to_thread(self._still), 0
        for begin in range(0, len(names), _MANY):
            some = names[begin : begin + _MANY]
            for name in sorted(await self._finished(some)):
                try:
                    await self._send_one(name)
                    failed = 0
                except OSError as error:
                    _warnings.say("file", "the recording %s cannot be sent: %s", name, error.strerror)
                except StoreAway:
                    failed += 1
                    if failed == _FAILURES:
                        raise
        if failed:
            raise StoreAway("it does not take some of them")

    def _still(self) -> list[str]:
        """Return the names of recordings that nobody has written to for a while."""
        before, found = time.time() - self._still_seconds, []
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.name.endswith(".wav") and entry.is_file() and entry.stat().st_mtime <= before:
                        found.append(entry.name)
        return sorted(found)

    async def _send_one(self, name: str) -> None:
        task = asyncio.create_task(self._send(name), name="recording to its store")
        self._sending = name, task
        try:
            await asyncio.wait({task})
        finally:
            self._sending = None
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    async def _send(self, name: str) -> None:
        path = self._folder / name
        async with _alone(path) as is_ours:
            size = await asyncio.to_thread(_ready, path) if is_ours else None
            if size is None:
                return
            beside = await asyncio.to_thread(about, waveform_peaks.file_of(path))
            if beside is not None:  # first, so that no recording is there without them
                kind = "application/octet-stream"
                await self._bucket.put(_peaks_of(name), waveform_peaks.file_of(path), beside.size, kind)
            await self._bucket.put(name, path, size, "audio/wav")
            kept = await self._bucket.head(name)
            if kept is None or kept.size != size:
                raise StoreAway("it has not kept what it was given")
            if name not in await self._finished([name]):  # deleted by another process meanwhile, or about to be
                await self._bucket.delete(name)
                await self._bucket.delete(_peaks_of(name))
                return
            await asyncio.to_thread(_remove, path)


class _StoredSound:
    """An object as a sound."""

    file = None

    def __init__(self, bucket: Bucket, name: str, known: Stored) -> None:
        self.about = known
        self._bucket, self._name = bucket, name

    def open(self, begin: int, end: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """See `Sound`."""
        return self._bucket.open(self._name, begin, end)

    async def peaks(self) -> Peaks | None:
        """See `Sound`."""
        kept = await self._bucket.read(_peaks_of(self._name))
        if kept is None:
            return None
        async with self.open(0, min(_WAV_HEAD, self.about.size)) as pieces:
            head = b"".join([piece async for piece in pieces])
        return waveform_peaks.of_kept(head, self.about.size, kept)


@asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[bool]:
    """Hold a file against other processes that have the same folder. Yields whether it is ours."""
    handle = await asyncio.to_thread(_hold, path)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            await asyncio.to_thread(os.close, handle)


def _hold(path: Path) -> int | None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        is_ours = file_locks.hold(handle) and path.exists()  # another may have moved it since it was opened
    except OSError:
        is_ours = False
    if not is_ours:
        os.close(handle)
    return handle if is_ours else None


def _ready(path: Path) -> int | None:
    """Make the peaks that are missing. Returns the size of the recording, in bytes; None: it is gone. Blocking."""
    with contextlib.suppress(OSError, BrokenRecording):
        waveform_peaks.read(path, grows=False)
    found = about(path)
    return found.size if found is not None else None


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    waveform_peaks.remove(path)


def _peaks_of(name: str) -> str:
    return waveform_peaks.file_of(Path(name)).name
