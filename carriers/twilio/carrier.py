"""Twilio, Programmable Voice: webhooks come in, TwiML and REST requests go out.

Facts from Twilio's documentation (www.twilio.com/docs/usage/webhooks/voice-webhooks, /docs/voice/twiml/stream,
/docs/voice/api/call-resource):

- The answer to a webhook is the command: the document that a call's first request gets answers the call and opens its
  media stream.
- A document that is sent by REST replaces the one that is running, including its media stream.
- A call whose document has come to its end is hung up.
- Webhooks time out after 15 s, and have no id but an idempotency token.
- Status callbacks come in any order. The end of an inbound call is told only where the number's StatusCallback is set.
- The error 20404 means that the call is over; 21220 that it is over, or not answered yet: see `once_answered.py`.
- Nothing keeps a repeated `POST /Calls` from dialling twice. A dialled call's document is requested when it is
  answered; its requests have the query of the URL that we gave, and so bring our id back.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from msgspec.structs import replace

from callflow.contracts import commands
from callflow.contracts.carrier import (
    ActiveCall,
    CarrierAccount,
    CarrierCallStatus,
    CarrierCan,
    CarrierRequest,
    Download,
    Request,
    WebhookReply,
    WebhookRoute,
)
from callflow.contracts.cost_events import CarrierCost
from callflow.contracts.diagnostics import Finding, Outside
from callflow.contracts.errors import CarrierError, Forged, Malformed
from callflow.contracts.events import (
    CALLER,
    HUMAN,
    CallAnswered,
    CallInitiated,
    CallReferred,
    CallRefused,
    CallResumed,
    CallTurnedAway,
    CarrierNotice,
    Dtmf,
    Event,
    LegIds,
    SpeakEnded,
    WebhookEvent,
)
from callflow.contracts.sip_addresses import SIP
from carriers.common.downloads import Downloads
from carriers.common.http_client import Api
from carriers.twilio import costs, listings, recordings, streams, twiml
from carriers.twilio.accounts import Accounts
from carriers.twilio.config import TwilioConfig
from carriers.twilio.diagnostics import checkup
from carriers.twilio.dialling import call_of, dial_form, dialled_since, is_marked, leg_query, search_params
from carriers.twilio.errors import read_error
from carriers.twilio.failover import TwilioFailover
from carriers.twilio.media import TwilioMediaProtocol
from carriers.twilio.numbers import TwilioNumbers
from carriers.twilio.once_answered import once_answered
from carriers.twilio.signature import HEADER, Verifier, parameters, spellings
from carriers.twilio.webhooks import (
    ENDED,
    FALLBACK,
    JOINED,
    KEYS,
    LED,
    MACHINE,
    RECORDING,
    REFER,
    RESUME,
    STATUS,
    STREAM,
    UNANSWERED,
    VOICE,
    read_event,
    readable,
    routed,
)


log = logging.getLogger(__name__)

_BOTH: Final = ("GET", "POST")
_ASKS: Final = (
    CallInitiated, CallAnswered, CallResumed, CallRefused, CallTurnedAway, CallReferred, SpeakEnded,
)  # fmt: skip
"""Events whose webhook is answered with a TwiML document."""
_PERSISTENT_RETRIES: Final = 6
"""For commands that end a call: without them the caller would stay on the line."""
_MOST_LEGS: Final = 50
"""Of one call, that its documents have dialled."""
_KEY_SECONDS: Final = 15
"""How long a person may take to press a key after they were told who calls."""
_SPEECH_SECONDS: Final = 0.08
"""The time that the carrier's voice needs for one character of text, generously."""


