"""The quick way of the model's audio to the caller: more of the speech that is being played.

The first audio of a stretch, and the first one after anything else has happened, goes through `Agent.handle_event`:
whether it is played is decided there, and what speech ends is noted, measured and stopped. What follows changes nothing
of that. It comes 50 times a second from a model that speaks no faster than we play, and what makes it slow is the
number of objects that it touches: they have left the processor's caches by the next time.
"""

from __future__ import annotations

import asyncio

from callflow.contracts.engine import AudioDelta
from callflow.contracts.media import SpeechSegmentId
from callflow.media.relay import Relay


class ContinuedSpeech:
    """The stretch of speech that may go on without a decision."""

    __slots__ = ("_clock", "_key", "_played_at", "_relay")

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._clock = asyncio.get_running_loop().time
        self._key: SpeechSegmentId | None = None
        self._played_at: float | None = None

    def begin(self, key: SpeechSegmentId) -> None:
        """Note that audio of this stretch was played, and all of it noted."""
        self._key = key

    def stop(self) -> None:
        """Note that the next audio must be looked at: something else has happened."""
        self._key = None

    def plays(self, heard: AudioDelta) -> bool:
        """Play more audio of the stretch, if that is all there is to do. Returns False if it is not, or may not be;
        then nothing has changed."""
        key = self._key
        if key is None or heard.item != key.item or heard.content != key.content:
            return False
        now = self._clock()
        if not self._relay.play_on(key, heard.response, heard.audio, now):
            return False
        self._played_at = now
        return True

    def take_played_at(self) -> float | None:
        """Return when `plays` last played audio, on the loop's clock; None: not since this was last asked."""
        at, self._played_at = self._played_at, None
        return at
