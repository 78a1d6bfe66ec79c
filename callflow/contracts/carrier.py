"""What a carrier must be able to do: read webhooks, answer them, send commands, and say how a call is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol, runtime_checkable

from callflow.contracts.commands import Command
from callflow.contracts.cost_events import CarrierCost
from callflow.contracts.diagnostics import Finding, Outside
from callflow.contracts.engine import SessionOffer
from callflow.contracts.events import CALLER, Event, LegIds, WebhookEvent
from callflow.contracts.failover import FailoverAccount
from callflow.contracts.media import MediaProtocol
from callflow.contracts.numbers import NumberAccount


PHONE: Final = "phone"
"""The carrier of calls from the phone in the operators' page. It is none of an account's, and reaches no telephone."""


@dataclass(frozen=True, slots=True)
class Request:
    """A webhook as received. `body` is raw, byte for byte, because signatures are made over it."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    url: str = ""
    """The URL that the carrier used: the public address, with path and query byte for byte as received."""
    query: str = ""
    """The query as received, still percent-encoded."""


class WebhookRoute(NamedTuple):
    """A path of the public listener that a carrier's webhooks use."""

    path: str
    methods: tuple[str, ...] = ("POST",)
    only_with: str = ""
    """The query parameter that a GET must have to be for this carrier, because people open the same path in a
    browser."""
    most_body: int = 64 << 10
    """Bytes; real webhooks are a few kilobytes."""
    forged_status: int = 403
    """The HTTP status for a request whose signature is missing or wrong."""


@dataclass(frozen=True, slots=True)
class CarrierRequest:
    """A command for the carrier, with everything that is needed to send it."""

    command: Command
    id: str
    """The same on every retry."""
    call: str
    ids: LegIds
    other: LegIds = field(default_factory=LegIds)
    """The call's other leg, for commands that join the two."""
    text: str = field(default="", repr=False)
    """What the carrier's voice is to say, where the command does not say it."""
    stream_url: str = field(default="", repr=False)
    stream_secret: str = field(default="", repr=False)
    """The secret for carriers that authenticate a stream by a header as well as by its path."""
    stream_name: str = ""
    """The name of the stream in webhooks of carriers that name streams; unique within the call."""
    replaces_stream: str | None = None
    """The carrier's id of the stream that another process of ours has still, and that is ended for this one; "": it has
    one whose id is not known. None: there is none."""
    from_number: str = ""
    to_number: str = ""
    at: float = 0.0
    """When the call began, in Unix time (seconds)."""
    offer: SessionOffer | None = field(default=None, repr=False, compare=False)
    """The engine's session, for a carrier whose `media_is_remote` and that answers a call with it."""


@dataclass(frozen=True, slots=True)
class ActiveCall:
    """A live call, as its carrier lists it."""

    ids: LegIds
    call: str = ""
    """Our id of the call, if the carrier keeps it with the call; "": it does not."""
    leg: str = CALLER
    """Which leg of the call, likewise."""


@dataclass(frozen=True, slots=True)
class WebhookReply:
    """The HTTP reply to a webhook, and the commands that the reply does not carry (`rest`)."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200
    rest: tuple[CarrierRequest, ...] = ()


class Pieces(Protocol):
    """The bytes of a file, as they come."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the pieces. Raises CarrierError when no further one comes."""

    async def aclose(self) -> None:
        """Let go of the file, whether or not it was read to its end."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file at a carrier, of which nothing was read yet. Close its `pieces`."""

    status: int
    """200, 206 for a part of it, or 416."""
    headers: Mapping[str, str]
    """By lower-case name: content-length, content-range and accept-ranges, as far as they are given."""
    pieces: Pieces
    content_type: str = "audio/mpeg"


CarrierCan = Literal[
    "speaks", "streams_on_request", "answers_in_reply", "dials", "dials_with_stream",
    "transfers", "refers", "listens", "sends_digits", "speaks_beside_stream", "suppresses_noise", "tells_price",
    "media_is_remote", "leads_to_sip", "queues_dials",
]  # fmt: skip
"""What a carrier can do.

`media_is_remote`: the caller's audio goes straight to the engine, so there is no media socket, and the engine's session
is one beside it. Nothing tells of an answered call then: an answer command that succeeds is the answer.
`queues_dials`: it takes more dials than it begins at once, and says when it begins with one.
`leads_to_sip`: it connects a caller with a SIP address before anybody else has answered them (`LeadToSip`).
"""
CarrierCallStatus = Literal["ringing", "answered", "gone"]
"""A carrier's status of a call."""


