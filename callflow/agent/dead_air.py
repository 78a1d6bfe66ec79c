"""Prevents dead air: a caller who waits for an answer and hears nothing.

`dead_air_timer.py` computes when an action is due; this module takes it: a clip when the agent is silent, a report when
the engine stays silent or does not hear the caller.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from callflow.agent.agent_config import AgentConfig
from callflow.agent.dead_air_timer import DeadAirTimer
from callflow.media.speech_detector import SpeechDetector, Unnoticed
from callflow.timers import Timers


FILLERS: Final = ("one-moment", "still-here")
"""Names of clips: for the first time, and from the second time on."""
_TALKING_SECONDS: Final = 0.3
"""Pause before checking again whether the caller, who speaks while the engine is away, has stopped."""
_DOUBT_SECONDS: Final = 2.0
"""Time to begin an answer, for an engine that missed the caller's turn and was asked for the answer."""
_LOOK: Final = "look"
_LEAST_SECONDS: Final = 0.005


class DeadAirListener(Protocol):
    """The turn manager, as `DeadAir` uses it. Times are in seconds of the loop's clock."""

    @property
    def is_protected(self) -> bool:
        """Whether the sentence being played cannot be interrupted."""

    @property
    def is_agent_shut(self) -> bool:
        """Whether the caller hears nothing of the agent now, so that no answer is missing."""

    @property
    def is_caller_speaking(self) -> bool:
        """Whether the engine hears the caller speak."""

    @property
    def engine_decides(self) -> bool:
        """Whether the engine decides by itself what it answers, so that it has missed nothing."""

    @property
    def is_flowing(self) -> bool:
        """Whether there is a stream, so that the caller could hear a clip."""

    def audible_until(self, now: float) -> float:
        """Return when all that was sent so far will have been heard: seconds, on the clock of `now`."""

    def interject(self, name: str, *otherwise: str) -> bool:
        """Play the first of these clips that exists. Returns False if none does, or the caller could not hear it."""

    def filled(self, now: float) -> None:
        """Note that a clip is due."""

    def engine_silent(self, reason: str) -> None:
        """Note that the engine has been silent for too long; `reason`: what it has not done, and for how long, as a
        clause."""

    def missed_turn(self, since: float) -> None:
        """Note that the engine has missed a turn of the caller; `since`: the time of the last word, in seconds."""

    def missed_end(self, since: float) -> None:
        """Note that the engine has missed the end of the caller's turn, at `since`, in seconds."""


class Continued(Protocol):
    """Speech about which `DeadAir` is told at its beginning only."""

    def take_played_at(self) -> float | None:
        """Return when more of it was last sent, in seconds; None: not since this was last asked."""


class DeadAir:
    """Fills the silences of one call, and checks that the engine answers."""

    def __init__(self, listener: DeadAirListener, continued: Continued, config: AgentConfig) -> None:
        self._listener, self._continued, self._config = listener, continued, config
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._timer = DeadAirTimer(
            filler=config.reply_filler_seconds, restoring=config.filler_seconds, reply=config.reply_seconds
        )
        self.detector = SpeechDetector(config.missed_start_after_ms, config.missed_end_after_ms)
        self._timers = Timers()
        self._over = False

    @property
    def is_answer_due(self) -> bool:
        """Whether the caller waits for an answer."""
        return self._up_to_date().is_answer_due

    @property
    def is_filling(self) -> bool:
        """Whether clips stand in for an answer that is due."""
        timer = self._up_to_date()
        return timer.is_answer_due and timer.fillers > 0

    def _up_to_date(self) -> DeadAirTimer:
        """Return the timer, once it knows of all audio of the engine."""
        if (at := self._continued.take_played_at()) is not None:
            self._timer.speaks(at)
            self._timer.sounded(self._listener.audible_until(self._clock()))
        return self._timer

    def answer_due(self, *, since: float | None = None, reply: bool = True, within: float | None = None) -> None:
        """Begin the agent's turn. `since`: the time of the caller's last word; None: now. `reply` False: the engine
        waits first, for a tool for example. `within`: seconds in which the engine must begin; None: the usual."""
        now = self._clock()
        self._up_to_date().answer_due(now if since is None else since, now, reply=reply, within=within)
        self.look_later()

    def begins(self) -> None:
        """Note that a response has begun."""
        self._up_to_date().begins(self._clock())
        self.look_later()

    def answer_given(self) -> None:
        """End the agent's turn: no answer is due any more."""
        self._up_to_date().answer_given()
        self.look_later()

    def speaks(self) -> None:
        """Note that the engine has sent audio."""
        self._up_to_date().speaks(self._clock())
        if not self._timers.is_running(_LOOK):
            self.look_later()

    def sounds_until(self, at: float) -> None:
        """Note that the caller hears something until `at`, in seconds of the loop's clock."""
        self._timer.sounded(at)

    def restoring(self) -> None:
        """Note that the engine is away."""
        self._up_to_date().restoring(self._clock())
        self.look_later()

    def restored(self) -> None:
        """Note that the engine is back."""
        self._up_to_date().restored()
        self.look_later()

    def caller_audio(self, audio: bytes) -> None:
        """Process a frame of the caller's audio, µ-law."""
        if unnoticed := self.detector.feed(audio):
            self._unnoticed(unnoticed)

    def leave(self) -> None:
        """Stop for good: the agent has finished, or the call is over."""
        self._over = True
        self.pause()

    def pause(self) -> None:
        """Stop the timer until the next event."""
        self._timers.stop(_LOOK)

    def look_later(self) -> None:
        """Start the timer for the next action."""
        self.pause()
        at = self._timer.next_look(audible=self._listener.is_flowing)
        if at is not None and not self._over:
            self._timers.start(_LOOK, max(at - self._clock(), _LEAST_SECONDS), self._look)

    def _look(self) -> None:
        """Play a clip or report the engine, if that is due."""
        now, timer, listener = self._clock(), self._up_to_date(), self._listener
        if timer.is_over(now):
            timer.gave_up()
            listener.engine_silent(f"it has said nothing for {self._config.reply_seconds:g} s")
            return
        due = timer.filler_at()
        if due is not None and due <= now + 0.001 and listener.is_flowing:
            if (ends := listener.audible_until(now)) > now:
                timer.sounded(ends)
            elif self.detector.hears_speech:
                self._timers.start(_LOOK, _TALKING_SECONDS, self._look)
                return
            else:
                listener.filled(now)
                if listener.interject(FILLERS[min(timer.fillers, 1)], FILLERS[0]):
                    timer.fillers += 1
                timer.sounded(max(listener.audible_until(now), now))
        self.look_later()

    def _unnoticed(self, what: Unnoticed) -> None:
        listener, detector = self._listener, self.detector
        if listener.is_protected or listener.engine_decides or self._over:
            return
        if what == "end":
            if listener.is_caller_speaking:
                listener.missed_end(self._clock() - detector.end_ms / 1000)
        elif not (self.is_answer_due or listener.is_caller_speaking or listener.is_agent_shut):
            since = self._clock() - detector.pause_ms / 1000
            listener.missed_turn(since)
            self.answer_due(since=since, within=_DOUBT_SECONDS)
