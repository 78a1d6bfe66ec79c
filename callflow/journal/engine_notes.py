"""Notes of what the engine's sessions did, and what they have used: a part of `notes.py`, which says how to read them.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from msgspec import field

from callflow.contracts.private_fields import PRIVATE
from callflow.journal.note import OPTIONAL, Note


class EngineRotated(Note, frozen=True, kw_only=True):
    """The engine's next session has taken the place of one that was to expire."""

    kind: ClassVar[str] = "engine_rotated"
    session: int = 0
    """Its number, from 1."""
    quiet: bool = False
    """Nobody spoke at that moment."""


class EngineChosen(Note, frozen=True, kw_only=True):
    """The engine's sessions of this call are from here on those of the second engine."""

    kind: ClassVar[str] = "engine_chosen"
    engine: str = ""
    reason: Annotated[str, PRIVATE] = ""


class EngineUnable(Note, frozen=True, kw_only=True):
    """The engine owes an answer and says that it cannot give it."""

    kind: ClassVar[str] = "engine_unable"
    reason: Annotated[str, PRIVATE] = ""


class EngineComplaint(Note, frozen=True, kw_only=True):
    """The engine reported an error that does not end its session."""

    kind: ClassVar[str] = "engine_complaint"
    code: str = ""
    message: Annotated[str, PRIVATE] = ""


class EngineMissedSpeech(Note, frozen=True, kw_only=True):
    """Our own speech detector heard the caller begin to speak, and the engine did not."""

    kind: ClassVar[str] = "engine_missed_speech"
    end: Annotated[bool, OPTIONAL] = False
    """It was the end of their speech that the engine did not hear."""


class ResponseFailed(Note, frozen=True, kw_only=True):
    """A response of the engine's did not come to its end."""

    kind: ClassVar[str] = "response_failed"
    status: str = ""
    detail: Annotated[str, PRIVATE] = ""
    final: bool = False
    """It is not tried again."""


class SessionChanged(Note, frozen=True, kw_only=True):
    """Settings of the engine's session were changed in mid-call: those in `changes`, by their names."""

    kind: ClassVar[str] = "session_changed"
    version: ClassVar[int] = 2
    changes: Annotated[Mapping[str, Any], PRIVATE] = field(default_factory=dict)
    by: Annotated[str, OPTIONAL] = ""
    """Who: see `callflow.web.console.requested_by`."""


class Listening(Note, frozen=True, kw_only=True):
    """Sessions of the engine write down what a transferred caller and a person say, or do so no longer."""

    kind: ClassVar[str] = "listening"
    state: str = ""
    """began, ended or failed"""
    reason: Annotated[str, PRIVATE] = ""


class ListenIn(Note, frozen=True, kw_only=True):
    """An operator listens to the call, or does so no longer."""

    kind: ClassVar[str] = "listen_in"
    state: str = ""
    """began or ended"""
    by: str = ""


class TakeOver(Note, frozen=True, kw_only=True):
    """An operator speaks to the caller in place of the agent, or does so no longer."""

    kind: ClassVar[str] = "take_over"
    state: str = ""
    """began, lost (the connection), or ended"""
    by: str = ""


class McpApproval(Note, frozen=True, kw_only=True):
    """The engine asked whether it may use a tool of a remote MCP server."""

    kind: ClassVar[str] = "mcp_approval"
    server: str = ""
    tool: str = ""
    approved: bool = False


class HostedTool(Note, frozen=True, kw_only=True):
    """A tool of a remote MCP server, which the engine's vendor runs, has come to its end."""

    kind: ClassVar[str] = "hosted_tool"
    id: str = ""
    server: str = ""
    tool: str = ""
    arguments: Annotated[str, PRIVATE] = ""
    output: Annotated[str, PRIVATE] = ""
    """What it has answered; not `ok`: the error."""
    ok: bool = True

    @property
    def name(self) -> str:
        """Return server and tool."""
        return f"{self.server}.{self.tool}"


class Usage(Note, frozen=True, kw_only=True):
    """What a response has used, and what the call has used so far."""

    kind: ClassVar[str] = "usage"
    model: str = ""
    used: Mapping[str, Any] = field(default_factory=dict)
    """Tokens (or seconds) by kind, of this response."""
    total: Mapping[str, Any] = field(default_factory=dict)
    """`{"models": {model: {kind: count}}, "usd": float or None}`, of the call."""
    usd: float | None = None
    """US dollars of the call so far; None: some of it has no known price."""
