"""What the settings say of one call's agent: how it opens, how long it is patient, and which engine speaks for it."""

from __future__ import annotations

from dataclasses import dataclass

from callflow.contracts.engine import MakeEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    make_engine: MakeEngine

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
