"""Sees to it that nobody is left in dead air when it is the agent's turn.

`dead_air_timer.py` says when something is due; here it is done. One of our own sentences is played where the agent's
are missing, and an engine that stays silent, or does not hear the caller, is reported.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from callflow.agent.agent_config import AgentConfig
from callflow.agent.dead_air_timer import DeadAirTimer
from callflow.media.speech_detector import SpeechDetector, Unnoticed
from callflow.timers import Timers


FILLERS: Final = ("one-moment", "still-here")
"""The first time, and from the second time on."""
_TALKING_SECONDS: Final = 0.3
"""How soon to look again whether the caller, whom the engine cannot hear just now, has stopped speaking."""
_DOUBT_SECONDS: Final = 2.0
"""How long an engine that has missed the caller's turn has to begin an answer, once it was asked to."""
_LOOK: Final = "look"
_LEAST_SECONDS: Final = 0.005


class DeadAirListener(Protocol):
    """What dead air asks and tells: the manager of the turns. Times are of the loop's clock, in seconds."""

    @property
    def is_protected(self) -> bool:
        """What is being said cannot be interrupted."""

    @property
    def is_caller_speaking(self) -> bool:
        """The engine hears the caller."""

    @property
    def is_flowing(self) -> bool:
        """The caller could hear something."""

    def audible_until(self, now: float) -> float:
        """When all that was sent so far will have been heard."""

    def interject(self, name: str, *otherwise: str) -> bool:
        """Play one of our own sentences. Returns False if there is none, or nobody would hear it."""

    def filled(self, now: float) -> None:
        """One of them is due now."""

    def engine_silent(self, reason: str) -> None:
        """The engine has had its time to say something."""

    def missed_turn(self, since: float) -> None:
        """The caller has plainly spoken, their last word at `since`, and the engine has not noticed."""

    def missed_end(self, since: float) -> None:
        """The engine has noticed that they spoke, and not that they have stopped since then."""


class DeadAir:
    def __init__(self, listener: DeadAirListener, config: AgentConfig) -> None:
        self._listener, self._config = listener, config
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._patience = DeadAirTimer(
            patience=config.patience_seconds, restoring=config.filler_seconds, reply=config.reply_seconds
        )
        self.detector = SpeechDetector(config.deaf_after_ms, config.unended_after_ms)
        self._timers = Timers()
        self._over = False

    @property
    def is_owed(self) -> bool:
        """The caller waits for the agent."""
        return self._patience.is_owed

    def owe(self, *, since: float | None = None, reply: bool = True, within: float | None = None) -> None:
        """It is the agent's turn. `since`: the caller's last word; `reply` False: it waits for something else first;
        `within`: the engine is in doubt, and has only so long to begin."""
        now = self._clock()
        self._patience.owe(now if since is None else since, now, reply=reply, within=within)
        self.look_later()

    def begins(self) -> None:
        """The engine is about to say something."""
        self._patience.begins(self._clock())
        self.look_later()

    def paid(self) -> None:
        self._patience.paid()
        self.look_later()

    def speaks(self) -> None:
        """The engine is saying something."""
        self._patience.speaks(self._clock())
        if not self._timers.is_running(_LOOK):
            self.look_later()

    def sounds_until(self, at: float) -> None:
        self._patience.sounded(at)

    def restoring(self) -> None:
        self._patience.restoring(self._clock())
        self.look_later()

    def restored(self) -> None:
        self._patience.restored()
        self.look_later()

    def hear(self, audio: bytes) -> None:
        """A frame of the caller's."""
        if unnoticed := self.detector.feed(audio):
            self._unnoticed(unnoticed)

    def leave(self) -> None:
        """The agent has had its last word, or nobody listens any more."""
        self._over = True
        self.pause()

    def pause(self) -> None:
        self._timers.stop(_LOOK)

    def look_later(self) -> None:
        self.pause()
        at = self._patience.next_look(audible=self._listener.is_flowing)
        if at is not None and not self._over:
            self._timers.start(_LOOK, max(at - self._clock(), _LEAST_SECONDS), self._look)

    def _look(self) -> None:
        """Has the caller been without a sound for too long, or the engine without a word?"""
        now, patience, listener = self._clock(), self._patience, self._listener
        if patience.is_over(now):
            patience.gave_up()
            listener.engine_silent(f"it has said nothing for {self._config.reply_seconds:g} s")
            return
        due = patience.filler_at()
        if due is not None and due <= now + 0.001 and listener.is_flowing:
            if (ends := listener.audible_until(now)) > now:
                patience.sounded(ends)
            elif self.detector.hears_speech:
                self._timers.start(_LOOK, _TALKING_SECONDS, self._look)
                return
            else:
                listener.filled(now)
                if listener.interject(FILLERS[min(patience.fillers, 1)], FILLERS[0]):
                    patience.fillers += 1
                patience.sounded(max(listener.audible_until(now), now))
        self.look_later()

    def _unnoticed(self, what: Unnoticed) -> None:
        listener, detector = self._listener, self.detector
        if listener.is_protected or self._over:
            return
        if what == "end":
            if listener.is_caller_speaking:
                listener.missed_end(self._clock() - detector.end_ms / 1000)
        elif not self._patience.is_owed and not listener.is_caller_speaking:
            since = self._clock() - detector.pause_ms / 1000
            listener.missed_turn(since)
            self.owe(since=since, within=_DOUBT_SECONDS)
