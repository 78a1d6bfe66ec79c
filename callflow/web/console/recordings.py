"""The routes for recordings on the operators' listener: the sound, of which ranges can be asked for, and how loud it
is. Files are read in other threads."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final
from zlib import adler32

from quart import Quart, Response, request
from quart.wrappers.response import FileBody
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from callflow.contracts.errors import BrokenRecording, Overloaded
from callflow.history.history import History
from callflow.web.console.history_query import whole_number
from callflow.web.console.recording_peaks import PeakDesk, told
from callflow.web.responses import error_response, history_not_open, large_json_response, query_parameters


_NONE: Final = "There is no such recording."


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

    desk = PeakDesk()

    @app.get("/api/calls/<call>/recording/peaks")
    @query_parameters("part", "after")
    async def recording_peaks(call: str) -> Response:
        """Answer how loud such a recording is over time, so that it can be drawn; `?after=200`: without the first 200
        peaks."""
        if not history.is_readable:
            return history_not_open()
        part, after = whole_number("part", 1, 0, 1 << 31), whole_number("after", 0, 0, 1 << 31)
        file, is_going_on, grows = await _file(history, call, part, is_live)
        try:
            peaks = await desk.read(file, grows=grows) if file is not None else None
        except (FileNotFoundError, BrokenRecording):
            peaks = None
        except Overloaded:
            sentence = "Other long recordings are being looked through: try again in a few seconds."
            return error_response(503, sentence, Retry_After="3")
        if peaks is None:
            return error_response(404, _NONE)
        answer = await large_json_response(lambda: told(call, part, peaks, after, grows=grows))
        answer.headers["Cache-Control"] = _cache(grows=is_going_on)
        return answer


async def send_recording(history: History, call: str, part: int, is_live: Callable[[str], bool]) -> Response:
    """Answer a file of ours, or the range of it that is asked for. `part`: from 1. `is_live`: as for
    `add_recordings`."""
    file, grows, _ = await _file(history, call, part, is_live)
    found = await asyncio.to_thread(_sound, history.recordings / file.name) if file is not None else None
    if found is None:
        return error_response(404, _NONE)
    body, changed_at, tag = found  # Quart's `send_from_directory` would look at the file on the loop
    answer = Response(body, mimetype="audio/wav")
    answer.content_length, answer.last_modified = body.size, datetime.fromtimestamp(changed_at, UTC)
    answer.set_etag(tag)
    unit = request.headers.get("Range", "bytes").partition("=")[0].strip().lower()
    try:
        # RFC 9110, 14.2: a unit that is not known is ignored.
        await answer.make_conditional(request, True, answer.content_length if unit == "bytes" else None)
    except RequestedRangeNotSatisfiable:
        sentence = f"The recording has {body.size} bytes, and what Range asks for is not one part of it."
        return error_response(416, sentence, Content_Range=f"bytes */{body.size}")
    if answer.status_code == 412:
        return error_response(412, "The recording is another one than If-Match asks for.")
    answer.headers["Accept-Ranges"] = "bytes"
    answer.headers["Cache-Control"] = _cache(grows=grows)
    return answer


async def _file(
    history: History, call: str, part: int, is_live: Callable[[str], bool]
) -> tuple[Path | None, bool, bool]:
    """Return the file of a part, whether the call's recording still grows, and whether this part does; None: there is
    no such part."""
    found = await file_of(history, call, part)
    if found is None or not await asyncio.to_thread(found[1].is_file):
        return None, False, False
    row, file = found
    grows = row["ended_at"] is None or is_live(row["call_id"])
    return file, grows, grows and part == len(row["recording"].split(","))


async def file_of(history: History, call: str, part: int) -> tuple[dict[str, Any], Path] | None:
    """Return the row of a call, and where the file of a part of its recording would be; None: there is no such
    part."""
    row = await history.store.conversation(call)
    parts = (row["recording"] or "").split(",") if row is not None else []
    if row is None or not row["recording"] or not 1 <= part <= len(parts):
        return None
    return row, history.recordings / parts[part - 1]


def _sound(file: Path) -> tuple[RecordingBody, float, str] | None:
    """Return the file as a body, when it was changed (Unix time, seconds), and what tells this version of it apart;
    None: it is not there, or no file. Called by threads."""
    try:
        about = file.stat()
        if not stat.S_ISREG(about.st_mode):
            return None
        body = RecordingBody(file)
    except OSError:
        return None
    return body, about.st_mtime, f"{about.st_mtime}-{body.size}-{adler32(bytes(file.absolute()))}"


def _cache(*, grows: bool) -> str:
    return "private, no-store" if grows else "private, max-age=600"


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
