"""Records one leg, sends call.recording.saved, and makes the links under which a recording can be loaded.

Vendor: developers.telnyx.com, Recording start, and Voice API webhooks.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from time import monotonic
from typing import Any, Final, Protocol

from callflow.sandbox.common.leg import LegState
from callflow.sandbox.common.recordings import Recording
from callflow.sandbox.telnyx.exchange import CONNECTION_ID, Exchange


_NOT_IN_SCHEMA: Final = (
    "call_control_id", "recording_id", "calling_party_type", "format", "start_time", "end_time"
)  # fmt: skip
"""What call.recording.saved was seen to have beyond its schema."""


class RecordedLeg(LegState, Protocol):
    """The part of a call that is used to record it."""

    control_id: str
    leg_id: str
    session_id: str
    from_number: str
    to_number: str
    start_time: str
    end_time: str | None

    @property
    def faults(self) -> Any: ...

    def emit(
        self,
        event_type: str,
        extra: Mapping[str, Any] | None = None,
        *,
        numbers: bool = True,
        without: Collection[str] = (),
    ) -> None: ...


class Recorder:
    """What is recorded of one leg, one recording after the other."""

    def __init__(self, leg: RecordedLeg, exchange: Exchange[Any]) -> None:
        self._leg, self._exchange = leg, exchange
        self._running: Recording | None = None
        self.is_paused = False
        """The recording that runs leaves out what is said."""
        self._at_answer: tuple[str, Mapping[str, Any]] | None = None

    def from_answer(self, body: Mapping[str, Any]) -> str:
        """Begin when the leg is answered. Returns the id that the recording will have."""
        self._at_answer = (str(uuid.uuid4()), body)
        return self._at_answer[0]

    def answered(self) -> None:
        """Begin, if that was asked for with the answer or the dial."""
        if self._at_answer is not None:
            self._start(*self._at_answer)
            self._at_answer = None

    def start(self, body: Mapping[str, Any]) -> None:
        """Begin now."""
        self._start(str(uuid.uuid4()), body)

    def _start(self, name: str, body: Mapping[str, Any]) -> None:
        leg = self._leg
        channels = body.get("channels") or body.get("record_channels") or "dual"
        about = {
            "call_control_id": leg.control_id,
            "call_leg_id": leg.leg_id,
            "call_session_id": leg.session_id,
            "channels": channels,
            "connection_id": CONNECTION_ID,
            "form": body.get("format") or body.get("record_format") or "mp3",
            "from": leg.from_number,
            "to": leg.to_number,
            "initiated_by": "StartCallRecordingAPI" if "channels" in body else "OutboundAPI",
        }
        self.is_paused = False
        self._running = Recording(name, leg.control_id, leg.phone, 2 if channels == "dual" else 1, about)
        self._exchange.recordings[name] = self._running
        leg.note("recording")

    def stop(self) -> None:
        """End the recording that runs, if there is one; call.recording.saved follows `Timing.recording_s` later."""
        if (recording := self._running) is not None:
            self._running = None
            recording.stop()
            self._exchange.tasks.spawn(self._save(recording), "recording")

    def pause(self, *, on: bool) -> bool:
        """Pause the recording that runs, or go on with it. Returns False if there is none. Its sound has no gap."""
        if self._running is None:
            return False
        self.is_paused = on
        self._leg.note("recording paused" if on else "recording goes on")
        return True

    async def _save(self, recording: Recording) -> None:
        await asyncio.sleep(self._exchange.timing.recording_s)
        if self._leg.faults.recording_fails:
            recording.state = "failed"
            self._leg.emit("call.recording.error", {"reason": "Internal server error"}, numbers=False)
            return
        recording.state = "ready"
        form = recording.about["form"]
        fields = {
            "recording_id": recording.id,
            "recording_urls": links(recording, self._exchange),
            "public_recording_urls": {},
            "channels": recording.about["channels"],
            "format": form,
            "recording_started_at": _iso(recording.began_on),
            "recording_ended_at": _iso(recording.ended_on),
            "start_time": self._leg.start_time,
            "end_time": self._leg.end_time or _iso(recording.ended_on),
        }
        without = _NOT_IN_SCHEMA if self._leg.faults.recording_unnamed else ()
        self._leg.emit("call.recording.saved", fields, numbers=False, without=without)


def links(recording: Recording, exchange: Exchange[Any]) -> dict[str, str]:
    """Return a new link to the file, which is valid for `Timing.download_s`; it needs no other password."""
    form, key = recording.about["form"], secrets.token_hex(16)
    exchange.links[key] = (recording.id, form, monotonic() + exchange.timing.download_s)
    seconds = round(exchange.timing.download_s)
    return {form: f"{exchange.root}/files/{recording.id}.{form}?X-Amz-Expires={seconds}&X-Amz-Signature={key}"}


def shown(recording: Recording, exchange: Exchange[Any]) -> dict[str, Any]:
    """Return a recording as `GET /recordings/{id}` shows it, with fresh links."""
    about = {name: value for name, value in recording.about.items() if name != "form"}
    return {
        **about,
        "record_type": "recording",
        "id": recording.id,
        "created_at": _iso(recording.began_on),
        "updated_at": _iso(recording.ended_on),
        "recording_started_at": _iso(recording.began_on),
        "recording_ended_at": _iso(recording.ended_on),
        "duration_millis": round(recording.seconds * 1000),
        "download_urls": links(recording, exchange),
        "source": "call",
        "status": "completed",
    }


def _iso(at: datetime | None) -> str | None:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if at is not None else None
