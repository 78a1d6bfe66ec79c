"""What a carrier, its media dialect, an engine and a socket must be able to do for the rooms above them.

The call, the relay and the switchboard know carriers and engines through this file alone. What not every implementation
can do stands in its capability set, and is asked for there, never by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from callflow.contracts.tools import ToolCall


# Signalling


# Media


# The way in


# Engines


class SessionReady(NamedTuple):
    """Configured and confirmed: caller audio flows from here on."""


class SpeechStarted(NamedTuple):
    """The engine hears the caller begin to speak."""


class SpeechStopped(NamedTuple):
    """The caller has stopped."""

    ago_ms: float | None = None
    """How much caller audio came after the last word, which is how long ago it ended; None: the engine did not say."""


class ResponseStarted(NamedTuple):
    response: str


class AudioDelta(NamedTuple):
    """Audio of the agent: µ-law bytes of one content part of one item of one response."""

    response: str
    item: str
    content: int
    audio: bytes


class AudioDone(NamedTuple):
    response: str
    item: str
    content: int


class ResponseDone(NamedTuple):
    """A response has ended: `completed`, `cancelled`, `incomplete` or `failed`, as the engine calls it."""

    response: str
    status: str
    detail: str = ""
    final: bool = True
    """False: what could be heard of it is no answer, and the engine's adapter will ask again; the words are owed."""
    answered: bool = False
    """All that it has to say could be heard."""
    sounds: bool = True
    """Something of it could be heard."""
    items: tuple[str, ...] = ()
    """What it said, with or without a sound."""


class Transcript(NamedTuple):
    """Text of one side: a piece (`final` False), or the whole (`final` True)."""

    who: Literal["caller", "agent"]
    item: str
    text: str
    final: bool


class TranscriptFailed(NamedTuple):
    """What the caller said was heard and answered, and nobody will write it down."""

    item: str
    reason: str


class McpApproval(NamedTuple):
    """The engine asked whether it may use a tool that its vendor runs, and was answered by setting."""

    server: str
    tool: str
    approved: bool


class ItemAdded(NamedTuple):
    """An item took its place in the conversation, in this order."""

    who: Literal["caller", "agent"]
    item: str


class ToolCalls(NamedTuple):
    """All complete calls of one response, when that response has ended."""

    response: str
    calls: tuple[ToolCall, ...]


class ResponseFailed(NamedTuple):
    """The engine owed words, tried as often as it may, and has none: the caller must hear something else."""

    reason: str


class SessionExpiring(NamedTuple):
    """This session ends in so many seconds, whatever anybody does: another one is needed before."""

    seconds: float


class Usage(NamedTuple):
    """What a piece of the engine's work has used."""

    model: str
    usage: Mapping[str, float]
    """Tokens by kind, such as `audio_in` (of which `audio_cached`) and `text_out`; or `seconds`."""
    usd: float | None
    """None: nobody here knows its price."""


class ErrorReported(NamedTuple):
    """The engine reported an error that does not end the session."""

    code: str
    message: str


class SessionLost(NamedTuple):
    """The engine is gone for good. `retry`: another session may do better."""

    reason: str
    retry: bool = True


EngineEvent = (
    SessionReady | SpeechStarted | SpeechStopped | ResponseStarted | AudioDelta | AudioDone | ResponseDone | Transcript
    | TranscriptFailed | ItemAdded | McpApproval | ToolCalls | ResponseFailed | SessionExpiring | Usage | ErrorReported | SessionLost
)  # fmt: skip
EngineListener = Callable[[EngineEvent], None]
"""Called on the event loop, in the order in which the engine spoke. Must not block."""

EngineCan = Literal[
    "truncates", "cancels", "interrupts_itself", "answers_itself", "calls_tools", "updates", "transcribes"
]  # fmt: skip
"""What an engine can do, as configured:

`interrupts_itself`: it stops its own response when it hears the caller; else `cancel` is for us to call.
`answers_itself`: it begins a response when the caller has stopped; else `request_response` is for us to call.
`transcribes`: it writes down what the caller says, as `Transcript`, or tells that it did not, as `TranscriptFailed`.
"""


class ContextItem(NamedTuple):
    """Something said before this session began, or a fact about the call."""

    who: Literal["caller", "agent", "system"]
    text: str


class Engine(Protocol):
    """One session of a voice model. A call may have several, one after another."""

    @property
    def can(self) -> frozenset[EngineCan]: ...

    async def run(self) -> None:
        """Connect, configure, and listen until `close`; the end is told as `SessionLost` unless `close` was called."""

    def append(self, payload: str) -> None:
        """Caller audio, base64 µ-law. Kept in order until the engine is ready."""

    def add_context(self, items: Sequence[ContextItem | ToolCall]) -> None:
        """Put these into the conversation, in order and before any audio that is appended later.

        A `ToolCall` is one that was made in an earlier session and is still to be answered in this one.
        """

    def request_response(self, instructions: str = "", *, lasting: bool = False, whole: bool = False) -> None:
        """Speak, as soon as that is possible and the caller does not, and once however often it was asked.

        `instructions`: what is wanted of this one response, beside the session's instructions; "": simply answer. It is
        dropped when the caller speaks before it was begun, unless it is `lasting`. `whole`: where it breaks off it is
        said anew.
        """

    def finish_turn(self) -> None:
        """The caller has stopped, although the engine has not noticed: take what was heard for their turn."""

    def answer_tool(self, call: str, output: str, *, speak: bool = True) -> None:
        """The result of one tool call. When the last one of its response is answered, the engine speaks, if any
        answer wanted that."""

    def truncate(self, item: str, content: int, heard_ms: int) -> None: ...

    def cancel(self, response: str) -> None: ...

    def set_turn_detection(self, on: bool) -> None:
        """Off: the caller neither interrupts nor is answered, so that a sentence is heard. On: as configured."""

    def wind_up(self, *, speaking: bool) -> None:
        """The call is over: hear nothing and say nothing more, begin no response, and stop those that run. What was
        heard of the caller is still written down; `speaking`: they had not ended, so take what was heard for a turn."""

    def update(self, changes: Mapping[str, Any]) -> list[str]:
        """Change the session now, by the names of settings. Returns what was left out and why, a line each."""

    async def close(self) -> None:
        """Ends within half a second, whatever the peer does."""


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What one session of an engine has to know of its call."""

    call: str
    session: int = 1
    """Counts the sessions of a call from 1."""
    tools: Sequence[Mapping[str, Any]] = ()
    """Definitions: `{"type": "function", "name": …, "description": …, "parameters": <JSON schema>}`."""
    turn_detection: bool = True
    """False: begin as after `set_turn_detection(False)`."""


MakeEngine = Callable[[SessionContext, EngineListener], Engine]
"""An engine that is configured for one call's number."""


# Tools
