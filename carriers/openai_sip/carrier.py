"""OpenAI as a carrier of calls that come over SIP: webhooks come in, commands go out as REST requests, and the audio of
a call never comes here.

Facts from OpenAI's documentation (developers.openai.com/api/docs/guides/realtime-sip) and its package:

- A call rings until it is accepted or rejected. The accept holds the whole session of the model.
- A 404 to a command means that the call is over.
- No webhook tells of an end: the sideband socket (`?call_id=`) closes, and is refused with 404 from then on.
- Nothing says how a call is, and no list has the calls that are live.
- A webhook that is not answered with 2xx is sent again for days, under the same `webhook-id`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from callflow.contracts import commands
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
from callflow.contracts.engine import SessionOffer
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import Event, LegIds, WebhookEvent
from callflow.contracts.media import MediaProtocol
from callflow.contracts.sip_addresses import TEL
from carriers.common.http_client import Api
from carriers.openai_sip.diagnostics import checkup
from carriers.openai_sip.errors import read_error
from carriers.openai_sip.failover import NoFailover
from carriers.openai_sip.numbers import NoNumbers
from carriers.openai_sip.signature import ID, Verifier
from carriers.openai_sip.webhooks import Other, read_webhook


log = logging.getLogger(__name__)

WEBHOOK: Final = "/openai/webhook"
_SUCCESS: Final = b'{"received":true}'
_BUSY, _DECLINED = 486, 603
"""SIP status codes of a rejected call."""
_PERSISTENT_RETRIES: Final = 6
"""For commands that end a call: without them the caller would stay on the line."""
_PAUSE: Final = 0.25
_MOST_PAUSE: Final = 2.0
"""Seconds before an accept is sent again: they double from the one to the other."""
_MOST_KINDS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAISipConfig:
    """What the settings say of OpenAI's SIP; `carriers.registry` fills it in."""

    api_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    """One or several, separated by commas."""
    calls_url: str
    """The address of the REST API's calls, without a trailing slash: `https://api.openai.com/v1/realtime/calls`."""
    sip_uri: str
    """Where numbers lead; "": not known."""
    seconds: float
    """For one try of one REST command."""
    retries: int
    """Further tries after the first one failed."""


