"""Text to speech and audio files on a leg (`speak`, `playback_start`), played one after the other.

Vendor: developers.telnyx.com, Speak text, and Play audio URL.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Literal, Protocol

from callflow.sandbox.common.http_server import Tasks
from callflow.sandbox.common.leg import LegState
from callflow.sandbox.common.phone import PLAYBACK_HZ, SPEECH_HZ, Phone, tone
from callflow.sandbox.telnyx.faults import Timing


class AnnouncedLeg(LegState, Protocol):
    """The part of a call that announcements use."""

    def hearers(self, legs: str) -> list[Phone]: ...

    def emit(self, event_type: str, extra: Mapping[str, Any] | None = None, *, numbers: bool = True) -> None: ...


@dataclass(slots=True)
class Announcement:
    """One text or audio file; a tone of `hz` and `seconds` stands for its sound."""

    kind: Literal["speak", "playback"]
    fields: dict[str, Any]
    """What its webhooks say."""
    text: str
    hz: float
    seconds: float
    legs: str
    """`target_legs`: who hears it."""


class Announcer:
    """Plays announcements on a leg. Telnyx docs: they are queued, and stopped with playback_stop."""

    def __init__(self, leg: AnnouncedLeg, tasks: Tasks, timing: Timing) -> None:
        self.spoken: list[str] = []
        """The texts, from when their speech began."""
        self._leg = leg
        self._tasks = tasks
        self._timing = timing
        self._queue: list[Announcement] = []
        self._busy = False
        self._cut = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def played(self) -> None:
        """Wait until there is nothing more to play."""
        await self._idle.wait()

    def speak(self, text: str, legs: str = "self") -> None:
        """Queue a text; it takes `CarrierTiming.speak_s_per_char` seconds a character."""
        fields = {"speak_id": secrets.token_urlsafe(8)}
        self._add(Announcement("speak", fields, text, SPEECH_HZ, len(text) * self._timing.speak_s_per_char, legs))

    def play(self, body: Mapping[str, Any]) -> None:
        """Queue an audio file. It is not downloaded and takes `CarrierTiming.playback_s` seconds."""
        legs = body.get("target_legs") or "self"
        fields: dict[str, Any] = {"overlay": bool(body.get("overlay"))}
        fields |= {"media_name": body["media_name"]} if body.get("media_name") else {}
        fields |= {"media_url": body["audio_url"]} if body.get("audio_url") else {}
        self._add(Announcement("playback", fields, "", PLAYBACK_HZ, self._timing.playback_s, legs))

    def stop(self, which: str = "all") -> None:
        """Stop playing: "all", or "current", which goes on with the next announcement."""
        if which == "all":
            self._queue.clear()
        self._cut.set()

    def _add(self, announcement: Announcement) -> None:
        self._queue.append(announcement)
        if not self._busy:
            self._busy = True
            self._idle.clear()
            self._tasks.spawn(self._run(), "announcements")

    async def _run(self) -> None:
        while self._queue and self._leg.state != "ended":
            await self._announce(self._queue.pop(0))
        self._busy = False
        self._idle.set()

    async def _announce(self, announcement: Announcement) -> None:
        self._cut.clear()
        if announcement.kind == "speak":
            self.spoken.append(announcement.text)
        event = f"call.{announcement.kind}"
        self._leg.note(f"{event}.started")
        self._leg.emit(f"{event}.started", announcement.fields, numbers=False)
        lines = [phone.line("carrier") for phone in self._leg.hearers(announcement.legs)]
        for line in lines:
            line.play(tone(announcement.seconds * 1000, announcement.hz), monotonic())
        try:
            async with asyncio.timeout(announcement.seconds):
                await self._cut.wait()
            for line in lines:
                line.stop(monotonic())
            # Among the documented values of speak.ended there is none for a stopped one (unknown).
            stopped = "cancelled" if announcement.kind == "playback" else "completed"
            status = "call_hangup" if self._leg.state == "ended" else stopped
        except TimeoutError:
            status = "completed"
        self._leg.note(f"{event}.ended: {status}")
        self._leg.emit(f"{event}.ended", {**announcement.fields, "status": status}, numbers=False)
