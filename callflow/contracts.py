"""What a carrier, its media dialect, an engine and a socket must be able to do for the rooms above them.

The call, the relay and the switchboard know carriers and engines through this file alone. What not every implementation
can do stands in its capability set, and is asked for there, never by name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol

from callflow.checkup import Finding, Outside
from callflow.commands import Command
from callflow.events import Event, LegIds, Signal


# Signalling


@dataclass(frozen=True, slots=True)
class Request:
    """A webhook as it came in: `body` is raw, byte for byte, because signatures are made over it."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    url: str = ""
    """As the carrier sees it: under the public address, path and query byte for byte as they came."""
    query: str = ""
    """As it came, still percent-encoded."""


class Door(NamedTuple):
    """A path of the public listener that a carrier's webhooks use."""

    path: str
    methods: tuple[str, ...] = ("POST",)
    only_with: str = ""
    """A GET is for this carrier only if its query has this parameter, because people open that path as well."""
    most_body: int = 64 << 10
    """Bytes; real webhooks are a few kilobytes."""


@dataclass(frozen=True, slots=True)
class Order:
    """A command on its way to the carrier, with all that is needed to say it."""

    command: Command
    id: str
    """The same on every retry."""
    call: str
    ids: LegIds
    stream_url: str = field(default="", repr=False)
    stream_secret: str = field(default="", repr=False)
    """For carriers that can authenticate a stream beside its path."""
    stream_name: str = ""
    """For carriers that name a stream when they tell of it; unique within the call."""
    from_number: str = ""
    to_number: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """The HTTP answer to a webhook, and the orders that it did not carry."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200
    rest: tuple[Order, ...] = ()


CarrierCan = Literal["speaks", "clears", "marks", "streams_on_request", "answers_in_reply", "transfers", "sends_digits"]


Found = Literal["ringing", "answered", "gone"]
"""How a carrier has a call."""


class Carrier(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def can(self) -> frozenset[CarrierCan]: ...

    @property
    def doors(self) -> Sequence[Door]: ...

    @property
    def preamble_seconds(self) -> float:
        """How long the caller hears this carrier itself, once a call is answered and before its stream is opened."""

    def verify(self, request: Request) -> None:
        """Raises Forged, or Malformed for what cannot be read far enough to tell."""

    def verify_stream(self, request: Request) -> str:
        """The same for the handshake of a media socket, whose token was right. Returns what is odd about it although it
        is let in; "": nothing is."""

    def parse(self, request: Request) -> list[Signal]:
        """Raises Malformed."""

    def reply(self, event: Event | None, orders: Sequence[Order], *, over: bool = False) -> Reply:
        """The answer to the webhook that brought `event` (None: nothing that concerns a call).

        With no orders, a carrier that takes its orders from the answer is told to ask again in a moment; `over`: that
        there is no such call any more.
        """

    async def execute(self, order: Order) -> None:
        """Send one command, retrying what may be retried under the same id. Raises CarrierError."""

    async def find(self, ids: LegIds) -> Found:
        """How the carrier has this call now. Raises CarrierError when it cannot be asked."""

    async def active(self) -> list[LegIds]:
        """The calls that the carrier has on the line, as far as it can be asked for them: those of our own application,
        the newest first, a few hundred at most. Raises CarrierError."""

    async def number_id(self, number: str) -> str:
        """The carrier's own id of a number of ours, in its international form; "": it has no such number. Raises
        CarrierError."""

    def dialect(self) -> Dialect: ...

    def checkup(self, outside: Outside) -> AsyncIterator[Finding]:
        """Looks at the account and its settings at the carrier; for `doctor`. Never raises."""

    async def close(self) -> None: ...


# Media


class Connected(NamedTuple):
    secret: str = ""


class Start(NamedTuple):
    stream: str
    call: str
    """The carrier's own id of the call that this stream claims to belong to; empty if the dialect has none."""
    session: str
    encoding: str
    sample_rate: int
    channels: int


