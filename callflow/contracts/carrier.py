"""What a carrier must be able to do: read webhooks, answer them, send commands, and say how a call is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from callflow.contracts.commands import Command
from callflow.contracts.diagnostics import Finding, Outside
from callflow.contracts.events import Event, LegIds, WebhookEvent
from callflow.contracts.media import MediaProtocol


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


class WebhookRoute(NamedTuple):
    """A path of the public listener that a carrier's webhooks use."""

    path: str
    methods: tuple[str, ...] = ("POST",)
    only_with: str = ""
    """A GET is for this carrier only if its query has this parameter, because people open that path as well."""
    most_body: int = 64 << 10
    """Bytes; real webhooks are a few kilobytes."""


@dataclass(frozen=True, slots=True)
class CarrierRequest:
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
class WebhookReply:
    """The HTTP answer to a webhook, and the orders that it did not carry."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200
    rest: tuple[CarrierRequest, ...] = ()


CarrierCan = Literal["speaks", "clears", "marks", "streams_on_request", "answers_in_reply", "transfers", "sends_digits"]
CarrierCallStatus = Literal["ringing", "answered", "gone"]
"""How a carrier has a call."""


class Carrier(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def can(self) -> frozenset[CarrierCan]: ...

    @property
    def routes(self) -> Sequence[WebhookRoute]: ...

    @property
    def preamble_seconds(self) -> float:
        """How long the caller hears this carrier itself, once a call is answered and before its stream is opened."""

    def verify(self, request: Request) -> None:
        """Raises Forged, or Malformed for what cannot be read far enough to tell."""

    def verify_stream(self, request: Request) -> str:
        """The same for the handshake of a media socket, whose token was right. Returns what is odd about it although it
        is let in; "": nothing is."""

    def parse(self, request: Request) -> list[WebhookEvent]:
        """Raises Malformed."""

    def reply(self, event: Event | None, requests: Sequence[CarrierRequest], *, over: bool = False) -> WebhookReply:
        """The answer to the webhook that brought `event` (None: nothing that concerns a call).

        With no orders, a carrier that takes its orders from the answer is told to ask again in a moment; `over`: that
        there is no such call any more.
        """

    async def execute(self, request: CarrierRequest) -> None:
        """Send one command, retrying what may be retried under the same id. Raises CarrierError."""

    async def call_status(self, ids: LegIds) -> CarrierCallStatus:
        """How the carrier has this call now. Raises CarrierError when it cannot be asked."""

    async def active_calls(self) -> list[LegIds]:
        """The calls that the carrier has on the line, as far as it can be asked for them: those of our own application,
        the newest first, a few hundred at most. Raises CarrierError."""

    async def number_id(self, number: str) -> str:
        """The carrier's own id of a number of ours, in its international form; "": it has no such number. Raises
        CarrierError."""

    def media_protocol(self) -> MediaProtocol: ...

    def checkup(self, outside: Outside) -> AsyncIterator[Finding]:
        """Looks at the account and its settings at the carrier; for `doctor`. Never raises."""

    async def close(self) -> None: ...
