"""Events of the conversation: what the engine reports, what the agent wants, and what the caller does not say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from callflow.contracts.event import Event
from callflow.contracts.private_fields import PRIVATE


# What the engine says


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReady(Event):
    """The present session of the engine is configured."""

    name: ClassVar[str] = "engine_ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLost(Event):
    """This session of the engine is gone for good: its own adapter has given up. `retry`: a new one may do better."""

    name: ClassVar[str] = "engine_lost"
    reason: str = field(default="", metadata=PRIVATE)
    retry: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineExpiring(Event):
    """This session of the engine will end in `ms` milliseconds, because its time is limited."""

    name: ClassVar[str] = "engine_expiring"
    ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHeard(Event):
    """A whole answer has come out of the caller's telephone: engine and stream both work again."""

    name: ClassVar[str] = "agent_heard"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled(Event):
    """The model calls a tool."""

    name: ClassVar[str] = "tool_called"
    id: str = ""
    tool: str = ""
    arguments: str = field(default="", metadata=PRIVATE)
    """JSON as the model wrote it, which may be invalid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished(Event):
    """A tool has finished after `ms` milliseconds. `output`: JSON for the model; an error is an output, too."""

    name: ClassVar[str] = "tool_finished"
    id: str = ""
    tool: str = ""
    ok: bool = True
    output: str = field(default="", metadata=PRIVATE)
    ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRequested(Event):
    """The agent wants the call to end, when its last words have been heard."""

    name: ClassVar[str] = "end_requested"
    reason: str = field(default="agent", metadata=PRIVATE)
    by: str = ""
    """Who asked for it: `agent`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodbyeHeard(Event):
    """The caller has heard what the agent said before the end, and nothing more is to come."""

    name: ClassVar[str] = "goodbye_heard"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodbyeInterrupted(Event):
    """The caller interrupted the agent's goodbye: there is more to be said."""

    name: ClassVar[str] = "goodbye_interrupted"


# What the caller does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class NoInput(Event):
    """The caller has said nothing for too long, and should be asked. `last`: they were asked often enough."""

    name: ClassVar[str] = "no_input"
    time: int = 1
    """How often in a row, from 1."""
    last: bool = False
    why: str = "silence"
    """silence, noise (an unbroken one), or wordless (sounds without a word in them)."""
