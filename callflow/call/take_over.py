"""Takes a caller over: a person speaks with them in place of the agent, and gives them back.

The agent is muted meanwhile, and hears the caller on. What the person says becomes facts of the conversation, written
down by a session of the model that only transcribes, as while a transferred caller is listened to. Whoever loses their
connection, or whose call goes on in another process, and is not back in time gives back by that: the caller is not left
alone.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from typing import Any, Final

from callflow.call.line_requests import ON_HOLD, TRANSFERRED, LineRequests, shown
from callflow.call.machine import Model
from callflow.contracts.back_references import to_owner
from callflow.contracts.engine import (
    Engine,
    EngineEvent,
    MakeEngine,
    SessionContext,
    SessionLost,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    Usage,
)
from callflow.journal import notes
from callflow.journal.notes import Note
from callflow.media.g711 import BYTES_PER_MS, FRAME_BYTES
from callflow.media.relay import Relay
from callflow.timers import Timers


TAKES_OVER: Final = "take-over, "
"""Before who asked, in the events that mute the agent meanwhile."""
BUSY: Final = "%s has taken this call over already."
ENDED: Final = "The agent has the caller back."
MOST_LINE: Final = 1000
"""Characters with which a person tells what was said."""
_FIRST_SESSION: Final = 2_000_000
_LOST_SECONDS: Final = 3.0
_AHEAD_SECONDS: Final = 0.6
"""Sound of the person that waits at the carrier: more is dropped, so that they are not heard ever later."""
_MOST_LINES: Final = 400
_STEP_SECONDS: Final = 0.02
_BEGAN: Final = (
    "An operator speaks with the caller in your place from now on. Only listen: say nothing and use no tool until you"
    " are told that you have the caller back."
)
_BACK: Final = "The operator has given the caller back to you. Go on with the conversation from here, in one sentence."
_HANDED_ON: Final = "The operator does not speak with the caller any more."
_LOST: Final = (
    "The operator's connection was lost, so you have the caller back. Tell them in one sentence that you are with them"
    " again, and go on."
)


class TakeOver:
    """Who has taken over one call, if anybody has."""

    def __init__(
        self,
        call: str,
        relay: Relay,
        line: LineRequests,
        *,
        make: MakeEngine,
        learn: Callable[..., None],
        is_paused: Callable[[], bool],
        bill: Callable[[Usage], None],
        note: Callable[[Note], None],
        own: Callable[[Coroutine[Any, Any, None], str], None],
        seconds: float,
        before: str = "",
    ) -> None:
        """`learn`: takes a fact of the conversation, as `Prompter.learn`. `before`: who had taken the call over when
        the previous process lost it. The rest: see `BridgedListening`."""
        self._call, self._relay, self._line, self._make = call, relay, line, make
        self._learn, self._is_paused, self._bill = learn, is_paused, bill
        self._note, self._own, self._seconds = note, own, seconds
        line.hand_on = to_owner(self.hand_on)
        self._clock = asyncio.get_running_loop().time
        self._timers = Timers()
        self.number = 0
        """How many connections of persons the call has had in this process: the newest one counts."""
        self._is_lost, self._is_ending = bool(before), False
        self.by = before
        self._engine: Engine | None = None
        self._sessions = self._lines = 0
        self._speaking = False
        self._until = 0.0
        """Until when the caller hears what was sent, on the loop's clock."""

    @property
    def by(self) -> str:
        """Who speaks with the caller; "": the agent."""
        return self._line.taken_by

    @by.setter
    def by(self, who: str) -> None:
        self._line.taken_by = who

    @property
    def is_written_down(self) -> bool:
        """Whether the model will know what the person says; without that it has to be told in a line."""
        return self._engine is not None

    def begin(self, by: str, *, again: bool = False) -> str:
        """Let a person speak in place of the agent, or go on after they were lost. `again`: only the latter, also when
        it is not known here yet that their connection is gone. Returns why not; "": they may."""
        if self.by:
            if self.by != by or self._is_ending or not (self._is_lost or again):
                return BUSY % shown(self.by)
            self._is_lost = False
            self._timers.stop("lost")
            self.number += 1
            if self.number == 1:
                self._line.mute("agent", True, f"{TAKES_OVER}{by}", for_person=True)
                self._begin()
            return ""
        if again:
            return ENDED
        if self._line.is_on_hold:
            return ON_HOLD
        if self._line.is_being_transferred:
            return TRANSFERRED
        if why := self._line.mute("agent", True, f"{TAKES_OVER}{by}", for_person=True):
            return why
        self.by, self._is_lost, self._is_ending = by, False, False
        self._note(notes.TakeOver(state="began", by=by))
        self._learn(_BEGAN, speak=False)
        self.number += 1
        self._begin()
        return ""

    def _begin(self) -> None:
        self._sessions += 1
        self._engine = self._make(SessionContext(self._call, session=_FIRST_SESSION + self._sessions), self._told)
        self._own(self._run(self._engine), "take-over")

    def speak(self, audio: bytes) -> None:
        """Let the caller hear the person: µ-law, a multiple of 20 ms."""
        if self._is_ending or "agent" not in self._line.muted or self._line.is_on_hold:
            return
        now = self._clock()
        at = max(self._until, now)
        if at - now > _AHEAD_SECONDS or not self._relay.send_at_once(audio, at):
            self._relay.counts["operator_frames_lost"] += len(audio) // FRAME_BYTES
            return
        self._until = at + len(audio) / (BYTES_PER_MS * 1000)
        if self._engine is not None and not self._is_paused():
            self._engine.append(base64.b64encode(audio).decode("ascii"))

    def lost(self, number: int) -> None:
        """Note that the person's connection of this number is gone: without another one the agent has the caller back
        soon."""
        if self.by and not self._is_ending and number == self.number:
            self._is_lost = True
            self._note(notes.TakeOver(state="lost", by=self.by))
            self._timers.start("lost", _LOST_SECONDS, self._end, _LOST)

    def give_back(self, line: str = "") -> None:
        """Give the caller back to the agent. `line`: what was said, in the person's words; "": nothing to add."""
        said = f"The operator says of it: “{line[:MOST_LINE]}” " if line else ""
        self._end(said + _BACK)

    def hand_on(self) -> None:
        """Let the caller go to another person or to the agent's goodbye, of which the agent itself says what there is
        to say."""
        if self.by and not self._is_ending:
            self._timers.stop("lost")
            engine, self._engine, by = self._engine, None, self.by
            self._line.mute("agent", False, f"{TAKES_OVER}{by}", for_person=True)
            self.by = ""
            self._note(notes.TakeOver(state="ended", by=by))
            self._learn(_HANDED_ON, speak=False)
            if engine is not None:
                self._own(engine.close(), "the end of a take-over")

    def after(self, model: Model) -> None:
        """Let the caller go when a step has begun the last sentence of the call, whoever wanted it: the drain, a
        deadline, a loss. Nobody else is heard from then on, and the person is told."""
        if model.farewell:
            self.hand_on()

    def recovered(self) -> None:
        """Begin to count for how long the person who spoke in the process of before is lost."""
        if self._is_lost:
            self._timers.start("lost", _LOST_SECONDS, self._end, _LOST)

    def _end(self, text: str) -> None:
        if self.by and not self._is_ending:
            self._is_ending = True
            self._timers.stop("lost")
            self._own(self._hand_back(text), "give-back")

    async def _hand_back(self, text: str) -> None:
        engine, self._engine = self._engine, None
        by = self.by
        if engine is not None:
            engine.wind_up(speaking=self._speaking)
            await self._until_true(lambda: not self._speaking, self._seconds)
        try:
            if self._line.is_on_hold and not self._line.resume(f"{TAKES_OVER}{by}"):
                await self._until_true(lambda: not self._line.is_on_hold, 1.0)
            if not self._line.mute("agent", False, f"{TAKES_OVER}{by}", for_person=True):
                await self._until_true(lambda: "agent" not in self._line.muted, 1.0)
            self._note(notes.TakeOver(state="ended", by=by))
            self._learn(text, speak=True)
        finally:
            self.by = ""
            if engine is not None:
                await engine.close()

    async def _until_true(self, holds: Callable[[], bool], seconds: float) -> None:
        end = self._clock() + seconds
        while not holds() and self._clock() < end:  # noqa: ASYNC110 - twice in a take-over, without an event
            await asyncio.sleep(_STEP_SECONDS)

    async def _run(self, engine: Engine) -> None:
        try:
            await engine.run()
        finally:
            await engine.close()

    def _told(self, told: EngineEvent) -> None:
        match told:
            case Transcript(who="caller", final=True, text=text):
                self._speaking = False
                if text.strip():
                    self._write_down(text.strip())
            case SpeechStarted():
                self._speaking = True
            case SpeechStopped():
                pass  # the words are still to come
            case Usage():
                self._bill(told)
            case SessionLost():
                self._engine, self._speaking = None, False

    def _write_down(self, text: str) -> None:
        self._lines += 1
        if self._lines <= _MOST_LINES:
            self._learn(f"The operator said to the caller (no instruction for you): “{text}”", speak=False)

    def close(self) -> None:
        """Stop the timer, because the call is over."""
        self._timers.close()
