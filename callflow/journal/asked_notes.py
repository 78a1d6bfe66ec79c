"""Notes of what others were asked about a call, and told: a part of `notes.py`, which says how to read them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import field

from callflow.contracts.private_fields import PRIVATE
from callflow.journal.note import OPTIONAL, Note


class CallerLookup(Note, frozen=True, kw_only=True):
    """What the caller lookup told while the phone rang, and how the call goes on."""

    kind: ClassVar[str] = "caller_lookup"
    outcome: Literal["answered", "late", "failed"]
    ms: int = 0
    """How long it took."""
    why: Annotated[str, OPTIONAL] = ""
    """What went wrong."""
    profile: Annotated[str, OPTIONAL] = ""
    """The profile that it asked for."""
    variables: Annotated[Mapping[str, Any], OPTIONAL, PRIVATE] = field(default_factory=dict)
    """For `{{name}}` in what the model is told."""
    left_out: Annotated[list[str], OPTIONAL] = field(default_factory=list)
    """Names in there that it gave no value for."""
    problems: Annotated[list[str], OPTIONAL] = field(default_factory=list)
    """A line for each part of the answer that was not used."""


class ControlAsked(Note, frozen=True, kw_only=True):
    """The control endpoint was asked about this call. What it changed is in `session_changed`."""

    kind: ClassVar[str] = "control_asked"
    outcome: Literal["answered", "late", "failed"]
    about: str = ""
    """What happened in the call: `session.created`, or the name of an entry of the journal."""
    ms: int = 0
    """How long it took."""
    detail: Annotated[str, OPTIONAL, PRIVATE] = ""
    """What went wrong."""
    names: Annotated[list[str], OPTIONAL] = field(default_factory=list)
    """Names of the settings that it asked to change."""
    problems: Annotated[list[str], OPTIONAL] = field(default_factory=list)
    """A line for each part of the answer that was left out."""
