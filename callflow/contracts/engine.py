"""What a voice model (an *engine*) must be able to do, and what one session of it tells.

The packages above know engines through this file alone. What not every engine can do is named in its capability set
(`EngineCan`), and is asked for there, never by the engine's name. The events follow OpenAI's Realtime interface, which
most others copy: https://platform.openai.com/docs/api-reference/realtime
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from callflow.contracts.event_tap import EventTap
from callflow.contracts.tools import ToolCall


# What a session tells


class SessionReady(NamedTuple):
    """Configured and confirmed: caller audio flows from here on."""


class SpeechStarted(NamedTuple):
    """The engine hears the caller begin to speak."""


class SpeechStopped(NamedTuple):
    """The caller has stopped."""

    ago_ms: float | None = None
    """How much caller audio came after the last word, so how long ago it ended; None: the engine did not say."""
    answer_due: bool = True
    """False: the engine decides by itself whether this needs an answer, so that none is missing if none comes."""


class ResponseStarted(NamedTuple):
    """The engine begins a response, of this id."""

    response: str


class AudioDelta(NamedTuple):
    """Audio of the agent: µ-law bytes of one content part of one item of one response."""

    response: str
    item: str
    content: int
    audio: bytes


class AudioDone(NamedTuple):
    """All audio of one content part of an item has come."""

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
    """What one side said, as text: a piece (`final` False), or the whole (`final` True)."""

    who: Literal["caller", "agent"]
    item: str
    text: str
    final: bool


class TranscriptFailed(NamedTuple):
    """What the caller said was heard and answered, and no transcript of it will come."""

    item: str
    reason: str


class McpApproval(NamedTuple):
    """The engine asked whether it may use a tool that its vendor runs (MCP); the setting `mcp_approval` answered."""

    server: str
    tool: str
    approved: bool


class HostedTool(NamedTuple):
    """A tool that the engine's vendor runs (MCP) has come to its end."""

    id: str
    server: str
    tool: str
    arguments: str
    output: str
    """What it has answered; not `ok`: the error."""
    ok: bool

    @property
    def name(self) -> str:
        """Return server and tool."""
        return f"{self.server}.{self.tool}"


class EngineChosen(NamedTuple):
    """This session, and those that follow in this call, are of the second engine."""

    engine: str
    reason: str


class ItemAdded(NamedTuple):
    """An item took its place in the conversation, in this order."""

    who: Literal["caller", "agent"]
    item: str


class ToolCalls(NamedTuple):
    """All complete calls of one response, when that response has ended."""

    response: str
    calls: tuple[ToolCall, ...]


class ResponseFailed(NamedTuple):
    """The engine owed a response, tried as often as it may, and has none: the caller must hear something else."""

    reason: str


class SessionExpiring(NamedTuple):
    """This session will end in so many seconds: another one is needed before."""

    seconds: float


class Usage(NamedTuple):
    """What a piece of the engine's work has used."""

    model: str
    usage: Mapping[str, float]
    """Tokens by kind, such as `audio_in` (of which `audio_cached`) and `text_out`; or `seconds`."""
    usd: float | None
    """None: its price is not known."""


class ErrorReported(NamedTuple):
    """The engine reported an error that does not end the session."""

    code: str
    message: str


class PlayoutBegan(NamedTuple):
    """The caller begins to hear a response; of sessions that play their speech themselves (`plays_itself`)."""

    response: str


class PlayoutEnded(NamedTuple):
    """The caller hears nothing more of a response; likewise."""

    response: str
    ms: int
    """From its beginning to its end, as the engine told of them."""
    items: tuple[str, ...] = ()
    """The response's messages, in order."""
    cut: Mapping[str, int] | None = None
    """It was cut off: how many ms were heard of messages, as far as the engine says. None: it was heard to its end."""


class KeyPressed(NamedTuple):
    """The caller has pressed a key: `0` to `9`, `*`, `#` or `A` to `D`. Of sessions beside a call."""

    digit: str


class SessionLost(NamedTuple):
    """This session is gone for good. `retry`: another one may do better. `over`: the call beside which it was is over,
    and its carrier will not say so."""

    reason: str
    retry: bool = True
    over: bool = False


EngineEvent = (
    SessionReady | SpeechStarted | SpeechStopped | ResponseStarted | AudioDelta | AudioDone | ResponseDone | Transcript
    | TranscriptFailed | ItemAdded | McpApproval | ToolCalls | ResponseFailed | SessionExpiring | Usage | ErrorReported
    | HostedTool | PlayoutBegan | PlayoutEnded | KeyPressed | SessionLost | EngineChosen
)  # fmt: skip
EngineListener = Callable[[EngineEvent], None]
"""Called on the event loop, in the order in which the engine spoke. Must not block."""


# What a session can do, and is told

EngineCan = Literal[
    "truncates", "cancels", "interrupts_itself", "answers_itself", "calls_tools", "updates", "transcribes",
    "sees_images", "plays_itself", "decides_itself",
]  # fmt: skip
"""What an engine can do, as configured:

`cancels`: `cancel` stops it. Else it speaks on, and has to be told in words that nobody hears it.
`interrupts_itself`: it stops its own response when it hears the caller; else `cancel` is for us to call.
`answers_itself`: it begins a response when the caller has stopped; else `request_response` is for us to call.
`decides_itself`: it decides what of the caller's speech it answers, so that nobody may conclude that it has missed
some.
`sees_images`: it takes a `ContextImage`.
`transcribes`: it writes down what the caller says, as `Transcript`, or tells that it did not, as `TranscriptFailed`.
`plays_itself`: the caller hears it without us, and it tells of that (`PlayoutBegan`, `PlayoutEnded`); there are no
`AudioDelta`s, and a `cancel` also drops what was not played yet.
"""


