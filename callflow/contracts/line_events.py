"""Events of what operators and tools do with the line of a call: hold, mute, words and keys. Each says who asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from callflow.contracts.event import Event
from callflow.contracts.private_fields import PRIVATE


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRequested(Event):
    """Put the caller on hold: they hear music, and the agent neither hears them nor speaks."""

    name: ClassVar[str] = "hold_requested"
    by: str = ""
    """As of `GoodbyeRequested`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequested(Event):
    """Take the caller off hold: the agent has them again, and says so."""

    name: ClassVar[str] = "resume_requested"
    by: str = ""
    """As of `GoodbyeRequested`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MuteRequested(Event):
    """Mute one party for the other, or end that."""

    name: ClassVar[str] = "mute_requested"
    party: Literal["caller", "agent"] = "caller"
    """caller: the agent does not hear the caller; agent: the caller does not hear the agent."""
    on: bool = True
    by: str = ""
    """As of `GoodbyeRequested`."""
    for_person: bool = False
    """Of the agent: so that a person can speak in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SayRequested(Event):
    """Say a text to the caller, word for word."""

    name: ClassVar[str] = "say_requested"
    id: str = ""
    """Names the text within this process's part of the call."""
    text: str = field(default="", metadata=PRIVATE)
    otherwise: Literal["", "carrier"] = ""
    """Whose voice says it while the engine is away: the carrier's, or nobody's."""
    by: str = ""
    """As of `GoodbyeRequested`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DtmfRequested(Event):
    """Press keys of the telephone, for the other end to hear."""

    name: ClassVar[str] = "dtmf_requested"
    id: str = ""
    """As of `SayRequested`."""
    digits: str = field(default="", metadata=PRIVATE)
    """Masked if digits must not be written down."""
    way: Literal["carrier", "tones"] = "tones"
    """Whether the carrier sends them by a command, or we play their tones."""
    by: str = ""
    """As of `GoodbyeRequested`, or `agent`."""
