"""What a carrier, its media dialect, an engine and a socket must be able to do for the rooms above them.

The call, the relay and the switchboard know carriers and engines through this file alone. What not every implementation
can do stands in its capability set, and is asked for there, never by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

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
    """As the carrier sees it: under the public address."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The HTTP answer to a webhook, and the commands that it did not carry."""

    body: bytes
    content_type: str = "application/json"
    rest: tuple[Command, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """A command on its way to the carrier, with all that is needed to say it."""

    command: Command
    id: str
    """The same on every retry."""
    call: str
    ids: LegIds
    stream_url: str = ""
    stream_secret: str = ""
    """For carriers that can authenticate a stream beside its path."""


CarrierCan = Literal["speaks", "clears", "marks", "streams_on_request", "answers_in_reply"]


class Carrier(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def can(self) -> frozenset[CarrierCan]: ...

    @property
    def doors(self) -> Sequence[str]:
        """The paths of the public listener that this carrier's webhooks use."""

    def verify(self, request: Request) -> None:
        """Raises Forged."""

    def parse(self, request: Request) -> list[Signal]:
        """Raises Malformed."""

    def reply(self, event: Event | None, commands: Sequence[Command]) -> Reply:
        """The answer to the webhook that brought `event` (None: a repeat, or nothing of ours)."""

    async def execute(self, order: Order) -> None:
        """Send one command, retrying what may be retried under the same id. Raises CarrierError."""

    def dialect(self) -> Dialect: ...

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


# Engines


class Ready(NamedTuple):
    """Configured and confirmed: caller audio flows from here on."""


class SpeechStarted(NamedTuple):
    """The engine hears the caller begin to speak."""


class SpeechStopped(NamedTuple):
    """The caller has stopped."""


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
    response: str
    status: str
    detail: str = ""


class Words(NamedTuple):
    """Text of one side: a piece (`final` False), or the whole (`final` True)."""

    who: Literal["caller", "agent"]
    item: str
    text: str
    final: bool


class ItemOpened(NamedTuple):
    """An item took its place in the conversation, in this order."""

    who: Literal["caller", "agent"]
    item: str


class Complaint(NamedTuple):
    """The engine reported an error that does not end the session."""

    code: str
    message: str


class Lost(NamedTuple):
    """The engine is gone for good."""

    reason: str


EngineEvent = (
    Ready | SpeechStarted | SpeechStopped | ResponseStarted | Speech | SpeechDone | ResponseDone | Words | ItemOpened
    | Complaint | Lost
)  # fmt: skip
Hear = Callable[[EngineEvent], None]
"""Called on the event loop, in the order in which the engine spoke. Must not block."""

EngineCan = Literal["truncates", "cancels", "interrupts_itself"]


class Engine(Protocol):
    @property
    def can(self) -> frozenset[EngineCan]: ...

    async def run(self) -> None:
        """Connect, configure, and listen until `close`; the end is told as `Lost` unless `close` was called."""

    def append(self, payload: str) -> None:
        """Caller audio, base64 µ-law. Kept in order until the engine is ready."""

    def greet(self) -> bool:
        """Speak first, if that is wanted: whether something will be said."""

    def truncate(self, item: str, content: int, heard_ms: int) -> None: ...

    def cancel(self, response: str) -> None: ...

    async def close(self) -> None:
        """Ends within half a second, whatever the peer does."""


MakeEngine = Callable[[str, Hear], Engine]
"""Given the call's id and who listens."""
