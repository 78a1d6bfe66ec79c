"""Events of the conversation: what the engine reports, what the agent wants, and what the caller does not say."""

from __future__ import annotations

from typing import Annotated, ClassVar

from callflow.contracts.event import Event
from callflow.contracts.private_fields import PRIVATE


# What the engine says


class EngineReady(Event, frozen=True, kw_only=True):
    """The present session of the engine is configured."""

    name: ClassVar[str] = "engine_ready"


class EngineLost(Event, frozen=True, kw_only=True):
    """This session of the engine is gone for good: its own adapter has given up. `retry`: a new one may do better."""

    name: ClassVar[str] = "engine_lost"
    reason: Annotated[str, PRIVATE] = ""
    retry: bool = True


class EngineExpiring(Event, frozen=True, kw_only=True):
    """This session of the engine will end in `ms` milliseconds, because its time is limited."""

    name: ClassVar[str] = "engine_expiring"
    ms: int = 0


class AgentHeard(Event, frozen=True, kw_only=True):
    """A whole answer has come out of the caller's telephone: engine and stream both work again."""

    name: ClassVar[str] = "agent_heard"


class ToolCalled(Event, frozen=True, kw_only=True):
    """The model calls a tool."""

    name: ClassVar[str] = "tool_called"
    id: str = ""
    tool: str = ""
    arguments: Annotated[str, PRIVATE] = ""
    """JSON as the model wrote it, which may be invalid."""


class ToolFinished(Event, frozen=True, kw_only=True):
    """A tool has finished after `ms` milliseconds. `output`: JSON for the model; an error is an output, too."""

    name: ClassVar[str] = "tool_finished"
    id: str = ""
    tool: str = ""
    ok: bool = True
    output: Annotated[str, PRIVATE] = ""
    ms: int = 0


class EndRequested(Event, frozen=True, kw_only=True):
    """The agent wants the call to end, when its last words have been heard."""

    name: ClassVar[str] = "end_requested"
    reason: Annotated[str, PRIVATE] = "agent"
    by: str = ""
    """Who asked for it: `agent`."""


class GoodbyeHeard(Event, frozen=True, kw_only=True):
    """The caller has heard what the agent said before the end, and nothing more is to come."""

    name: ClassVar[str] = "goodbye_heard"


class GoodbyeInterrupted(Event, frozen=True, kw_only=True):
    """The caller interrupted the agent's goodbye: there is more to be said."""

    name: ClassVar[str] = "goodbye_interrupted"


# What the caller does not say


class NoInput(Event, frozen=True, kw_only=True):
    """The caller has said nothing for too long, and should be asked. `last`: they were asked often enough."""

    name: ClassVar[str] = "no_input"
    time: int = 1
    """How often in a row, from 1."""
    last: bool = False
    why: str = "silence"
    """silence, noise (an unbroken one), or wordless (sounds without a word in them)."""