class Audio(NamedTuple):
    """A frame from the caller: base64 of codec bytes, untouched. `chunk` counts from 1; 0: not numbered."""

    chunk: int
    payload: str


class MarkBack(NamedTuple):
    name: str


class Digit(NamedTuple):
    digit: str


class Stop(NamedTuple):
    reason: str = ""


class Trouble(NamedTuple):
    """The carrier complains about a frame of ours."""

    code: str
    detail: str


class Ignored(NamedTuple):
    """A frame of a kind, or of a track, that is not for us."""

    kind: str


Frame = Connected | Start | Audio | MarkBack | Digit | Stop | Trouble | Ignored


class Dialect(Protocol):
    """How one carrier's media socket talks. One instance per socket; no I/O."""

    def decode(self, text: str | bytes) -> Frame:
        """Raises Malformed."""

    def audio(self, payload: str) -> str:
        """A frame for the carrier from base64 of µ-law, a multiple of 20 ms."""

    def mark(self, name: str) -> str: ...

    def clear(self) -> str: ...


class Wire(Protocol):
    """A WebSocket, seen from the room that talks through it."""

    async def receive(self) -> str | bytes | None:
        """The next message; None: the peer has closed or is gone."""

    async def send(self, text: str) -> None: ...

    async def close(self, code: int, reason: str) -> None: ...


# The way in


class Tunnel(Protocol):
    """Lets the outside world reach a port of a machine that it cannot reach by itself."""

    name: str

    async def open(self, port: int) -> str:
        """The public https address that leads to that port of this machine. Raises TunnelError."""

    async def close(self) -> None:
        """Never raises."""


# Engines


class Ready(NamedTuple):
    """Configured and confirmed: caller audio flows from here on."""


class SpeechStarted(NamedTuple):
    """The engine hears the caller begin to speak."""


class SpeechStopped(NamedTuple):
    """The caller has stopped."""

    ago_ms: float | None = None
    """How much caller audio came after the last word, which is how long ago it ended; None: the engine did not say."""


class ResponseStarted(NamedTuple):
    response: str


class Speech(NamedTuple):
    """Audio of the agent: µ-law bytes of one content part of one item of one response."""

    response: str
    item: str
    content: int
    audio: bytes


class SpeechDone(NamedTuple):
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


class Words(NamedTuple):
    """Text of one side: a piece (`final` False), or the whole (`final` True)."""

    who: Literal["caller", "agent"]
    item: str
    text: str
    final: bool


class NotTranscribed(NamedTuple):
    """What the caller said was heard and answered, and nobody will write it down."""

    item: str
    reason: str


class Approval(NamedTuple):
    """The engine asked whether it may use a tool that its vendor runs, and was answered by setting."""

    server: str
    tool: str
    approved: bool


class ItemOpened(NamedTuple):
    """An item took its place in the conversation, in this order."""

    who: Literal["caller", "agent"]
    item: str


MOST_ARGUMENTS: Final = 64 * 1024
"""Characters of one tool call's arguments: a tool is not run with more."""


class ToolCall(NamedTuple):
    """The agent wants something done. Owed: exactly one `answer_tool` with this id."""

    id: str
    name: str
    arguments: str
    """JSON, as the model wrote it: perhaps broken; of what is too long, as much as shows that."""


class ToolCalls(NamedTuple):
    """All complete calls of one response, when that response has ended."""

    response: str
    calls: tuple[ToolCall, ...]


class Unable(NamedTuple):
    """The engine owed words, tried as often as it may, and has none: the caller must hear something else."""

    reason: str


class Expiring(NamedTuple):
    """This session ends in so many seconds, whatever anybody does: another one is needed before."""

    seconds: float


class Bill(NamedTuple):
    """What a piece of the engine's work has used."""

    model: str
    usage: Mapping[str, float]
    """Tokens by kind, such as `audio_in` (of which `audio_cached`) and `text_out`; or `seconds`."""
    usd: float | None
    """None: nobody here knows its price."""


