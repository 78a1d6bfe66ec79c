"""Telnyx, Call Control v2: webhooks come in, commands go out as REST requests.

Facts from Telnyx's documentation (developers.telnyx.com: Voice API webhooks, Call Control commands, API errors):

- Telnyx reads nothing of the answer to a webhook but its status, so every command is a POST of its own.
- Webhooks arrive unordered and may be repeated.
- `stream_bidirectional_mode` defaults to `mp3`, and only `rtp` plays the audio that we send. `stream_codec` defaults to
  the codec of the leg.
- A `command_id` is executed once within 60 s.
- The error 90018, or HTTP 404, means that the call is over.
- Webhooks bring back the `client_state` that the last command gave. The webhook about a dialled leg may come before the
  answer to the dial.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import NoneType
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec

from callflow.contracts import commands, events
from callflow.contracts.carrier import (
    ActiveCall,
    CarrierCallStatus,
    CarrierCan,
    CarrierRequest,
    Download,
    Request,
    WebhookReply,
    WebhookRoute,
)
from callflow.contracts.diagnostics import Finding, Outside
from callflow.contracts.errors import CarrierError, Forged, Malformed
from callflow.contracts.events import Event, LegIds, WebhookEvent
from carriers.common.downloads import Downloads
from carriers.common.http_client import Api
from carriers.telnyx import bridging, live_legs, signature
from carriers.telnyx.amd import listening
from carriers.telnyx.diagnostics import checkup
from carriers.telnyx.errors import read_error
from carriers.telnyx.failover import TelnyxFailover
from carriers.telnyx.ids import LED, call_of, caller_of, ids_of, state
from carriers.telnyx.media import STREAM_SECRET, TelnyxMediaProtocol
from carriers.telnyx.numbers import TelnyxNumbers
from carriers.telnyx.recordings import sound_of
from carriers.telnyx.sip import led_to, sender
from carriers.telnyx.speech import nearest, speech
from carriers.telnyx.webhooks import IDS, READERS, text


log = logging.getLogger(__name__)

_PERSISTENT_RETRIES: Final = 6
"""For commands that end a call: without them the caller would stay on the line."""
_MOST_BODY: Final = 1 << 20
"""Bytes of a webhook: client_state and custom headers may be long."""
_SUCCESS: Final = b'{"success":true}'
_TWO_CHANNELS: Final = {"format": "mp3", "channels": "dual"}
_FROM_ANSWER: Final = {"record": "record-from-answer", "record_channels": "dual", "record_format": "mp3"}
"""The parameters of an answer or a dial that let Telnyx record, both sides apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelnyxConfig:
    """What the settings say of Telnyx; `carriers.registry` fills it in."""

    api_key: str = field(repr=False)
    public_key: bytes | None
    """The raw 32 bytes of the Ed25519 key that verifies webhooks; None: webhooks cannot be verified."""
    address: Callable[[], str]
    """Returns our public address (`https://host`), without a path."""
    api_base: str
    """The REST API's address, without a trailing slash."""
    allow_unsigned: bool
    """Take webhooks without a signature; for development only."""
    voice: str
    """The voice for spoken sentences, as Telnyx names it: `AWS.Polly.Joanna-Neural`."""
    language: str
    sentences: Mapping[str, str]
    """The text of each sentence that the `Speak` command may name."""
    target_legs: str
    """`self`, `opposite` or `both`. Telnyx's own default, `opposite`, plays to a leg that a call with one leg does not
    have."""
    connection_id: str
    """The id of our Voice API application; "": the only one, or the one that sends its webhooks to us."""
    from_number: str
    """Our number that outbound calls show, unless a call names another; "": there is none."""
    machine_detection: Literal["premium", "standard"]
    """How answering machines are detected, where a call asks for it. Only `premium` knows a fax and a silent line."""
    recording_hosts: Sequence[str]
    """Further hosts from which recordings may be loaded: see `Downloads`."""
    seconds: float
    """For one try of one REST command."""
    retries: int
    """Further tries after the first one failed."""


