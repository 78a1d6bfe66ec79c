"""Finds the turns in a conversation in which both sides may speak at once. Pure: time is an argument, in ms.

A full-duplex model tells neither where a turn begins nor where it ends: it sends sound, and pieces of what each side
says. Here these become the turns that a call is made of:

- The agent's turn is sound without a pause of `AGENT_PAUSE_MS`; silence before it is dropped.
- The caller's turn is words without a pause of `CALLER_PAUSE_MS`, or up to the moment when the agent begins to speak.
- Words of the caller while the agent speaks take nothing from the agent: that is for the model to decide. Only when it
  falls silent after them, for `YIELD_MS`, has it left the floor to the caller (`SpeechStarted`). If it speaks on, they
  were an "mhm", and are written down as what the caller said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    EngineEvent,
    ItemAdded,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    Transcript,
)


AGENT_PAUSE_MS: Final = 700
"""Longer than a pause within a sentence, and than the words of a sentence are behind its sound."""
YIELD_MS: Final = 250
CALLER_PAUSE_MS: Final = 900
_SPOKEN_WITH_MS: Final = 3000
"""A tool that is called so soon after a sentence belongs to it."""
_QUIET: Final = bytes(code for code in range(256) if code & 0x70 == 0x70)
"""The µ-law codes below a thousandth of full scale or so (the lowest segment of G.711)."""


def sounds(audio: bytes) -> bool:
    """Return whether µ-law audio is more than silence: more than one sample in twenty is loud."""
    return len(audio.translate(None, _QUIET)) * 20 > len(audio)


@dataclass(slots=True)
class _Utterance:
    response: str
    item: str
    began: float
    sounded: float
    """When sound of it came last."""
    text: str = ""


@dataclass(slots=True)
class _CallersTurn:
    item: str
    spoke: float
    """When words of it came last."""
    has_floor: bool
    """The call knows that the caller speaks."""
    ago_ms: float = 0.0
    """How much of the caller's audio came after its last word."""
    text: list[str] = field(default_factory=list)


class LiveTurns:
    """The turns of one session. Each method returns what is to be told, in order."""

    def __init__(self, session: int) -> None:
        """`session`: its number within the call, which makes the ids of its turns unique."""
        self._session = session
        self._count = 0
        self._utterance: _Utterance | None = None
        self._caller: _CallersTurn | None = None
        self._early = ""
        """Words of the agent that came before their sound."""
        self._last: _Utterance | None = None

    @property
    def due(self) -> float | None:
        """When `tick` must be called next, in ms as `tick` takes it; None: nothing is under way."""
        times = [self._agent_until] if self._utterance is not None else []
        times += [self._caller.spoke + CALLER_PAUSE_MS] if self._caller is not None else []
        return min(times, default=None)

    @property
    def caller_speaks(self) -> bool:
        """Whether the caller has the floor."""
        return self._caller is not None and self._caller.has_floor

    def spoken_with(self, now: float) -> str:
        """Return the response that a tool belongs to that is called now; "": it was called without a word."""
        last = self._utterance or self._last
        return last.response if last is not None and now - last.sounded <= _SPOKEN_WITH_MS else ""

    def audio(self, audio: bytes, now: float) -> list[EngineEvent]:
        """Take a piece of the agent's voice."""
        told: list[EngineEvent] = []
        is_loud = sounds(audio)
        if self._utterance is None:
            if not is_loud:
                return []
            told = [*self._end_caller(), *self._begin(now)]
        utterance = self._utterance
        assert utterance is not None
        if is_loud:
            utterance.sounded = now
        told.append(AudioDelta(utterance.response, utterance.item, 0, audio))
        return told

    def agent_words(self, text: str) -> list[EngineEvent]:
        """Take a piece of what the agent says."""
        if self._utterance is None:
            self._early += text
            return []
        self._utterance.text += text
        return [Transcript("agent", self._utterance.item, text, final=False)]

    def caller_words(self, text: str, now: float, ago_ms: float) -> list[EngineEvent]:
        """Take a piece of what the caller says. `ago_ms`: how much of their audio came after it."""
        told: list[EngineEvent] = []
        caller = self._caller
        if caller is None:
            self._count += 1
            caller = self._caller = _CallersTurn(f"live{self._session}_c{self._count}", now, self._utterance is None)
            if caller.has_floor:
                told.append(SpeechStarted())
            told.append(ItemAdded("caller", caller.item))
        caller.spoke, caller.ago_ms = now, ago_ms
        caller.text.append(text)
        return [*told, Transcript("caller", caller.item, text, final=False)]

    def tick(self, now: float) -> list[EngineEvent]:
        """Take what has become of the time since."""
        told: list[EngineEvent] = []
        if self._utterance is not None and now >= self._agent_until:
            if self._yields:
                assert self._caller is not None
                self._caller.has_floor = True
                told.append(SpeechStarted())
                told += self.end_agent(status="cancelled")
            else:
                told += self.end_agent()
        if self._caller is not None and now >= self._caller.spoke + CALLER_PAUSE_MS:
            told += self._end_caller()
        return told

    def end(self) -> list[EngineEvent]:
        """End both sides' turns: the conversation is over."""
        return [*self._end_caller(), *self.end_agent(status="cancelled")]

    def cut(self, response: str) -> list[EngineEvent]:
        """End the agent's turn if it is this response: its words so far belong to the sound so far. What the model says
        on is a turn of its own. One that begins just now goes on: else the next piece of sound would begin another."""
        now = self._utterance
        is_it = now is not None and now.response == response and now.sounded > now.began
        return self.end_agent(status="cancelled") if is_it else []

    def end_agent(self, *, status: str = "completed") -> list[EngineEvent]:
        """End the agent's turn, if there is one."""
        ended, self._utterance = self._utterance, None
        if ended is None:
            return []
        self._last = ended
        done = ResponseDone(ended.response, status, answered=status == "completed", items=(ended.item,))
        words: list[EngineEvent] = [Transcript("agent", ended.item, ended.text, final=True)] if ended.text else []
        return [AudioDone(ended.response, ended.item, 0), *words, done]

    @property
    def _yields(self) -> bool:
        return self._caller is not None and not self._caller.has_floor

    @property
    def _agent_until(self) -> float:
        assert self._utterance is not None
        return self._utterance.sounded + (YIELD_MS if self._yields else AGENT_PAUSE_MS)

    def _begin(self, now: float) -> list[EngineEvent]:
        self._count += 1
        name = f"live{self._session}_a{self._count}"
        early, self._early = self._early, ""
        self._utterance = _Utterance(f"{name}_r", name, now, now, early)
        told: list[EngineEvent] = [ResponseStarted(f"{name}_r"), ItemAdded("agent", name)]
        return [*told, Transcript("agent", name, early, final=False)] if early else told

    def _end_caller(self) -> list[EngineEvent]:
        ended, self._caller = self._caller, None
        if ended is None:
            return []
        told: list[EngineEvent] = []
        if ended.has_floor:
            # The item again: now it is the turn that has just ended.
            told = [SpeechStopped(ended.ago_ms, answer_due=False), ItemAdded("caller", ended.item)]
        return [*told, Transcript("caller", ended.item, "".join(ended.text).strip(), final=True)]
