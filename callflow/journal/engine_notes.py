"""Notes of what the engine's sessions did, and what they have used: a part of `notes.py`, which says how to read them.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from callflow.contracts.private_fields import PRIVATE
from callflow.journal.note import OPTIONAL, Note


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRotated(Note):
    """The engine's next session has taken the place of one that was to expire."""

    kind: ClassVar[str] = "engine_rotated"
    session: int = 0
    """Its number, from 1."""
    quiet: bool = False
    """Nobody spoke at that moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChosen(Note):
    """The engine's sessions of this call are from here on those of the second engine."""

    kind: ClassVar[str] = "engine_chosen"
    engine: str = ""
    reason: str = field(default="", metadata=PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUnable(Note):
    """The engine owes an answer and says that it cannot give it."""

    kind: ClassVar[str] = "engine_unable"
    reason: str = field(default="", metadata=PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineComplaint(Note):
    """The engine reported an error that does not end its session."""

    kind: ClassVar[str] = "engine_complaint"
    code: str = ""
    message: str = field(default="", metadata=PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMissedSpeech(Note):
    """Our own speech detector heard the caller begin to speak, and the engine did not."""

    kind: ClassVar[str] = "engine_missed_speech"
    end: bool = field(default=False, metadata=OPTIONAL)
    """It was the end of their speech that the engine did not hear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFailed(Note):
    """A response of the engine's did not come to its end."""

    kind: ClassVar[str] = "response_failed"
    status: str = ""
    detail: str = field(default="", metadata=PRIVATE)
    final: bool = False
    """It is not tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionChanged(Note):
    """Settings of the engine's session were changed in mid-call: those in `changes`, by their names."""

    kind: ClassVar[str] = "session_changed"
    version: ClassVar[int] = 2
    changes: Mapping[str, Any] = field(default_factory=dict, metadata=PRIVATE)
    by: str = field(default="", metadata=OPTIONAL)
    """Who: see `callflow.web.console.requested_by`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening(Note):
    """Sessions of the engine write down what a transferred caller and a person say, or do so no longer."""

    kind: ClassVar[str] = "listening"
    state: str = ""
    """began, ended or failed"""
    reason: str = field(default="", metadata=PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenIn(Note):
    """An operator listens to the call, or does so no longer."""

    kind: ClassVar[str] = "listen_in"
    state: str = ""
    """began or ended"""
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOver(Note):
    """An operator speaks to the caller in place of the agent, or does so no longer."""

    kind: ClassVar[str] = "take_over"
    state: str = ""
    """began, lost (the connection), or ended"""
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class McpApproval(Note):
    """The engine asked whether it may use a tool of a remote MCP server."""

    kind: ClassVar[str] = "mcp_approval"
    server: str = ""
    tool: str = ""
    approved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedTool(Note):
    """A tool of a remote MCP server, which the engine's vendor runs, has come to its end."""

    kind: ClassVar[str] = "hosted_tool"
    id: str = ""
    server: str = ""
    tool: str = ""
    arguments: str = field(default="", metadata=PRIVATE)
    output: str = field(default="", metadata=PRIVATE)
    """What it has answered; not `ok`: the error."""
    ok: bool = True

    @property
    def name(self) -> str:
        """Return server and tool."""
        return f"{self.server}.{self.tool}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage(Note):
    """What a response has used, and what the call has used so far."""

    kind: ClassVar[str] = "usage"
    model: str = ""
    used: Mapping[str, Any] = field(default_factory=dict)
    """Tokens (or seconds) by kind, of this response."""
    total: Mapping[str, Any] = field(default_factory=dict)
    """`{"models": {model: {kind: count}}, "usd": float or None}`, of the call."""
    usd: float | None = None
    """US dollars of the call so far; None: some of it has no known price."""