class Telnyx:
    """Telnyx as a `callflow.contracts.carrier.Carrier`."""

    name = "telnyx"
    can: frozenset[CarrierCan] = frozenset((
        "speaks", "streams_on_request", "dials", "dials_with_stream", "transfers", "refers",
        "listens", "sends_digits", "speaks_beside_stream", "suppresses_noise", "leads_to_sip",
    ))  # fmt: skip
    routes = (WebhookRoute("/webhooks", most_body=_MOST_BODY), WebhookRoute("/webhooks/", most_body=_MOST_BODY))
    preamble_seconds = 0.0

    def __init__(self, config: TelnyxConfig, *, clock: Callable[[], float] = time.time) -> None:
        """`clock`: returns Unix time in seconds, which a webhook's timestamp is compared with."""
        self._config = config
        self._verifier = signature.Verifier(config.public_key, clock)
        self._unknown: set[str] = set()
        self._language = nearest(config.language)
        if self._language != config.language:
            what = f"{self._language} is used" if self._language else "its voice speaks the language that it has"
            log.warning('CARRIER_LANGUAGE="%s" is no language of Telnyx\'s speak: %s', config.language, what)
        self.api = Api(
            config.api_base,
            headers={"Authorization": f"Bearer {config.api_key}"},
            read_error=read_error,
            seconds=config.seconds,
            retries=config.retries,
        )
        hosts = (".telnyx.com", ".amazonaws.com", *config.recording_hosts)
        self._downloads = Downloads(config.api_base, hosts, seconds=config.seconds)
        paths = [route.path for route in self.routes]
        self.numbers = TelnyxNumbers(self.api, paths=paths, connection_id=config.connection_id)
        self.failover = TelnyxFailover(self.api, self.numbers, path=paths[0])

    @property
    def from_number(self) -> str:
        """Our number for outbound calls; "": the settings name none."""
        return self._config.from_number

    # Webhooks

    def verify(self, request: Request) -> None:
        """Verify a webhook: see `signature.py`. Raises Forged."""
        if not request.headers.get(signature.HEADER) and self._config.allow_unsigned:
            log.warning("ALLOW_UNSIGNED_WEBHOOKS: taking a Telnyx webhook without a signature")
            return
        self._verifier.check(request)

    def parse(self, request: Request) -> list[WebhookEvent]:
        """Read a webhook as one event; nothing for one that is about no call. Raises Malformed.

        Vendor: developers.telnyx.com, Voice API webhooks (`webhook_api_version` "2").
        """
        try:
            document = msgspec.json.decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(f"not JSON: {error}") from None
        data = document.get("data") if isinstance(document, dict) else None
        if not isinstance(data, dict) or not isinstance(data.get("event_type"), str):
            raise Malformed('no data.event_type: this needs an application with webhook_api_version "2"')
        payload = data.get("payload")
        if not isinstance(payload, dict):
            raise Malformed("no data.payload")
        kind: str = data["event_type"]
        for name in IDS:
            if not isinstance(payload.get(name), (str, NoneType)):
                raise Malformed(f"{kind[:80]} with a {name} that is no text")
        ids = ids_of(payload)
        read = READERS.get(kind)
        if read is None:
            if kind not in self._unknown and len(self._unknown) < 1000:
                self._unknown.add(kind)
                log.info("Telnyx event %r is only recorded", kind[:80])
            if not ids.known():
                return []  # about a message, a number or the account
            event: Event = events.CarrierNotice(kind=kind[:200])
        elif not ids.known():
            raise Malformed(f"{kind} names no call")
        else:
            event = read(payload)
        if isinstance(event, events.Dtmf):
            event = msgspec.structs.replace(event, delivery=text(data, "id"))
        told = payload.get("client_state")
        call, leg = call_of(told)
        rings_for = caller_of(told, self.name) if leg == LED else None
        return [WebhookEvent(self.name, text(data, "id"), ids, event, text(data, "occurred_at"), call, leg, rings_for)]

    def verify_stream(self, request: Request, secrets: Sequence[str] = ()) -> str:
        """Return "": the handshake is not signed. The path's token protects it. The secret with which the stream was
        asked for comes back in a header and in the first frame, but `answer` cannot ask for one: a wrong one is
        refused, and none is no problem. Raises Forged."""
        given = request.headers.get(STREAM_SECRET, "").encode()
        if given and not any(hmac.compare_digest(given, each.encode()) for each in secrets):
            raise Forged(f"the {STREAM_SECRET} of its handshake is wrong")
        return ""

    def reply(self, event: Event | None, requests: Sequence[CarrierRequest], *, over: bool = False) -> WebhookReply:
        """Return a plain success; all requests are left to be sent, because Telnyx reads only the status. Vendor:
        developers.telnyx.com, Voice API webhooks."""
        return WebhookReply(_SUCCESS, rest=tuple(requests))

    # Commands

    async def execute(self, request: CarrierRequest) -> None:
        """Send one command; one that ends a call succeeds, too, when the call is over already. Raises CarrierError.
        Vendor: developers.telnyx.com, Call Control commands."""
        if not request.ids.control:
            raise CarrierError("Telnyx has not told this call's call_control_id, so no command can be sent to it")
        if isinstance(request.command, commands.Join):
            await bridging.join(self.api, request)
            return
        if isinstance(request.command, commands.FindPerson):
            await self._find_person(request)
            return
        action, body, last_word = self._say(request)
        body = {"command_id": request.id, "client_state": state(request), **body}
        path = bridging.actions_of(request.ids.control)
        if request.replaces_stream is not None:
            await bridging.end_stream_before(self.api, path, body, stream=request.replaces_stream)
        try:
            await self.api.post(f"{path}/{action}", body, retries=_PERSISTENT_RETRIES if last_word else None)
        except CarrierError as error:
            if error.code == bridging.STREAMING and isinstance(request.command, bridging.IN_PLACE_OF_A_STREAM):
                await bridging.without_stream(self.api, path, action, body)
            elif not (last_word and error.gone):
                raise

    async def dial(self, request: CarrierRequest) -> LegIds:
        """Dial, and return the ids of the leg. Raises CarrierError.

        An answer that says 5xx is met by the same request under the same `command_id`, as Telnyx advises; when no
        answer comes, nothing is sent again. Vendor: developers.telnyx.com, Dial.
        """
        command = request.command
        if not isinstance(command, commands.Dial):
            raise TypeError(f"{command.name} does not dial")
        if not self._config.connection_id:
            what = "TELNYX_CONNECTION_ID is not set: it names the Voice API application that dials"
            raise CarrierError(what, refuses="account")
        body = {
            "command_id": request.id,
            "client_state": state(request),
            "connection_id": self._config.connection_id,
            "to": request.to_number,
            "from": request.from_number,
            "timeout_secs": command.ring_seconds,
            **self._webhook,
        }
        if command.stream:
            body |= {
                **self._stream(request),
                "stream_auth_token": request.stream_secret,
                "send_silence_when_idle": True,
            }
        if command.record:
            body |= _FROM_ANSWER
        if command.machines:
            body["answering_machine_detection"] = listening(self._config.machine_detection, command.machines)
        answer = await self.api.request("POST", "/calls", repeatable="answered", json=body)
        call = answer.get("data") if isinstance(answer, dict) else None
        ids = ids_of(call) if isinstance(call, dict) else LegIds()
        if not ids.control:
            raise CarrierError("Telnyx's answer to the dial names no call", unknown=True)
        return ids

    async def find_dialled(self, request: CarrierRequest) -> LegIds | None:
        """Look among the live calls of our application for the one with this call's `client_state`. Raises
        CarrierError."""
        return live_legs.find(await self.active_calls(), request.call, request.command.leg)

    async def _find_person(self, request: CarrierRequest) -> None:
        ids = request.other
        if not ids.control:
            ids = live_legs.find(await self.active_calls(), request.call, events.HUMAN) or ids
        if await self.call_status(ids) != "answered":
            raise CarrierError("the person whom Telnyx rang for the caller has not answered, or has gone")

    def _say(self, request: CarrierRequest) -> tuple[str, dict[str, Any], bool]:
        """Return action, body, and whether the command ends the call, so that it succeeds when the call is over."""
        config, command = self._config, request.command
        match command:
            case commands.Answer(record=record, streamless=streamless):
                return "answer", {
                    **({} if streamless else {**self._stream(request), "send_silence_when_idle": True}),
                    **(_FROM_ANSWER if record else {}),
                    **self._webhook,
                }, False  # fmt: skip
            case commands.StartStream():
                return "streaming_start", {**self._stream(request), "stream_auth_token": request.stream_secret}, False
            case commands.Speak():
                return "speak", self._speech(config.sentences.get(command.sentence, request.text)), False
            case commands.Record(on=on):
                return f"record_{'start' if on else 'stop'}", _TWO_CHANNELS if on else {}, False
            case commands.PauseRecord(on=on):
                return f"record_{'pause' if on else 'resume'}", {}, False
            case commands.Announce(both=True):
                return "speak", {**self._speech(request.text), "target_legs": "both"}, False
            case commands.Brief() | commands.Announce():
                return "speak", self._speech(request.text), False
            case commands.Listen():
                # Without a direction back: with one, no frames of the outbound track have been seen.
                return "streaming_start", {
                    "stream_url": request.stream_url,
                    "stream_track": "both_tracks",
                    "stream_codec": "PCMU",
                    "stream_auth_token": request.stream_secret,
                }, False  # fmt: skip
            case commands.Transfer():
                return "transfer", {
                    "to": command.number,
                    **sender(request.from_number),
                    "timeout_secs": command.ring_seconds,
                    "target_leg_client_state": state(request, events.HUMAN),
                    "park_after_unbridge": "self",
                    **self._webhook,
                }, False  # fmt: skip
            case commands.LeadToSip(address=address, ring_seconds=seconds):
                return "transfer", led_to(address or request.text, seconds, request) | self._webhook, False
            case commands.Refer(address=address):
                return "refer", {"sip_address": address}, False
            case commands.SendDtmf():
                return "send_dtmf", {"digits": request.text}, False
            case commands.SuppressNoise():
                return "suppression_start", {"direction": "inbound"}, False
            case commands.Reject():
                return "reject", {"cause": "USER_BUSY" if command.cause == "busy" else "CALL_REJECTED"}, True
            case commands.Hangup():
                return "hangup", {}, True
        raise CarrierError(f"Telnyx has no command for {command.name!r}")

    def _speech(self, text: str) -> dict[str, str]:
        return speech(text, self._config.voice, self._language)

    @property
    def _webhook(self) -> dict[str, str]:
        return {"webhook_url": f"{self._config.address()}{self.routes[0].path}", "webhook_url_method": "POST"}

    def _stream(self, request: CarrierRequest) -> dict[str, Any]:
        """Return the parameters of a media stream, all of them: the defaults are unusable (mp3, the leg's codec, the
        opposite leg). Vendor: developers.telnyx.com/docs/voice/programmable-voice/media-streaming."""
        return {
            "stream_url": request.stream_url,
            "stream_track": "inbound_track",
            "stream_codec": "PCMU",
            "stream_bidirectional_mode": "rtp",
            "stream_bidirectional_codec": "PCMU",
            "stream_bidirectional_target_legs": self._config.target_legs,
        }

    # Questions

    async def call_status(self, ids: LegIds) -> CarrierCallStatus:
        """Ask how a call is. Raises CarrierError.

        Telnyx docs (Retrieve a call status): `is_alive` is false before the answer as well, so only `end_time` says
        that a call is over. A call that ended more than ten minutes ago is not found.
        """
        if not ids.control:
            raise CarrierError("Telnyx has not told this call's call_control_id, so it cannot be asked about it")
        try:
            answer = await self.api.request("GET", f"/calls/{quote(ids.control, safe='')}", retries=1)
        except CarrierError as error:
            if error.gone:
                return "gone"
            raise
        call = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(call, dict):
            raise CarrierError("Telnyx's answer about a call says nothing")
        if call.get("end_time"):
            return "gone"
        return "answered" if call.get("is_alive") else "ringing"

    async def active_calls(self) -> list[ActiveCall]:
        """Return the live legs of our application (at most 2,000); none when its id is not set. Raises CarrierError."""
        return await live_legs.of_connection(self.api, self._config.connection_id)

    async def number_id(self, number: str) -> str:
        """Return Telnyx's id of one of our numbers (E.164); "": it has no such number. Raises CarrierError."""
        params = {"filter[phone_number]": number, "page[size]": "20"}  # also finds numbers that contain these digits
        answer = await self.api.request("GET", "/phone_numbers", params=params, retries=1)
        numbers = answer.get("data") if isinstance(answer, dict) else None
        found = [one for one in numbers if isinstance(one, dict)] if isinstance(numbers, list) else []
        return next((text(one, "id", 64) for one in found if one.get("phone_number") == number), "")

    async def recording(self, name: str, byte_range: str = "") -> Download:
        """Open the sound of a recording. Raises CarrierError."""
        link, kind = await sound_of(self.api, name)
        return replace(await self._downloads.open(link, byte_range), content_type=kind)

    def checkup(self, outside: Outside) -> AsyncIterator[Finding]:
        """Check the account, see `carriers.telnyx.diagnostics`."""
        config = self._config
        return checkup(
            self.api,
            outside,
            paths=[route.path for route in self.routes],
            connection_id=config.connection_id,
            verifies=config.public_key is not None,
        )

    def media_protocol(self) -> TelnyxMediaProtocol:
        """Make the protocol of one media socket."""
        return TelnyxMediaProtocol()

    async def close(self) -> None:
        """Close the connections to the REST API."""
        await self.api.close()
        await self._downloads.close()
