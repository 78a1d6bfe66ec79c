"""The routes for our own recording of one call: the sound, of which ranges can be asked for, and how loud it is. Where
it lies says `callflow.history.recording_store`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, Final

from quart import Quart, Response, request
from quart.wrappers.response import ResponseBody
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from callflow.contracts.errors import BrokenRecording, Overloaded, StoreAway
from callflow.history.history import History
from callflow.history.recording_store import Sound
from callflow.media.waveform_peaks import Peaks
from callflow.web.console.history_query import whole_number
from callflow.web.console.recording_peaks import PeakService, peaks_json
from callflow.web.responses import error_response, history_not_open, large_json_response, query_parameters


_NONE: Final = "There is no such recording."


def add_call_recording(app: Quart, history: History, *, is_live: Callable[[str], bool]) -> None:
    """Add the route to the app. `is_live`: returns whether a call is live and its recording still growing."""

    @app.get("/api/calls/<call>/recording")
    @query_parameters("part")
    async def recording(call: str) -> Response:
        """Answer the recording of a call, stereo WAV; `?part=2` is the second of a call that was recorded in parts."""
        if not history.is_readable:
            return history_not_open()
        part = whole_number("part", 1, 0, 1 << 31)
        return await send_recording(history, call, part, is_live)

    service = PeakService()

    @app.get("/api/calls/<call>/recording/peaks")
    @query_parameters("part", "after")
    async def recording_peaks(call: str) -> Response:
        """Answer how loud such a recording is over time, so that it can be drawn; `?after=200`: without the first 200
        peaks."""
        if not history.is_readable:
            return history_not_open()
        part, after = whole_number("part", 1, 0, 1 << 31), whole_number("after", 0, 0, 1 << 31)
        peaks: Peaks | None
        try:
            sound, is_going_on, grows = await _sound(history, call, part, is_live)
            if sound is not None and sound.file is not None:
                peaks = await service.read(sound.file, grows=grows)
            else:
                peaks = await sound.peaks() if sound is not None else None
        except (FileNotFoundError, BrokenRecording):
            peaks = None
        except StoreAway as error:
            return _away(error)
        except Overloaded:
            sentence = "Other long recordings are being looked through: try again in a few seconds."
            return error_response(503, sentence, Retry_After="3")
        if peaks is None:
            return error_response(404, _NONE)
        answer = await large_json_response(lambda: peaks_json(call, part, peaks, after, grows=grows))
        answer.headers["Cache-Control"] = _cache(grows=is_going_on)
        return answer


async def send_recording(history: History, call: str, part: int, is_live: Callable[[str], bool]) -> Response:
    """Answer a recording of ours, or the range of it that is asked for. `part`: from 1. `is_live`: as for
    `add_call_recording`."""
    try:
        sound, grows, _ = await _sound(history, call, part, is_live)
    except StoreAway as error:
        return _away(error)
    if sound is None:
        return error_response(404, _NONE)
    body = RecordingBody(sound)  # Quart's `send_from_directory` would look at the file on the loop
    answer = Response(body, mimetype="audio/wav")
    answer.content_length, answer.last_modified = body.size, datetime.fromtimestamp(sound.about.changed_at, UTC)
    answer.set_etag(sound.about.tag)
    if sound.file is None:
        answer.timeout = None  # each piece of the store's has a deadline of its own
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


async def _sound(
    history: History, call: str, part: int, is_live: Callable[[str], bool]
) -> tuple[Sound | None, bool, bool]:
    """Return the sound of a part, whether the call's recording still grows, and whether this part does; None: there is
    no such part. Raises StoreAway."""
    found = await file_of(history, call, part)
    sound = await history.sounds.find(found[1]) if found is not None else None
    if found is None or sound is None:
        return None, False, False
    row = found[0]
    grows = row["ended_at"] is None or is_live(row["call_id"])
    return sound, grows, grows and part == len(row["recording"].split(","))


async def file_of(history: History, call: str, part: int) -> tuple[dict[str, Any], str] | None:
    """Return the row of a call, and the name of the file of a part of its recording; None: there is no such part."""
    row = await history.store.conversation(call)
    parts = (row["recording"] or "").split(",") if row is not None else []
    if row is None or not row["recording"] or not 1 <= part <= len(parts):
        return None
    return row, parts[part - 1]


def _away(error: StoreAway) -> Response:
    return error_response(503, f"The recordings cannot be had now: {error}.", Retry_After="5")


def _cache(*, grows: bool) -> str:
    return "private, no-store" if grows else "private, max-age=600"


class RecordingBody(ResponseBody):
    """A recording as the body of a response."""

    def __init__(self, sound: Sound) -> None:
        self._sound = sound
        self.begin, self.end = 0, sound.about.size
        self.size = sound.about.size
        self._opened: AbstractAsyncContextManager[AsyncIterator[bytes]] | None = None

    async def __aenter__(self) -> AsyncIterator[bytes]:
        self._opened = self._sound.open(self.begin, self.end)
        return await self._opened.__aenter__()

    async def __aexit__(self, *raised: Any) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(*raised)

    async def make_conditional(self, begin: int, end: int | None) -> int:
        """Send only these bytes. `begin` may be negative: `Range: bytes=-500` begins at -500. Returns the size of the
        whole. Raises RequestedRangeNotSatisfiable."""
        if begin < 0:
            begin, end = max(self.size + begin, 0), None
        self.begin, self.end = begin, self.size if end is None else min(end, self.size)
        if self.begin >= self.end:
            raise RequestedRangeNotSatisfiable(self.size)
        return self.size