class Complaint(NamedTuple):
    """The engine reported an error that does not end the session."""

    code: str
    message: str


class Lost(NamedTuple):
    """The engine is gone for good. `retry`: another session may do better."""

    reason: str
    retry: bool = True


EngineEvent = (
    Ready | SpeechStarted | SpeechStopped | ResponseStarted | Speech | SpeechDone | ResponseDone | Words
    | NotTranscribed | ItemOpened | Approval | ToolCalls | Unable | Expiring | Bill | Complaint | Lost
)  # fmt: skip
Hear = Callable[[EngineEvent], None]
"""Called on the event loop, in the order in which the engine spoke. Must not block."""

EngineCan = Literal[
    "truncates", "cancels", "interrupts_itself", "answers_itself", "calls_tools", "updates", "transcribes"
]  # fmt: skip
"""What an engine can do, as configured:

`interrupts_itself`: it stops its own response when it hears the caller; else `cancel` is for us to call.
`answers_itself`: it begins a response when the caller has stopped; else `ask` is for us to call.
`transcribes`: it writes down what the caller says, as `Words`, or tells that it did not, as `NotTranscribed`.
"""


class Memory(NamedTuple):
    """Something said before this session began, or a fact about the call."""

    who: Literal["caller", "agent", "system"]
    text: str


class Engine(Protocol):
    """One session of a voice model. A call may have several, one after another."""

    @property
    def can(self) -> frozenset[EngineCan]: ...

    async def run(self) -> None:
        """Connect, configure, and listen until `close`; the end is told as `Lost` unless `close` was called."""

    def append(self, payload: str) -> None:
        """Caller audio, base64 µ-law. Kept in order until the engine is ready."""

    def remember(self, memories: Sequence[Memory | ToolCall]) -> None:
        """Put these into the conversation, in order and before any audio that is appended later.

        A `ToolCall` is one that was made in an earlier session and is still to be answered in this one.
        """

    def ask(self, wish: str = "", *, lasting: bool = False, whole: bool = False) -> None:
        """Speak, as soon as that is possible and the caller does not, and once however often it was asked.

        `wish`: what is wanted of this one response, beside the session's instructions; "": simply answer. It is
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

    def take_turns(self, on: bool) -> None:
        """Off: the caller neither interrupts nor is answered, so that a sentence is heard. On: as configured."""

    def wind_up(self, *, speaking: bool) -> None:
        """The call is over: hear nothing and say nothing more, begin no response, and stop those that run. What was
        heard of the caller is still written down; `speaking`: they had not ended, so take what was heard for a turn."""

    def update(self, changes: Mapping[str, Any]) -> list[str]:
        """Change the session now, by the names of settings. Returns what was left out and why, a line each."""

    async def close(self) -> None:
        """Ends within half a second, whatever the peer does."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What one session of an engine has to know of its call."""

    call: str
    session: int = 1
    """Counts the sessions of a call from 1."""
    tools: Sequence[Mapping[str, Any]] = ()
    """Definitions: `{"type": "function", "name": …, "description": …, "parameters": <JSON schema>}`."""
    takes_turns: bool = True
    """False: begin as after `take_turns(False)`."""


MakeEngine = Callable[[Brief, Hear], Engine]
"""An engine that is configured for one call's number."""


# Tools


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a tool is run for."""

    call: str
    from_number: str
    to_number: str


class ToolAnswer(NamedTuple):
    """`output` is what the engine is told: JSON. Not `ok`: it tells an error."""

    output: str
    ok: bool


class Toolbox(Protocol):
    """The tools of one call."""

    @property
    def definitions(self) -> Sequence[Mapping[str, Any]]:
        """As in `Brief.tools`."""

    async def run(self, call: ToolCall, seconds: float) -> ToolAnswer:
        """Never raises but CancelledError: whatever goes wrong is an answer."""


MakeToolbox = Callable[[Caller, Mapping[str, Callable[..., Any]]], Toolbox]
"""Given whose call it is, and what its own tools may do to it: `end_call(reason)` and others by that name."""
