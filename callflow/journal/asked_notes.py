"""Notes of what others were asked about a call, and told: a part of `notes.py`, which says how to read them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from callflow.contracts.private_fields import PRIVATE
from callflow.journal.note import OPTIONAL, Note


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerLookup(Note):
    """What the caller lookup told while the phone rang, and how the call goes on."""

    kind: ClassVar[str] = "caller_lookup"
    outcome: Literal["answered", "late", "failed"]
    ms: int = 0
    """How long it took."""
    why: str = field(default="", metadata=OPTIONAL)
    """What went wrong."""
    profile: str = field(default="", metadata=OPTIONAL)
    """The profile that it asked for."""
    variables: Mapping[str, Any] = field(default_factory=dict, metadata={**OPTIONAL, **PRIVATE})
    """For `{{name}}` in what the model is told."""
    left_out: list[str] = field(default_factory=list, metadata=OPTIONAL)
    """Names in there that it gave no value for."""
    problems: list[str] = field(default_factory=list, metadata=OPTIONAL)
    """A line for each part of the answer that was not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlAsked(Note):
    """The control endpoint was asked about this call. What it changed is in `session_changed`."""

    kind: ClassVar[str] = "control_asked"
    outcome: Literal["answered", "late", "failed"]
    about: str = ""
    """What happened in the call: `session.created`, or the name of an entry of the journal."""
    ms: int = 0
    """How long it took."""
    detail: str = field(default="", metadata={**OPTIONAL, **PRIVATE})
    """What went wrong."""
    names: list[str] = field(default_factory=list, metadata=OPTIONAL)
    """Names of the settings that it asked to change."""
    problems: list[str] = field(default_factory=list, metadata=OPTIONAL)
    """A line for each part of the answer that was left out."""
