"""What the turn manager of a call reports to: the agent, as far as the turn manager uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from callflow.contracts.engine import EngineCan
from callflow.contracts.media import Cut, SpeechSegmentId


class TurnListener(Protocol):
    """The agent, as the turn manager uses it."""

    def engine_has(self, what: EngineCan) -> bool:
        """Return whether there is a session of the engine with this capability."""

    def caller_payload(self, payload: str, audio: bytes) -> None:
        """Send the caller's audio to the engine: base64 of µ-law, and the same audio decoded."""

    def truncate(self, key: SpeechSegmentId, heard_ms: int) -> None:
        """Report to the engine how many ms of a stretch were heard."""

    def cancel(self, response: str) -> None:
        """Stop a response of the engine."""

    def interrupted(self, cuts: Sequence[Cut]) -> None:
        """Note that the caller has interrupted the agent; `cuts`: the stretches that were cut."""

    def missed_turn(self) -> None:
        """Note that the engine has missed a turn of the caller."""

    def missed_end(self) -> None:
        """Note that the engine has missed the end of the caller's turn."""

    def engine_silent(self, reason: str) -> None:
        """Note that an answer is due and the engine has been silent for too long."""

    def played_out(self) -> None:
        """Note that the caller has heard all audio sent so far."""

    def check_sentences(self) -> None:
        """See which sentences that matter have ended: a pause has lasted long enough for that."""

    def changed(self) -> None:
        """Note that somebody has begun or stopped speaking, so that the turn may have changed."""
