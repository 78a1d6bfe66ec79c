"""The state with which an agent continues a call of another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from callflow.agent.conversation import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentState:
    """The state of an agent, read from the journal."""

    turns: Sequence[Turn]
    """All turns, in order."""
    interruptions: int
    greeting_is_over: bool
    """The caller has heard the protected sentence, or there was none."""
    changes: Mapping[str, Any]
    """Settings of the session that were changed in mid-call, by name."""
    usage: Mapping[str, Any]
    """The usage of the call so far: see `UsageTotal`."""
    first_word_ms: int | None
    """From the answer to the agent's first audio, in ms; None: there was none."""
    left_quietly: bool
    """The call was handed over at a moment when nobody spoke."""
    unanswered: Mapping[str, str] = field(default_factory=dict)
    """What the model is told of its tool calls without a result, by their ids."""
    engine: str = ""
    """The second engine, if the call has come to it."""
    last_session: int = 1
    """The highest number of a session that ids of the call tell of."""
    had_session: bool = False
    """A session of the engine was open in the call."""
    met_person: bool = False
    """A person has had the caller, after a transfer or in the agent's place."""
