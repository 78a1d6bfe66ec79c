"""A recording as the body of an answer: a file of which a part may be asked for, read in another thread."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import BinaryIO

from quart import Response
from quart.wrappers.response import FileBody


class Recording(FileBody):
    """Closed whenever the asking ends, also in the middle of opening it."""

    buffer_size = 64 << 10

    async def __aenter__(self) -> Recording:
        opening = asyncio.ensure_future(asyncio.to_thread(self._open, Path(self.file_path)))
        try:
            self._sound = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            raise
        self._at = self.begin
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.shield(asyncio.ensure_future(asyncio.to_thread(self._sound.close)))

    async def __anext__(self) -> bytes:
        some = await asyncio.to_thread(self._sound.read, min(self.buffer_size, self.end - self._at))
        self._at += len(some)
        if not some:
            raise StopAsyncIteration
        return some

    async def make_conditional(self, begin: int, end: int | None) -> int:
        """The last bytes can be asked for as well: `Range: bytes=-500` begins at -500."""
        if begin < 0:
            begin, end = max(self.size + begin, 0), None
        return await super().make_conditional(begin, end)

    def _open(self, path: Path) -> BinaryIO:
        sound = path.open("rb")
        sound.seek(self.begin)
        return sound


def _close(opening: asyncio.Future[BinaryIO]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class RecordingResponse(Response):
    file_body_class = Recording
