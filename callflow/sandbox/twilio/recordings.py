"""The API's recordings: begin and end one, list, one, delete; and their files, which need the account's password.

Vendor: www.twilio.com/docs/voice/api/recording.
"""

from __future__ import annotations

from typing import Any

from callflow.sandbox.common.http_server import Request, Response
from callflow.sandbox.common.recordings import Recording, send_file
from callflow.sandbox.twilio import resources
from callflow.sandbox.twilio.call import Call
from callflow.sandbox.twilio.errors import ApiError
from callflow.sandbox.twilio.exchange import Exchange
from callflow.sandbox.twilio.parameters import LIST_RECORDINGS, UPDATE_RECORDING
from callflow.sandbox.twilio.validation import Form, check_names, check_record


class Recordings:
    """What the API does with recordings. Every method raises ApiError for what it refuses."""

    def __init__(self, exchange: Exchange[Call]) -> None:
        self._exchange = exchange

    def start(self, call: Call, form: Form) -> dict[str, Any]:
        """Begin to record a live call. Returns the recording as the API shows it."""
        values = check_record(form)
        if call.status != "in-progress":
            raise ApiError(400, 21220, "Requested resource is not eligible for recording: the call is not in-progress.")
        return self._shown(call.recorder.start(values, "StartCallRecordingAPI"))

    def update(self, call: Call, sid: str, form: Form, path: str) -> dict[str, Any]:
        """Stop a recording, pause it or go on. `sid` may be "Twilio.CURRENT". Returns it as the API shows it."""
        check_names(form, UPDATE_RECORDING)
        running = call.recorder.running
        if running is None or sid not in (running.id, "Twilio.CURRENT"):
            raise _missing(path)
        status = dict(form).get("Status", "")
        if status not in ("stopped", "paused", "in-progress"):
            raise ApiError(400, 20001, "Status must be stopped, paused or in-progress")
        if status == "stopped":
            call.recorder.stop()
        else:
            running.about = {**running.about, "paused": status == "paused"}
            call.note(f"recording {status}")
        return self._shown(running)

    def page(self, call_sid: str, form: Form, path: str) -> dict[str, Any]:
        """Return a page of the recordings of one call ("": of all), newest first, as `resources.page` makes it."""
        check_names(form, LIST_RECORDINGS)
        wanted = call_sid or dict(form).get("CallSid", "")
        found = [each for each in self._exchange.recordings.values() if wanted in ("", each.call)]
        return resources.page("recordings", [self._shown(each) for each in reversed(found)], form, path)

    def one(self, sid: str, path: str) -> dict[str, Any]:
        """Return a recording as the API shows it."""
        return self._shown(self._find(sid, path))

    def delete(self, sid: str, path: str) -> None:
        """Delete a recording."""
        del self._exchange.recordings[self._find(sid, path).id]

    def file(self, request: Request) -> Response:
        """Answer with the file of one: .wav or .mp3. It is not found before it is processed."""
        sid, _, form = request.path.rpartition("/")[2].partition(".")
        recording = self._find(sid, request.path)
        if recording.state != "ready" or request.method != "GET":
            raise _missing(request.path)
        channels = 1 if "RequestedChannels=1" in request.query else 0
        return send_file(request, recording.file(form, channels), form)

    def _find(self, sid: str, path: str) -> Recording:
        if (recording := self._exchange.recordings.get(sid)) is None:
            raise _missing(path)
        return recording

    def _shown(self, recording: Recording) -> dict[str, Any]:
        return resources.recording(recording, self._exchange)


def _missing(path: str) -> ApiError:
    return ApiError(404, 20404, f"The requested resource {path} was not found")
