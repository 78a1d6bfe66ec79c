"""Text to speech and audio files on a leg: `<Say>` and `<Play>`.

Vendor: www.twilio.com/docs/voice/twiml/say, www.twilio.com/docs/voice/twiml/play.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from callflow.sandbox.common.leg import LegState
from callflow.sandbox.common.phone import MUSIC_HZ, PLAYBACK_HZ, RINGING_HZ, SPEECH_HZ, tone
from callflow.sandbox.twilio.faults import Timing


class Announcer:
    """Plays announcements on a leg; a tone stands for their sound."""

    def __init__(self, leg: LegState, timing: Timing) -> None:
        self.spoken: list[str] = []
        """The texts, from when their speech began."""
        self._leg = leg
        self._timing = timing

    async def speak(self, text: str) -> None:
        """Say a text; it takes `CarrierTiming.speak_s_per_char` seconds a character."""
        self.spoken.append(text)
        self._leg.note("says something")
        await self._sound(len(text) * self._timing.speak_s_per_char, SPEECH_HZ)

    async def play(self) -> None:
        """Play an audio file. It is not downloaded and takes `CarrierTiming.playback_s` seconds."""
        await self._sound(self._timing.playback_s, PLAYBACK_HZ)

    async def ring(self) -> None:
        """Let this human hear, until it is cancelled, that another phone rings."""
        while True:
            await self._sound(1.0, RINGING_HZ, "ringing")

    async def music(self) -> None:
        """Play music on hold, until it is cancelled."""
        while True:
            await self._sound(1.0, MUSIC_HZ, "hold")

    async def _sound(self, seconds: float, hz: float, name: str = "carrier") -> None:
        line = self._leg.phone.line(name)
        line.play(tone(seconds * 1000, hz), monotonic())
        try:
            await asyncio.sleep(seconds)
        finally:
            line.stop(monotonic())