class ContextItem(NamedTuple):
    """Something that was said before this session began, or a fact about the call."""

    who: Literal["caller", "agent", "system"]
    text: str


class ContextImage(NamedTuple):
    """A picture that is shown to the model."""

    url: str
    """A data URL of a PNG or a JPEG."""
    text: str = ""
    """What it shows; "": nobody said."""


ContextPart = ContextItem | ToolCall | ContextImage


class Engine(Protocol):
    """One session of a voice model. A call may have several, one after another."""

    @property
    def can(self) -> frozenset[EngineCan]:
        """What this session can do, as configured."""

    async def run(self) -> None:
        """Connect, configure and listen until `close`. Its end is told as `SessionLost`, unless `close` was called."""

    def append(self, payload: str) -> None:
        """Send caller audio: base64 of µ-law, 8,000 bytes a second. It is kept in order until the session is ready."""

    def add_context(self, items: Sequence[ContextPart]) -> None:
        """Put these parts into the conversation, in order and before any audio that is appended later.

        A `ToolCall` is one that was made in an earlier session and is still to be answered in this one.
        """

    def request_response(self, instructions: str = "", *, lasting: bool = False, whole: bool = False) -> None:
        """Have the model speak as soon as that is possible and the caller does not; once, however often it was
        requested.

        `instructions`: for this response alone, beside those of the session; "": simply answer. They are dropped when
        the caller speaks before the response began, unless they are `lasting`. `whole`: a response that breaks off is
        begun again.
        """

    def withdraw(self) -> Mapping[str, bool]:
        """Take back what was requested and of which nothing was heard: it is not said, and not requested again. Returns
        the instructions, each with whether they last; "": an answer was requested."""

    def finish_turn(self) -> None:
        """Take what was heard for the caller's turn: they have stopped, although the engine has not noticed."""

    def answer_tool(self, call: str, output: str, *, speak: bool = True) -> None:
        """Give the model the result of a tool call: JSON text. When the last call of a response is answered, it speaks,
        if any of the answers had `speak`."""

    def truncate(self, item: str, content: int, heard_ms: int) -> None:
        """Tell the model that the caller heard only the first `heard_ms` of an item's audio, so that its memory is
        true."""

    def cancel(self, response: str) -> None:
        """Stop a response that is under way. One that cannot be stopped ends here with what was heard of it so far;
        what it says then is another response."""

    def set_turn_detection(self, on: bool) -> None:
        """Switch turn detection. Off: the caller neither interrupts nor is answered, so that a sentence is heard. On:
        as configured."""

    def wind_up(self, *, speaking: bool) -> None:
        """End the conversation, because the call is over: hear nothing more, say nothing more, stop what is under way.
        What was heard of the caller is still transcribed; `speaking`: they had not ended, so take it for a turn."""

    def update(self, changes: Mapping[str, Any]) -> list[str]:
        """Change the session now, by names of settings. Returns what was left out and why, a line each."""

    async def close(self) -> None:
        """Close the session, within half a second, whatever the peer does."""


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What one session of an engine must know of its call."""

    call: str
    session: int = 1
    """Counts the sessions of a call from 1."""
    tools: Sequence[Mapping[str, Any]] = ()
    """Definitions: `{"type": "function", "name": …, "description": …, "parameters": <JSON schema>}`."""
    turn_detection: bool = True
    """False: begin as after `set_turn_detection(False)`."""
    remote: str = ""
    """The carrier's id of the call, if the caller's audio goes straight to the engine: the session is one beside it.
    "": the audio comes from us."""
    engine: str = ""
    """The second engine, to which an earlier process of the call had come; "": none, or this process knows."""
    was_there: bool = False
    """Such a session was open before, in this process or another: the conversation is there already."""
    tap: EventTap = field(default_factory=EventTap, compare=False)
    """Gets each event of the session, while somebody watches."""


class SessionOffer(Protocol):
    """A session beside a call, in the engine's own words, for the carrier that accepts the call with it."""

    def first(self) -> Mapping[str, Any]:
        """Return the session to ask for at first."""

    def reduced(self, message: str, param: str) -> Mapping[str, Any] | None:
        """Return what to ask for after a refusal; None: there is nothing less. `message`, `param`: what the engine's
        vendor said; "": nothing."""

    @property
    def vendor_refuses(self) -> str:
        """Why the engine's vendor is asked for no session now; "": it is asked."""

    def failed(self, status: int, wait: float) -> None:
        """Note that an accept was answered with this HTTP status; `wait`: seconds for which the vendor asked."""

    def taken(self) -> None:
        """Note that the call was accepted with the session that was asked for last."""


@runtime_checkable
class DescribesSessions(Protocol):
    """What makes sessions beside calls also says what such a session is to be before it is there."""

    def describe(self, context: SessionContext) -> SessionOffer:
        """Return the session with which a call is accepted."""


MakeEngine = Callable[[SessionContext, EngineListener], Engine]
"""Makes an engine that is configured for one call's number."""
