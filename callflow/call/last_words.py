"""What a caller says while their call passes to another node: it is kept here until that node asks for it.

A carrier has one media stream a call. So the node that gives a call away keeps the stream until the other one has read
the journal and asks the carrier for its own. Then it is asked for what came meanwhile, and the model of the other node
hears that before anything that comes on the new stream.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from callflow.agent.agent import Agent
from callflow.media.g711 import BYTES_PER_MS
from callflow.media.relay import Relay


_SECONDS: Final = 8.0
"""How long they are kept at most, which is longer than the other node is tried to be told."""
_BEFORE_MS: Final = 300
"""Audio of before that is handed over as well: a caller may begin to speak before anybody notices."""
_MOST_BYTES: Final = 10_000 * BYTES_PER_MS


class LastWords:
    """The caller's audio of one call that was let go of, until its stream ends. Implements `AudioTap`."""

    def __init__(self, relay: Relay, before: bytes) -> None:
        """`before`: what the caller said until now, and nobody has answered."""
        self._relay, self._audio, self._most = relay, bytearray(before), len(before) + _MOST_BYTES
        self._over = asyncio.Event()
        relay.is_silenced = True
        relay.silence_filler.stop()
        relay.listener = None  # the agent has gone
        relay.taps.add(self)

    def caller(self, audio: bytes) -> None:
        if len(self._audio) < self._most:
            self._audio += audio

    def agent(self, audio: bytes) -> None:
        pass

    def cut(self) -> None:
        pass

    async def take(self) -> bytes:
        """End the stream, and return what the caller has said: µ-law. Nothing when it is called again."""
        try:
            await self._relay.hear_out()
        finally:
            audio, self._audio = bytes(self._audio), bytearray()
            self._over.set()
        return audio

    def give_up(self) -> None:
        """Learn that nobody will ask for them."""
        self._over.set()

    async def over(self) -> None:
        """Return when they were taken, or nobody has asked for them in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS):
                await self._over.wait()
        self.give_up()  # whoever else waits
        self._relay.taps.discard(self)


def keep_listening(relay: Relay, agent: Agent) -> LastWords | None:
    """Keep the stream of a call that is about to be let go of. None: there is none, or the caller hears the agent on
    it, who would go on to be heard."""
    if relay.is_remote or not relay.is_flowing or agent.turns.is_unplayed or relay.awaits_marks:
        return None
    if relay.frame_batcher is not None:
        relay.frame_batcher.flush()
    speaks = agent.turns.hears_speech or agent.turns.taking.caller_speaking
    recent = agent.sessions.recent_audio
    return LastWords(relay, recent if speaks else recent[-_BEFORE_MS * BYTES_PER_MS :])
