"""Routes of all recordings, the carriers' and ours: the list, the sound, and whether the carrier records a live call.

The sound of a carrier's recording goes through here piece by piece, as it comes, so that neither its address nor the
carrier's keys leave this server.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from quart import Quart, Response, request
from quart.wrappers.response import ResponseBody

from callflow.call.line_requests import REMOTE
from callflow.contracts.carrier import Carrier, Download
from callflow.contracts.errors import BadRequest, CarrierError
from callflow.contracts.printable import quoted
from callflow.history import recording_rows
from callflow.history.history import History
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.call_recording import send_recording
from callflow.web.console.history_query import parameter
from callflow.web.console.identity import own_business
from callflow.web.console.live_call import live_call
from callflow.web.console.node_fan_out import NodeFanOut
from callflow.web.console.requested_by import requester
from callflow.web.responses import (
    error_response,
    history_not_open,
    json_object,
    json_response,
    query_parameters,
    suggestion,
)


log = logging.getLogger(__name__)

_MOST, _MOST_OF_CALL = 50, 20
_UUID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_RECORDING: Final = re.compile(rf"RE[0-9a-f]{{32}}|{_UUID}(?:-[0-9]{{1,15}})?", re.IGNORECASE)
"""Twilio's id, Telnyx's, and ours: that of the call, and a part; or of a leg, and when its recording began."""
_CALL: Final = re.compile(rf"CA[0-9a-f]{{32}}|{_UUID}|v[0-9]+:[A-Za-z0-9_-]{{1,200}}", re.IGNORECASE)
"""Twilio's id, ours, and Telnyx's `call_control_id`."""
_RANGE: Final = re.compile(r"bytes=[0-9]{0,15}-[0-9]{0,15}")
_CACHE: Final = "private, max-age=600"
_EXAMPLE: Final = '{"on": true}'
_NOT_NOW: Final = (
    "The call is not answered yet, or is over, or its recording is paused, or waits for the end of record_announcement."
)
_PAUSE_EXAMPLE: Final = '{"pause": true}'


def add_recordings(
    app: Quart,
    history: History,
    switchboard: Callable[[], Switchboard],
    carriers: Mapping[str, Carrier],
    fan_out: NodeFanOut | None = None,
    *,
    has_token: bool,
) -> None:
    """Add the routes to the app. `carriers`: by name. `fan_out`: the other nodes, which have files of their own;
    None: there are none. `has_token`: operators need CONSOLE_TOKEN."""

    @app.get("/api/recordings")
    @query_parameters("callSid")
    async def recordings() -> Response:
        """List the newest 50 recordings, or the newest 20 of one call (`?callSid=`, ours or the carrier's)."""
        call = parameter("callSid")
        if call and not _CALL.fullmatch(call):
            raise BadRequest(400, "callSid must be the id of a call, ours or its carrier's: GET /api/calls has both.")
        if not history.is_readable:
            return history_not_open()
        most = _MOST_OF_CALL if call else _MOST
        found = await recording_rows.newest(history.database, history.sounds, most, call, own_business())
        answers = await fan_out.answers() if fan_out is not None else {}
        known = {_key(each): each for answer in answers.values() for each in json.loads(answer.body)}
        known.update((_key(each), each) for each in found)
        newest = sorted(known.values(), key=lambda each: str(each["dateCreated"]), reverse=True) if answers else found
        return json_response(newest[:most])

    @app.get("/api/recordings/<name>/audio")
    async def audio(name: str) -> Response:
        """Answer the sound of a recording, or the range of it that is asked for."""
        if not _RECORDING.fullmatch(name):
            raise BadRequest(400, "This is not the id of a recording: GET /api/recordings lists them.")
        if not history.is_readable:
            return history_not_open()
        row = await recording_rows.find(history.database, name)
        if row is None:
            own = recording_rows.own_part(name)
            if own is None:
                return _none(name)
            return await send_recording(history, *own, switchboard().is_live)
        if row["state"] == "failed":
            return error_response(404, "The carrier says that this recording has failed: there is no sound of it.")
        carrier = carriers.get(row["carrier"])
        if carrier is None:
            return error_response(502, f"It is kept by {row['carrier'].title()}, whose keys are not set any more.")
        asked = request.headers.get("Range", "")
        try:
            download = await carrier.recording(name, asked if _RANGE.fullmatch(asked) else "")
        except CarrierError as error:
            log.warning("a recording cannot be loaded from %s: %s", carrier.name, error)
            if error.gone:
                return error_response(404, "The carrier does not have this recording, or not yet.", Retry_After="5")
            return error_response(502, f"The recording cannot be loaded from {carrier.name.title()}: {error}.")
        return await _passed_on(download)

    @app.post("/api/calls/<call>/record")
    async def record(call: str) -> Response:
        """Let the carrier record a live call from now on: `{"on": true}`; `{"on": false}`: no longer."""
        on = _switch(await json_object(_EXAMPLE), "on", _EXAMPLE)
        live = live_call(switchboard(), call)
        by = requester(has_token=has_token)
        if not live.requests.record(on=on, by=by):
            return error_response(409, REMOTE if live.relay.is_remote else _NOT_NOW)
        return json_response({"call": call, "on": on, "by": by}, 202)

    @app.post("/api/calls/<call>/recording")
    async def pause(call: str) -> Response:
        """Keep nothing of a live call for a while, neither sound nor words: `{"pause": true}`; then again:
        `{"pause": false}`."""
        on = _switch(await json_object(_PAUSE_EXAMPLE), "pause", _PAUSE_EXAMPLE)
        live = live_call(switchboard(), call)
        by = requester(has_token=has_token)
        if not live.requests.pause(on=on, by=by):
            return error_response(409, "Nothing of this call is being recorded, so there is nothing to pause.")
        return json_response({"call": call, "pause": on, "by": by}, 202)


def _key(recording: Mapping[str, Any]) -> tuple[str, ...]:
    return recording["source"], recording["call"] or "", recording["sid"] or ""


def _none(name: str) -> Response:
    return error_response(404, f"There is no recording {quoted(name)}; GET /api/recordings lists them.")


def _switch(body: Mapping[str, Any], name: str, example: str) -> bool:
    """Read a body with one switch. Raises BadRequest."""
    if unknown := [each for each in body if each != name]:
        first = unknown[0]
        raise BadRequest(400, f"There is no {quoted(first)} in this body{suggestion(first, [name])}")
    if not isinstance(on := body.get(name), bool):
        raise BadRequest(400, f"{name} must be true or false, such as {example}.")
    return on


async def _passed_on(download: Download) -> Response:
    response = Response(b"", download.status, content_type=download.content_type)
    for name, value in download.headers.items():
        response.headers[name] = value
    response.headers["Cache-Control"] = _CACHE if download.status in (200, 206) else "no-store"
    if download.status == 206 or "content-length" in download.headers:  # of other whole files no range can be taken
        response.headers["Accept-Ranges"] = "bytes"
    if request.method == "HEAD" or download.status == 416:
        await download.pieces.aclose()
        if download.status == 416:
            sentence = "The recording has no such range: write Range: bytes=0-999."
            return error_response(416, sentence, Content_Range=download.headers.get("content-range", "bytes */*"))
        return response
    response.response = _Sound(download)
    response.timeout = None  # the carrier's pieces have deadlines of their own
    return response


class _Sound(ResponseBody):
    """The sound as the body of a response; the connection to the carrier ends with the request."""

    def __init__(self, download: Download) -> None:
        self._pieces = download.pieces

    async def __aenter__(self) -> AsyncIterator[bytes]:
        return self._pieces.__aiter__()

    async def __aexit__(self, *_: object) -> None:
        await self._pieces.aclose()
