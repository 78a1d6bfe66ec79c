"""Events of what operators and tools do with the line of a call: hold, mute, words and keys. Each says who asked."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from callflow.contracts.event import Event
from callflow.contracts.private_fields import PRIVATE


class HoldRequested(Event, frozen=True, kw_only=True):
    """Put the caller on hold: they hear music, and the agent neither hears them nor speaks."""

    name: ClassVar[str] = "hold_requested"
    by: str = ""
    """As of `GoodbyeRequested`."""


class ResumeRequested(Event, frozen=True, kw_only=True):
    """Take the caller off hold: the agent has them again, and says so."""

    name: ClassVar[str] = "resume_requested"
    by: str = ""
    """As of `GoodbyeRequested`."""


class MuteRequested(Event, frozen=True, kw_only=True):
    """Mute one party for the other, or end that."""

    name: ClassVar[str] = "mute_requested"
    party: Literal["caller", "agent"] = "caller"
    """caller: the agent does not hear the caller; agent: the caller does not hear the agent."""
    on: bool = True
    by: str = ""
    """As of `GoodbyeRequested`."""
    for_person: bool = False
    """Of the agent: so that a person can speak in its place."""


class SayRequested(Event, frozen=True, kw_only=True):
    """Say a text to the caller, word for word."""

    name: ClassVar[str] = "say_requested"
    id: str = ""
    """Names the text within this process's part of the call."""
    text: Annotated[str, PRIVATE] = ""
    otherwise: Literal["", "carrier"] = ""
    """Whose voice says it while the engine is away: the carrier's, or nobody's."""
    by: str = ""
    """As of `GoodbyeRequested`."""


class DtmfRequested(Event, frozen=True, kw_only=True):
    """Press keys of the telephone, for the other end to hear."""

    name: ClassVar[str] = "dtmf_requested"
    id: str = ""
    """As of `SayRequested`."""
    digits: Annotated[str, PRIVATE] = ""
    """Masked if digits must not be written down."""
    way: Literal["carrier", "tones"] = "tones"
    """Whether the carrier sends them by a command, or we play their tones."""
    by: str = ""
    """As of `GoodbyeRequested`, or `agent`."""
