"""The route for recordings on the operators' listener. A file is read in another thread; range requests are
supported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from quart import Quart, Response, send_from_directory
from quart.wrappers.response import FileBody
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from callflow.history.history import History
from callflow.web.console.history_query import whole_number
from callflow.web.responses import error_response, history_not_open, query_parameters


def add_recordings(app: Quart, history: History, *, is_live: Callable[[str], bool]) -> None:
    """Add the route to the app. `is_live`: returns whether a call is live and its recording still growing."""

    @app.get("/api/calls/<call>/recording")
    @query_parameters("part")
    async def recording(call: str) -> Response:
        """Answer the recording of a call, stereo WAV; `?part=2` is the second of a call that was recorded in parts."""
        if not history.is_readable:
            return history_not_open()
        part = whole_number("part", 1, 0, 1 << 31)
        return await send_recording(history, call, part, is_live)


async def send_recording(history: History, call: str, part: int, is_live: Callable[[str], bool]) -> Response:
    """Answer a file of ours, or the range of it that is asked for. `part`: from 1. `is_live`: as for
    `add_recordings`."""
    row = await history.store.conversation(call)
    parts = (row["recording"] or "").split(",") if row is not None else []
    if row is None or not 1 <= part <= len(parts) or not (history.recordings / parts[part - 1]).is_file():
        return error_response(404, "There is no such recording.")
    grows = row["ended_at"] is None or is_live(row["call_id"])
    try:
        answer = await send_from_directory(history.recordings.absolute(), parts[part - 1], conditional=True)
    except RequestedRangeNotSatisfiable:
        size = (history.recordings / parts[part - 1]).stat().st_size
        sentence = f"The recording has {size} bytes, and what Range asks for is not one part of it."
        return error_response(416, sentence, Content_Range=f"bytes */{size}")
    if answer.status_code == 412:
        return error_response(412, "The recording is another one than If-Match asks for.")
    answer.headers["Content-Type"] = "audio/wav"
    answer.headers["Accept-Ranges"] = "bytes"
    answer.headers["Cache-Control"] = "private, no-store" if grows else "private, max-age=600"
    return answer


class RecordingBody(FileBody):
    """A file as the body of a response. The file is closed when the request ends, even while it is being opened."""

    buffer_size = 64 << 10

    async def __aenter__(self) -> RecordingBody:
        opening = asyncio.ensure_future(asyncio.to_thread(self._open, Path(self.file_path)))
        try:
            self._file = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            raise
        self._at = self.begin
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.shield(asyncio.ensure_future(asyncio.to_thread(self._file.close)))

    async def __anext__(self) -> bytes:
        some = await asyncio.to_thread(self._file.read, min(self.buffer_size, self.end - self._at))
        self._at += len(some)
        if not some:
            raise StopAsyncIteration
        return some

    async def make_conditional(self, begin: int, end: int | None) -> int:
        """Send only these bytes. `begin` may be negative: `Range: bytes=-500` begins at -500."""
        if begin < 0:
            begin, end = max(self.size + begin, 0), None
        return await super().make_conditional(begin, end)

    def _open(self, path: Path) -> BinaryIO:
        file = path.open("rb")
        file.seek(self.begin)
        return file


def _close(opening: asyncio.Future[BinaryIO]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class RecordingResponse(Response):
    """An answer of the operators' app."""

    file_body_class = RecordingBody