class TellsPrice(Protocol):
    """What a carrier can do beside that "tells_price"."""

    async def call_costs(self, ids: LegIds) -> tuple[Sequence[CarrierCost], bool]:
        """Ask what an ended leg has cost, and those that the carrier has dialled for it. Returns what is known, and
        whether that is all. Raises CarrierError."""


@dataclass(frozen=True, slots=True)
class CarrierAccount:
    """An account at a carrier that a request for one call brings; for development only."""

    sid: str
    token: str = field(repr=False)


@runtime_checkable
class TakesAccounts(Protocol):
    """A carrier that can dial with an account that a request brings."""

    def use_account(self, call: str, account: CarrierAccount) -> None:
        """Dial our call with that account, and manage it there. Raises CarrierError."""


class Carrier(Protocol):
    """A telephone carrier: reads its webhooks, replies to them, sends its commands, and knows how its calls are.

    What only some carriers are able to do stands in `can`.
    """

    @property
    def name(self) -> str:
        """The carrier's name in journals, settings and paths, such as `telnyx`."""

    @property
    def can(self) -> frozenset[CarrierCan]:
        """What this carrier is able to do, of what not every carrier is."""

    @property
    def routes(self) -> Sequence[WebhookRoute]:
        """The paths of the public listener where its webhooks come in."""

    @property
    def from_number(self) -> str:
        """Our number that outbound calls show, in E.164, unless a call names another; "": there is none."""

    @property
    def numbers(self) -> NumberAccount:
        """The numbers of the account: list them, and change where their calls go."""

    @property
    def failover(self) -> FailoverAccount:
        """What the carrier does by itself when this server does not answer."""

    @property
    def preamble_seconds(self) -> float:
        """How long the carrier itself plays or waits between the answer and the opening of the stream."""

    def verify(self, request: Request) -> None:
        """Verify the signature of a webhook. Raises Forged; Malformed for a request in which no signature can be
        checked."""

    def verify_stream(self, request: Request, secrets: Sequence[str] = ()) -> str:
        """Verify a media socket's handshake by its signature, or by the secret with which the stream was asked for (one
        of `secrets`), after its token was found valid. Returns a description of the problem when the socket is let in
        all the same; "": there is no problem. Raises Forged."""

    def parse(self, request: Request) -> list[WebhookEvent]:
        """Read the events of a webhook. Raises Malformed."""

    def reply(self, event: Event | None, requests: Sequence[CarrierRequest], *, over: bool = False) -> WebhookReply:
        """Make the reply to the webhook that reported `event`; None: the webhook is about no call.

        A carrier that takes commands from the reply is asked to send its webhook again in a moment if there are no
        `requests`; with `over`, the reply says that the call has ended.
        """

    async def execute(self, request: CarrierRequest) -> None:
        """Send one command, retrying what may be retried under the same id. Raises CarrierError."""

    async def dial(self, request: CarrierRequest) -> LegIds:
        """Dial `to_number`, which makes a leg, and return its ids. The webhooks of the leg bring the call's id back.

        Nothing is sent twice that may have had an effect. Raises CarrierError; with `unknown`, the phone may be ringing
        all the same.
        """

    async def find_dialled(self, request: CarrierRequest) -> LegIds | None:
        """Look for the leg that an earlier `dial` of this call may have made. None: the carrier lists no such leg,
        which proves little, because lists lag behind. Raises CarrierError."""

    async def call_status(self, ids: LegIds) -> CarrierCallStatus:
        """Ask for the carrier's status of this call. Raises CarrierError when the carrier cannot be asked."""

    async def active_calls(self) -> list[ActiveCall]:
        """Ask for the live calls of our own application, a few thousand at most, as far as the carrier can list them.
        Raises CarrierError."""

    async def number_id(self, number: str) -> str:
        """Ask for the carrier's own id of one of our numbers, given in international form; "": the carrier has no such
        number. Raises CarrierError."""

    async def recording(self, name: str, byte_range: str = "") -> Download:
        """Open the sound of a recording, by the carrier's id of it. `byte_range`: as in the header Range; "": all of
        it. Raises CarrierError; `gone`: there is no such recording, or not yet."""

    def media_protocol(self) -> MediaProtocol:
        """Make the protocol for one new media socket."""

    def checkup(self, outside: Outside) -> AsyncIterator[Finding]:
        """Check the account and its settings at the carrier, for the `doctor` command. Never raises."""

    async def close(self) -> None:
        """Close the connections to the carrier's API."""