class OpenAISip:
    """OpenAI's SIP as a `callflow.contracts.carrier.Carrier`."""

    name = "openai"
    can: frozenset[CarrierCan] = frozenset(("media_is_remote", "streams_on_request", "refers"))
    routes = (WebhookRoute(WEBHOOK, forged_status=400),)
    preamble_seconds = 0.0
    from_number = ""

    def __init__(self, config: OpenAISipConfig, *, clock: Callable[[], float] = time.time) -> None:
        """`clock`: returns Unix time in seconds, which a webhook's timestamp is compared with."""
        self._config = config
        self._verifier = Verifier(config.webhook_secret, clock)
        self._noted: set[str] = set()
        self.api = Api(
            config.calls_url,
            headers={"Authorization": f"Bearer {config.api_key}"},
            read_error=read_error,
            seconds=config.seconds,
            retries=config.retries,
        )
        self.numbers, self.failover = NoNumbers(), NoFailover()

    # Webhooks

    def verify(self, request: Request) -> None:
        """Verify the signature of a webhook. Raises Forged; Malformed where a header is missing."""
        self._verifier.check(request)

    def verify_stream(self, request: Request, secrets: Sequence[str] = ()) -> str:
        """Return that this carrier opens no media sockets."""
        return "calls over OpenAI's SIP have no media socket"

    def parse(self, request: Request) -> list[WebhookEvent]:
        """Read an incoming call; nothing for a webhook about something else, which is noted. Raises Malformed."""
        found = read_webhook(request.body)
        if isinstance(found, Other):
            if found.kind not in self._noted and len(self._noted) < _MOST_KINDS:
                self._noted.add(found.kind)
                log.info("a webhook of OpenAI's about %r is not for calls here, and is only noted", found.kind)
            return []
        delivery = request.headers.get(ID, "")[:100]
        return [WebhookEvent(self.name, delivery, LegIds(control=found.call), found.event, found.at)]

    def reply(self, event: Event | None, requests: Sequence[CarrierRequest], *, over: bool = False) -> WebhookReply:
        """Return a plain success; all requests are left to be sent, because OpenAI reads only the status."""
        return WebhookReply(_SUCCESS, rest=tuple(requests))

    # Commands

    async def execute(self, request: CarrierRequest) -> None:
        """Send one command; one that ends a call succeeds, too, when the call is over already. Raises CarrierError.
        Vendor: developers.openai.com/api/docs/api-reference/realtime-calls."""
        if not request.ids.control:
            raise CarrierError("OpenAI has not told this call's id, so no command can be sent to it")
        path = f"/{quote(request.ids.control, safe='')}"
        match request.command:
            case commands.Answer(again=again):
                await self._accept(path, request, again=again)
            case commands.StartStream():
                return  # the sideband socket, which the engine opens, is all there is
            case commands.Reject(cause=cause):
                await self._end(f"{path}/reject", {"status_code": _BUSY if cause == "busy" else _DECLINED})
            case commands.Hangup():
                await self._hang_up(path)
            case commands.Refer(address=address):
                await self._refer(path, address)
            case commands.Transfer(number=number):
                await self._refer(path, f"{TEL}{number}")  # the caller's own carrier rings them
            case _:
                raise CarrierError(f"OpenAI's SIP has no command for {request.command.name!r}")

    async def _accept(self, path: str, request: CarrierRequest, *, again: bool) -> None:
        """Accept a call with its session, or with less of it where that is refused. Raises CarrierError.

        While the engine's account asks the vendor for nothing, a call is rejected as busy. An accept whose answer is
        lost may have been obeyed, and so may one of another process: then the sideband socket shows it, which is
        refused until the call is accepted.
        """
        offer = request.offer
        session = offer.first() if offer is not None else {"type": "realtime"}
        while True:
            try:
                await self._try_to_accept(path, session, offer, again=again)
                break
            except CarrierError as error:
                less = offer.reduced(error.said, error.param) if offer is not None and error.status == 400 else None
                if less is None:
                    raise
                log.warning("call %s: OpenAI refuses the session, and is asked for less: %s", request.call, error)
                session = less
        if offer is not None:
            offer.taken()

    async def _try_to_accept(self, path: str, session: object, offer: SessionOffer | None, *, again: bool) -> None:
        for left in range(self._config.retries, -1, -1):
            if offer is not None and not again and (why := offer.vendor_refuses):
                await self._end(f"{path}/reject", {"status_code": _BUSY})
                raise CarrierError(f"OpenAI takes no calls now ({why}), so this one was rejected")
            try:
                await self.api.request("POST", f"{path}/accept", retries=0, repeatable="answered", json=session)
                return
            except CarrierError as error:
                if offer is not None and error.status:
                    offer.failed(error.status, error.wait)
                if error.retry and left:
                    log.warning("an accept failed, trying again: %s", error)
                    await asyncio.sleep(error.wait or min(_PAUSE * 2 ** (self._config.retries - left), _MOST_PAUSE))
                    continue
                was_accepted = again and 400 < error.status < 500 and error.status not in (401, 403, 404, 429)
                if not (error.unknown and not error.status) and not was_accepted:
                    raise
                log.warning("it is not known yet whether OpenAI accepted a call: %s", error)
                return

    async def _refer(self, path: str, address: str) -> None:
        await self.api.request("POST", f"{path}/refer", repeatable=False, json={"target_uri": address})

    async def _hang_up(self, path: str) -> None:
        """Hang up; a call that cannot be hung up is perhaps not accepted yet, and is rejected."""
        try:
            await self.api.request("POST", f"{path}/hangup", retries=_PERSISTENT_RETRIES)
        except CarrierError as error:
            if not error.gone and error.status not in (400, 409):
                raise
            await self._end(f"{path}/reject", {"status_code": _DECLINED})

    async def _end(self, path: str, body: dict[str, int]) -> None:
        try:
            await self.api.post(path, body, retries=_PERSISTENT_RETRIES)
        except CarrierError as error:
            if not error.gone:
                raise

    async def dial(self, request: CarrierRequest) -> LegIds:
        """Raise CarrierError: OpenAI dials nobody."""
        raise CarrierError("OpenAI's SIP takes calls and dials none")

    async def find_dialled(self, request: CarrierRequest) -> LegIds | None:
        """Return None: OpenAI dials nobody."""
        return None

    # Questions

    async def call_status(self, ids: LegIds) -> CarrierCallStatus:
        """Raise CarrierError: there is nothing that could be asked."""
        raise CarrierError("OpenAI does not say how a call is: its sideband socket shows that")

    async def active_calls(self) -> list[ActiveCall]:
        """Return none: OpenAI lists no calls."""
        return []

    async def number_id(self, number: str) -> str:
        """Return "": OpenAI has no numbers."""
        return ""

    async def recording(self, name: str, byte_range: str = "") -> Download:
        """Raise CarrierError: OpenAI keeps no recordings."""
        raise CarrierError("OpenAI keeps no recordings of calls", gone=True)

    def checkup(self, outside: Outside) -> AsyncIterator[Finding]:
        """Check the way there and back, see `carriers.openai_sip.diagnostics`."""
        config = self._config
        return checkup(self.api, outside, path=WEBHOOK, sip_uri=config.sip_uri, calls_url=config.calls_url)

    def media_protocol(self) -> MediaProtocol:
        """Raise TypeError: this carrier's media is remote."""
        raise TypeError("calls over OpenAI's SIP have no media socket")

    async def close(self) -> None:
        """Close the connections to the REST API."""
        await self.api.close()
