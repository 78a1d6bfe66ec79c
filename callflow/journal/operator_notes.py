"""Notes of how people step into a call: a part of `notes.py`, which says how to read them. What they do with the call's
line is an event: see `contracts/line_events.py`.

Pure.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from callflow.contracts.private_fields import PRIVATE
from callflow.journal.note import Note


class Whispered(Note, frozen=True, kw_only=True):
    """An operator told the model something that the caller does not hear."""

    kind: ClassVar[str] = "whispered"
    id: str = ""
    """Names the whisper within this process's part of the call."""
    text: Annotated[str, PRIVATE] = ""
    now: bool = False
    """The model was asked to speak about it at once."""
    by: str = ""
    """Who: see `callflow.web.console.requested_by`."""


class WhisperUsed(Note, frozen=True, kw_only=True):
    """The model gave the first answer that it began with a whisper before it, and that could be heard."""

    kind: ClassVar[str] = "whisper_used"
    id: str = ""
    item: str = ""
    """The answer's item, as in the note `turn`."""


class OperatorAsked(Note, frozen=True, kw_only=True):
    """A tool call waits for an operator's answer."""

    kind: ClassVar[str] = "operator_asked"
    id: str = ""
    """Of the tool call."""
    tool: str = ""
    ms: int = 0
    """How long it waits."""


class OperatorAnswered(Note, frozen=True, kw_only=True):
    """An operator answered a tool call; the answer itself is in the event `tool_finished`."""

    kind: ClassVar[str] = "operator_answered"
    id: str = ""
    tool: str = ""
    ok: bool = True
    """False: they told an error."""
    by: str = ""
    """As of `Whispered`."""


class ImageShown(Note, frozen=True, kw_only=True):
    """An operator showed the model a picture. A small copy of it is in the history."""

    kind: ClassVar[str] = "image_shown"
    number: int = 0
    """Within the call, from 1."""
    text: Annotated[str, PRIVATE] = ""
    """What it shows, as they said."""
    mime: str = ""
    """Of what the model got."""
    width: int = 0
    height: int = 0
    """As it was sent, in pixels."""
    size: int = 0
    """As it was sent, in bytes."""
    now: bool = False
    """The model was asked to speak about it at once."""
    by: str = ""
    """As of `Whispered`."""
