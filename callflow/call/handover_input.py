"""What a caller says while their call passes to another node: it is kept here until that node asks for it.

A carrier has one media stream a call. So the node that gives a call away keeps the stream until the other one has read
the journal and asks the carrier for its own. Then it is asked for what came meanwhile, and the model of the other node
hears that before anything that comes on the new stream. So it is with the keys of the caller's telephone.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from callflow.agent.agent import Agent
from callflow.contracts.events import Dtmf, Event
from callflow.contracts.media import HandoverInput
from callflow.media.g711 import BYTES_PER_MS
from callflow.media.relay import Relay


_SECONDS: Final = 8.0
"""How long they are kept at most, which is longer than the other node is tried to be told."""
_BEFORE_MS: Final = 300
"""Audio of before that is handed over as well: a caller may begin to speak before anybody notices."""
_MOST_BYTES: Final = 10_000 * BYTES_PER_MS


class HandoverInputBuffer:
    """Keeps the caller's audio and keys of a call that was let go of, until its stream ends. Implements `AudioTap`."""

    def __init__(self, relay: Relay, before: bytes) -> None:
        """`before`: what the caller said until now, and nobody has answered."""
        self._relay, self._audio, self._most = relay, bytearray(before), len(before) + _MOST_BYTES
        self._keys: list[Event] = []
        self._over = asyncio.Event()
        self._post, relay.post = relay.post, self._posted
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

    def _posted(self, event: Event) -> None:
        if isinstance(event, Dtmf):
            self._keys.append(event)
        else:
            self._post(event)

    async def take(self) -> HandoverInput:
        """End the stream, and return what the caller has said and typed. Nothing when it is called again."""
        try:
            await self._relay.hear_out()
        finally:
            keys = "".join(event.digit for event in self._keys if isinstance(event, Dtmf))
            said, self._audio = HandoverInput(bytes(self._audio), keys), bytearray()
            self._keys.clear()
            self._over.set()
        return said

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
        self._relay.post = self._post
        for event in self._keys:  # nobody has asked for them, so they are written down here
            self._post(event)
        self._keys.clear()


def keep_listening(relay: Relay, agent: Agent) -> HandoverInputBuffer | None:
    """Keep the stream of a call that is about to be let go of. None: there is none, or the caller hears the agent on
    it, who would go on to be heard."""
    if relay.is_remote or not relay.is_flowing or agent.turns.is_unplayed or relay.awaits_marks:
        return None
    if relay.frame_batcher is not None:
        relay.frame_batcher.flush()
    taking = agent.turns.taking
    speaks = agent.turns.hears_speech or taking.caller_speaking or taking.audio_is_needed
    recent = agent.sessions.recent_audio
    return HandoverInputBuffer(relay, recent if speaks else recent[-_BEFORE_MS * BYTES_PER_MS :])