class Twilio:
    """Twilio as a `callflow.contracts.carrier.Carrier`."""

    name = "twilio"
    can: frozenset[CarrierCan] = frozenset((
        "speaks", "streams_on_request", "answers_in_reply", "dials", "transfers", "refers",
        "listens", "tells_price", "leads_to_sip", "queues_dials",
    ))  # fmt: skip
    routes = (
        *(WebhookRoute(path, _BOTH, only_with="CallSid") for path in VOICE),
        *(WebhookRoute(path, _BOTH) for path in (RESUME, FALLBACK, STATUS, STREAM, RECORDING)),
        *(WebhookRoute(path, _BOTH) for path in (MACHINE, KEYS, REFER, LED)),
    )

    def __init__(self, config: TwilioConfig) -> None:
        self._config = config
        self._verifier = Verifier(config.auth_tokens, config.shared_keys)
        self._voice = twiml.Voice(config.voice, config.language)
        user = (config.api_key, config.api_secret) if config.api_key else (config.account_sid, config.auth_tokens[0])
        self.api = self._make_api(config.account_sid, user)
        self._accounts = Accounts(self.api, lambda other: self._make_api(other.sid, (other.sid, other.token)))
        hosts = (*recordings.HOSTS, *config.recording_hosts)
        self._downloads = Downloads(config.api_base, hosts, auth=user, seconds=config.seconds)
        self.numbers = TwilioNumbers(self.api, voice=VOICE, status=STATUS)
        self.failover = TwilioFailover(self.numbers, path=FALLBACK)

    def _make_api(self, account: str, user: tuple[str, str]) -> Api:
        config = self._config
        base = f"{config.api_base}/2010-04-01/Accounts/{account}"
        return Api(base, auth=user, read_error=read_error, seconds=config.seconds, retries=config.retries)

    def use_account(self, call: str, account: CarrierAccount) -> None:
        """Dial our call with that account, and manage it there. Raises CarrierError."""
        self._accounts.use(call, account)

    @property
    def preamble_seconds(self) -> float:
        """The time between answer and media stream: the pause, and Twilio's own greeting."""
        return self._config.pause_seconds + len(self._config.greeting_text) * _SPEECH_SECONDS

    @property
    def from_number(self) -> str:
        """Our number for outbound calls; "": the settings name none."""
        return self._config.from_number

    # Webhooks

    def verify(self, request: Request) -> None:
        """Verify a webhook's signature, see `carriers.twilio.signature`. Raises Forged or Malformed."""
        if HEADER not in request.headers and self._config.allow_unsigned:
            log.warning("ALLOW_UNSIGNED_WEBHOOKS: taking a Twilio webhook without a signature")
            return
        try:
            self._verifier.check(request)
        except Forged:
            if not self._accounts.has_signed(request):
                raise

    def verify_stream(self, request: Request, secrets: Sequence[str] = ()) -> str:
        """Check the signature of a media socket's handshake, and return what is wrong with it; "": nothing.

        Twilio docs (/docs/voice/media-streams): the handshake is signed like a webhook, over the `wss` URL. Some have
        seen it unsigned, or signed over another spelling of the URL. So the token in the path protects the socket, and
        the signature is required only when the settings say so. Raises Forged then.
        """
        is_signed = HEADER in request.headers
        if not is_signed and self._config.allow_unsigned:
            return ""
        try:
            self._verifier.check(request, slash=True)
        except Forged as error:
            if self._accounts.has_signed(request, slash=True):
                return ""
            if self._config.media_signature == "require":
                raise Forged(f'{error} (twilio_media_signature = "warn" lets it in)') from None
            tried = ", ".join(f"{each}…" for each in spellings(request.url))
            return f"it is signed over none of {tried}, with or without a slash" if is_signed else "it is not signed"
        return ""

    def parse(self, request: Request) -> list[WebhookEvent]:
        """Read a webhook as one event. Raises Malformed. Vendor: /docs/usage/webhooks/voice-webhooks."""
        params = {readable(name): readable(value) for name, value in parameters(request)}
        sid = params.get("CallSid", "")
        if not 0 < len(sid) <= 64:
            raise Malformed("no CallSid: this is not a request about a call")
        path = request.path
        token = request.headers.get("i-twilio-idempotency-token", "")[:100]
        call, leg = call_of(request.query)
        for mark in (JOINED, twiml.SAID):
            if is_marked(request.query, mark):
                params[mark] = "1"
        event, key = read_event(path, params)
        event = routed(event, path, request.query, self._config.default_mode)
        if path in VOICE and isinstance(event, CallInitiated):
            token = ""  # a call is answered once, with the same document however often Twilio asks
        delivery = f"{path}:{token}" if token else f"{sid}:{key}" if key else ""
        if token and isinstance(event, Dtmf):
            event = replace(event, delivery=delivery)
        ids = LegIds(control=sid, number=params.get("CalledNumberSid") or params.get("PhoneNumberSid") or "")
        return [WebhookEvent(self.name, delivery, ids, event, params.get("Timestamp", ""), call, leg)]

    def reply(self, event: Event | None, requests: Sequence[CarrierRequest], *, over: bool = False) -> WebhookReply:
        """Return the TwiML document that carries the first request that a document can carry; the others are left.

        When there is none, the caller waits a second until Twilio asks again, or with `over` the call ends.
        """
        is_begun = isinstance(event, CallInitiated) and event.direction == "outgoing"
        is_key = isinstance(event, (Dtmf, CarrierNotice)) and event.source == "asked"
        asks = (isinstance(event, _ASKS) and not is_begun) or is_key
        if event is None or not asks:
            return WebhookReply(b"", "text/plain", 204, rest=tuple(requests))
        document, carried = None, None
        for request in [each for each in requests if each.command.leg == event.leg]:
            document = self._document(request, first=not isinstance(event, CallResumed) or event.unanswered)
            if document is not None:
                carried = request
                break
        if document is None:
            document = self._goodbye() if over else self._blank().come_back(1)
        rest = tuple(request for request in requests if request is not carried)
        return WebhookReply(document.text().encode(), twiml.CONTENT_TYPE, rest=rest)

    # Commands

    def _blank(self) -> twiml.Document:
        return twiml.Document(self._config.address(), self._voice)

    def _goodbye(self) -> twiml.Document:
        return self._blank().say(self._config.after_text).hang_up()

    def _document(self, request: CarrierRequest, *, first: bool) -> twiml.Document | None:
        config = self._config
        match request.command:
            case commands.Answer(streamless=True):
                return self._blank().wait(config.resume_seconds)
            case commands.Answer() | commands.StartStream():
                document = self._blank()
                if first:
                    document.say(config.greeting_text).pause(config.pause_seconds)
                if request.command.record:
                    document.record(f"{config.address()}{RECORDING}{leg_query(request)}{twiml.CONNECTION_OVERRIDES}")
                return document.connect(self._stream(request)).come_back(config.resume_seconds)
            case commands.Speak(sentence=sentence, goes_on=goes_on):
                document = self._blank().say(config.sentences.get(sentence, request.text))
                return document.come_back(0, said=True) if goes_on else document.say(config.after_text).hang_up()
            case commands.Reject(cause=cause):
                return self._blank().reject(cause)
            case commands.Hangup(quiet=quiet):
                is_heard = request.command.leg == CALLER and not quiet
                return self._goodbye() if is_heard else self._blank().hang_up()
            case commands.Brief():
                answer_to = f"{config.address()}{KEYS}{leg_query(request)}{twiml.CONNECTION_OVERRIDES}"
                return self._blank().ask(request.text, answer_to, _KEY_SECONDS).hang_up()
            case commands.Join():
                document = self._blank().say(request.text).confer(request.call)
                return document.come_back(0) if request.command.leg == CALLER else document.hang_up()
            case commands.Transfer():
                query = leg_query(request, HUMAN)
                return self._blank().dial(
                    request.command.number,
                    caller_id=request.from_number,
                    seconds=request.command.ring_seconds,
                    then=f"{config.address()}{RESUME}{twiml.CONNECTION_OVERRIDES}",
                    answered=f"{config.address()}{STATUS}{query}&{JOINED}=1{twiml.CONNECTION_OVERRIDES}",
                )
            case commands.LeadToSip(address=address, ring_seconds=seconds):
                leg = "" if address else f"call:{request.call}"
                told = (request.from_number, request.to_number, leg)
                headers = tuple(zip(("X-Callflow-From", "X-Callflow-To", "X-Callflow-Leg"), told, strict=True))
                then = f"{config.address()}{LED}{twiml.CONNECTION_OVERRIDES}"
                return self._blank().lead_to_sip(address or request.text, headers, seconds=seconds, then=then)
            case commands.Refer(address=address):
                then = f"{config.address()}{REFER}{twiml.CONNECTION_OVERRIDES}"
                return self._blank().refer(address, then=then).come_back(0)
        return None

    def _stream(self, request: CarrierRequest) -> twiml.Stream:
        about = (
            ("phoneNumber", request.to_number or "unknown"),
            ("phoneNumberSid", request.ids.number or "unknown"),
            ("callerNumber", request.from_number or "unknown"),
        )
        return twiml.Stream(request.stream_url, request.stream_name, f"{self._config.address()}{STREAM}", about)

    async def execute(self, request: CarrierRequest) -> None:
        """Send one command by REST, when no webhook waits for an answer that could carry it. Raises CarrierError."""
        sid = request.ids.control
        api = self._accounts.of(sid)
        match request.command:
            case commands.Answer():
                return  # no REST command answers a call: the document does, when Twilio asks again in a second
            case commands.Refer() if not request.from_number.startswith(SIP):
                # Twilio ends the document with an error (13801), and perhaps the call with it.
                raise CarrierError("the caller did not come over SIP, and Twilio refers no other calls")
            case commands.StartStream() | commands.Join() | commands.Transfer() | commands.Refer():
                # Executed twice, it would end the stream that it has just opened.
                await self._push(sid, self._document(request, first=False), repeatable=False)
            case commands.LeadToSip():
                await self._push(sid, self._document(request, first=False), repeatable=False)
            case commands.Speak() | commands.Brief():
                await self._push(sid, self._document(request, first=False))
            case commands.FindPerson():
                if not await listings.talks_with(api, sid):
                    raise CarrierError("nobody has answered whom Twilio rang for the caller")
            case commands.Reject() | commands.Hangup() as command:
                is_quiet = isinstance(command, commands.Hangup) and command.quiet
                await self._hang_up(sid, quiet=is_quiet or command.leg != CALLER)
            case commands.Listen():
                told_at = f"{self._config.address()}{STREAM}"
                await self._once_answered(sid, lambda: streams.listen(api, request, told_at))
            case commands.PauseRecord(on=on):
                await recordings.pause(api, request, on=on)
            case commands.Record(on=on):
                address = self._config.address()
                await self._once_answered(sid, lambda: recordings.record(api, request, address, on=on))
            case _:
                raise CarrierError(f"Twilio has no command for {request.command.name!r}")

    async def dial(self, request: CarrierRequest) -> LegIds:
        """Dial, and return the call's SID. Raises CarrierError. Vendor: /docs/voice/api/call-resource."""
        command = request.command
        if not isinstance(command, commands.Dial):
            raise TypeError(f"{command.name} does not dial")
        form = dial_form(request, command, self._config.address())
        api = self._accounts.to_dial(request.call)
        answer = await api.request("POST", "/Calls.json", repeatable=False, data=form)
        sid = str(answer.get("sid") or "")[:64] if isinstance(answer, dict) else ""
        if not sid:
            raise CarrierError("Twilio's answer to the dial names no call", unknown=True)
        self._accounts.dialled(request.call, sid)
        return LegIds(control=sid)

    async def find_dialled(self, request: CarrierRequest) -> LegIds | None:
        """Look for the one call to this number that we dialled since. Raises CarrierError."""
        api = self._accounts.to_dial(request.call)
        answer = await api.request("GET", "/Calls.json", params=search_params(request), retries=1)
        sid = dialled_since(listings.objects(answer, "calls"), request.at)
        self._accounts.dialled(request.call, sid)
        return LegIds(control=sid) if sid else None

    async def _push(self, sid: str, document: twiml.Document | None, *, repeatable: bool = True) -> None:
        if document is not None:
            form = {"Twiml": document.text()}
            await self._once_answered(sid, lambda: self._update(sid, form, repeatable=repeatable))

    async def _once_answered(self, sid: str, send: Callable[[], Awaitable[None]]) -> None:
        await once_answered(send, lambda: self.call_status(LegIds(control=sid)))

    async def _hang_up(self, sid: str, *, quiet: bool) -> None:
        try:
            if self._config.after_text and not quiet:
                try:
                    await self._update(sid, {"Twiml": self._goodbye().text()})
                    return
                except CarrierError as error:
                    log.info("Twilio refused the last sentence, so the call ends without it: %s", error)
            await self._update(sid, {"Status": "completed"}, retries=_PERSISTENT_RETRIES)
        except CarrierError as error:
            if not error.gone:
                raise

    async def _update(self, sid: str, form: Mapping[str, str], **options: Any) -> None:
        await self._accounts.of(sid).request("POST", _call(sid), data=dict(form), **options)

    async def look_up(self, sid: str) -> Mapping[str, Any]:
        """Return Twilio's call resource: `status`, `duration` (seconds, as text) and more.

        Raises CarrierError, with `gone` when there is no such call. Vendor: /docs/voice/api/call-resource.
        """
        found = await self._accounts.of(sid).request("GET", _call(sid))
        return found if isinstance(found, dict) else {}

    async def call_status(self, ids: LegIds) -> CarrierCallStatus:
        """Ask how a call is. Raises CarrierError."""
        try:
            status = str((await self.look_up(ids.control)).get("status", ""))
        except CarrierError as error:
            if error.gone:
                return "gone"
            raise
        return "gone" if status in ENDED else "ringing" if status in UNANSWERED else "answered"

    async def call_costs(self, ids: LegIds) -> tuple[Sequence[CarrierCost], bool]:
        """Ask what a leg that is over has cost, and the legs that its documents have dialled. Returns what is known,
        and whether that is all. Raises CarrierError."""
        own, params = await self.look_up(ids.control), {"ParentCallSid": ids.control, "PageSize": str(_MOST_LEGS)}
        if costs.cost_of(own) is None:
            return costs.costs_of([own])
        answer = await self._accounts.of(ids.control).request("GET", "/Calls.json", params=params, retries=1)
        return costs.costs_of([own, *listings.objects(answer, "calls")])

    async def active_calls(self) -> list[ActiveCall]:
        """Return the account's live calls, those that ring or wait for their turn among them. Raises CarrierError.

        They are those of all applications, because Twilio does not tell which number's webhook answered a call.
        """
        return await listings.live_calls(self.api)

    async def number_id(self, number: str) -> str:
        """Return Twilio's SID of one of our numbers (E.164); "": it has no such number. Raises CarrierError."""
        params = {"PhoneNumber": number, "PageSize": "20"}  # also finds numbers that contain these digits
        answer = await self.api.request("GET", "/IncomingPhoneNumbers.json", params=params, retries=1)
        found = listings.objects(answer, "incoming_phone_numbers")
        return next((str(one.get("sid") or "")[:64] for one in found if one.get("phone_number") == number), "")

    async def recording(self, name: str, byte_range: str = "") -> Download:
        """Open the sound of a recording. Raises CarrierError. Vendor: /docs/voice/api/recording."""
        url = recordings.sound_of(self._config.api_base, self._config.account_sid, name)
        return await self._downloads.open(url, byte_range)

    def checkup(self, outside: Outside) -> AsyncIterator[Finding]:
        """Check the account, see `carriers.twilio.diagnostics`."""
        config = self._config
        return checkup(
            self.api,
            outside,
            account=config.account_sid,
            token=config.auth_tokens[0],
            with_key=bool(config.api_key),
            voice=VOICE,
            status=STATUS,
        )

    def media_protocol(self) -> TwilioMediaProtocol:
        """Make the protocol of one media socket."""
        return TwilioMediaProtocol(self._config.account_sid, self._accounts.has)

    async def close(self) -> None:
        """Close the connections to the REST API."""
        await self.api.close()
        await self._accounts.close()
        await self._downloads.close()


def _call(sid: str) -> str:
    return f"/Calls/{quote(sid, safe='')}.json"
