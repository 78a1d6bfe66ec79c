"""The settings of one call's agent."""

from __future__ import annotations

from dataclasses import dataclass

from callflow.contracts.engine import MakeEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """How the agent begins, how long it waits, and which engine it uses. The end of a name is its unit."""

    make_engine: MakeEngine
    """Makes a session of the engine."""
    engine_buffer_seconds: float
    """How much of the caller's audio is kept while no session is ready."""

    greeting: str
    """The first instruction to the agent; "": the agent waits for the caller."""
    disclosure: str
    """A sentence that the agent says first, word for word; the caller cannot interrupt it. "": none."""
    greeting_protected: bool
    """The caller cannot interrupt the greeting either."""

    voicemail_message: str
    """What is said on an answering machine, word for word."""

    transcript_seconds: float
    """How long after the end of the call transcripts of the caller's last words are awaited; 0: not at all."""
    max_call_warning_seconds: float
    """How long before the time limit of the call the caller is warned."""

    reply_seconds: float
    """How long the engine may stay silent in the agent's turn."""
    reply_filler_seconds: float
    """How long the caller may hear nothing in the agent's turn before a clip is played."""
    filler_seconds: float
    """The same limit while the engine is being restored."""
    missed_start_after_ms: int
    """Quiet after the caller's speech until we conclude that the engine has missed the speech."""
    missed_end_after_ms: int
    """Quiet after the caller's speech until we conclude that the engine has missed its end."""
    min_interruption_ms: int
    """How long the caller must speak for the agent to stop; 0: the agent stops at once. No effect where the engine
    stops itself."""

    no_input_seconds: float
    """Silence in the caller's turn until the agent asks whether the caller is there; 0: the agent never asks."""
    no_input_asks: int
    """How often the agent asks before it says goodbye."""
    no_input_noise_seconds: float
    """An unbroken noise of this length counts as silence: hold music, an open microphone."""

    @property
    def opens_protected(self) -> bool:
        """Whether the call begins with a sentence that the caller cannot interrupt."""
        return bool(self.disclosure) or (self.greeting_protected and bool(self.greeting))
