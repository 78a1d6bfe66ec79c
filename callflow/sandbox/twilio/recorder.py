"""Records one call, and sends its RecordingStatusCallback.

Vendor: www.twilio.com/docs/voice/api/recording.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from email.utils import format_datetime
from typing import Any, Protocol

from callflow.sandbox.common.leg import LegState
from callflow.sandbox.common.recordings import Recording
from callflow.sandbox.twilio.exchange import Exchange


class RecordedCall(LegState, Protocol):
    """The part of a call that is used to record it."""

    sid: str

    @property
    def faults(self) -> Any: ...


class Recorder:
    """What is recorded of one call, one recording after the other."""

    def __init__(self, call: RecordedCall, exchange: Exchange[Any]) -> None:
        self._call, self._exchange = call, exchange
        self.running: Recording | None = None
        self._with_status: Recording | None = None

    def start(self, values: Mapping[str, str], source: str) -> Recording:
        """Begin, as the parameters Recording… of a request say. `source` is Twilio's word for who asked."""
        events = tuple(values.get("RecordingStatusCallbackEvent", "completed").split())
        url, method = values.get("RecordingStatusCallback", ""), values.get("RecordingStatusCallbackMethod", "POST")
        about = {
            "source": source,
            "track": values.get("RecordingTrack", "both"),
            "callback": (url, method),
            "events": events,
        }
        channels = 2 if values.get("RecordingChannels") == "dual" else 1
        recording = Recording("RE" + secrets.token_hex(16), self._call.sid, self._call.phone, channels, about)
        self.running = self._exchange.recordings[recording.id] = recording
        if source == "OutboundAPI":
            self._with_status = recording
        self._call.note("recording")
        self._tell(recording, "in-progress")
        return recording

    def stop(self) -> None:
        """End the recording that runs, if there is one; it is processed `Timing.recording_s` later."""
        if (recording := self.running) is not None:
            self.running = None
            recording.stop()
            self._exchange.tasks.spawn(self._save(recording), "recording")

    async def _save(self, recording: Recording) -> None:
        await asyncio.sleep(self._exchange.timing.recording_s)
        recording.state = "failed" if self._call.faults.recording_fails else "ready"
        self._tell(recording, "absent" if recording.state == "failed" else "completed")

    def with_status(self) -> dict[str, str]:
        """Return what the call's last status callback says of a recording that came with the call.

        Twilio docs: its file may not be ready yet.
        """
        if (recording := self._with_status) is None:
            return {}
        length = str(round(recording.seconds))
        return {"RecordingUrl": self.url(recording), "RecordingSid": recording.id, "RecordingDuration": length}

    def url(self, recording: Recording) -> str:
        """Return the URL of a recording, without an extension."""
        exchange = self._exchange
        return f"{exchange.root}/2010-04-01/Accounts/{exchange.account_sid}/Recordings/{recording.id}"

    def _tell(self, recording: Recording, status: str) -> None:
        url, method = recording.about["callback"]
        if not url or status not in recording.about["events"]:
            return
        params = {
            "AccountSid": self._exchange.account_sid,
            "CallSid": recording.call,
            "RecordingSid": recording.id,
            "RecordingUrl": self.url(recording),
            "RecordingStatus": status,
            "RecordingChannels": str(recording.channels),
            "RecordingStartTime": format_datetime(recording.began_on),
            "RecordingSource": recording.about["source"],
            "RecordingTrack": recording.about["track"],
            "ErrorCode": "0",
        }
        if status == "completed":
            params["RecordingDuration"] = str(round(recording.seconds))
        self._exchange.webhooks.notify("recording", url, method, params, self._call.faults, status)
