"""The settings of one call's agent."""

from __future__ import annotations

from dataclasses import dataclass

from callflow.contracts.engine import MakeEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """How the agent begins, how long it waits, and which engine it uses. Times are in the unit that a name ends in."""

    make_engine: MakeEngine
    """Makes a session of the engine."""

    greeting: str
    """What the agent is told to do first; "": it waits for the caller."""
    disclosure: str
    """A sentence that is said word for word before anything else, and cannot be interrupted."""
    greeting_protected: bool
    """The greeting cannot be interrupted either."""

    transcript_seconds: float
    """How long the caller's last words may still come when the call is over; 0: not at all."""
    max_call_warning_seconds: float
    """How long before its end a long call is told so."""

    reply_seconds: float
    """How long the engine may say nothing when it is its turn to speak."""
    patience_seconds: float
    """How long the caller hears nothing in the agent's turn until a clip is played."""
    filler_seconds: float
    """The same while the engine is being restored."""
    missed_start_after_ms: int
    """An engine that has not noticed the caller's speech after so much quiet will not notice it."""
    missed_end_after_ms: int
    """An engine that has not noticed the end of the caller's speech after so much quiet will not notice it."""
    min_interruption_ms: int
    """How long the caller must speak for the agent to stop; 0: not at all. Only where the engine does not stop
    itself."""

    no_input_seconds: float
    """Of silence when it is the caller's turn, until somebody asks; 0: nobody asks."""
    no_input_asks: int
    """How often, before the goodbye."""
    hold_seconds: float
    """An unbroken noise of that length is no input either: hold music, an open microphone."""

    @property
    def opens_protected(self) -> bool:
        """Whether the call begins with a sentence that the caller cannot interrupt."""
        return bool(self.disclosure) or (self.greeting_protected and bool(self.greeting))
