"""The sound of a live session: µ-law inside, on the wire what the session asked for."""

from __future__ import annotations

from array import array
from typing import Any

from callflow.media import g711


class Sound:
    """Both ways of one session's audio, in its format: `{"type": "audio/pcmu", "rate": 8000}`, audio/pcma, or audio/pcm
    (16 bit) at 16000 or 24000 Hz."""

    def __init__(self, form: dict[str, Any]) -> None:
        self._kind, self._factor = form["type"], form["rate"] // 8000
        self._rest = b""

    def heard(self, audio: bytes) -> bytes:
        """Return a piece of the caller's audio as µ-law; what ends within a sample waits for the next piece."""
        if self._kind == "audio/pcmu":
            return audio
        if self._kind == "audio/pcma":
            return g711.alaw_to_ulaw(audio)
        audio = self._rest + audio
        whole = len(audio) - len(audio) % (2 * self._factor)
        self._rest = audio[whole:]
        return g711.pcm16_to_ulaw(array("h", audio[:whole])[:: self._factor].tobytes())

    def spoken(self, ulaw: bytes) -> bytes:
        """Return µ-law in the format that the session asked for."""
        if self._kind == "audio/pcmu":
            return ulaw
        if self._kind == "audio/pcma":
            return g711.ulaw_to_alaw(ulaw)
        samples = array("h", g711.ulaw_to_pcm16(ulaw))
        return array("h", (sample for sample in samples for _ in range(self._factor))).tobytes()
