"""The emulated Telnyx as a whole: what a test starts, calls, inspects and breaks."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

from callflow.sandbox.common import emulator
from callflow.sandbox.common.control_api import ControlRoutes
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.telnyx.api import Api, Command
from callflow.sandbox.telnyx.call import Call
from callflow.sandbox.telnyx.exchange import Exchange
from callflow.sandbox.telnyx.faults import Faults, Timing
from callflow.sandbox.telnyx.numbers import Application, Number
from callflow.sandbox.telnyx.outbound import OutboundCalls
from callflow.sandbox.telnyx.webhooks import Delivery, envelope, timestamp


DEFAULT_API_KEY: Final = "KEY_sandbox_telnyx"


class Telnyx(emulator.Emulator[Call, Faults, Command, Delivery]):
    """The carrier.

    Args:
        webhook_url: where the application listens; it may be changed before a call rings.
        api_key: what the application has to send as its bearer token.
        port: 0 takes any free one.
        signing: words from which the key that signs webhooks is made; "": a new one.
    """

    def __init__(
        self,
        *,
        webhook_url: str,
        api_key: str = DEFAULT_API_KEY,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Faults | None = None,
        timing: Timing | None = None,
        signing: str = "",
    ) -> None:
        self.api_key = api_key
        self.exchange: Exchange[Call] = Exchange(webhook_url, faults or Faults(), timing or Timing(), signing)
        self._outbound = OutboundCalls(self.exchange)
        self.api = Api(self.exchange, api_key)
        super().__init__(self.exchange, self.api, ControlRoutes(self, Faults), host, port)

    # What the application has to be given

    def settings(self) -> dict[str, str]:
        """Return the application's settings by their names in lower case."""
        return {
            "telnyx_api_key": self.api_key,
            "telnyx_public_key": self.public_key,
            "telnyx_api_base": self.base_url,
        }

    def set_server(self, server: str) -> None:
        """Send webhooks to an application that listens at `server`, such as "http://127.0.0.1:6000"."""
        self.webhook_url = f"{server}/webhooks"

    @property
    def base_url(self) -> str:
        """The application's TELNYX_API_BASE."""
        return f"{self.root}/v2"

    @property
    def public_key(self) -> str:
        """The application's TELNYX_PUBLIC_KEY: base64 of 32 raw bytes."""
        return self.exchange.signer.public_key

    @property
    def webhook_url(self) -> str:
        """Where webhooks are sent."""
        return self.exchange.webhook_url

    @webhook_url.setter
    def webhook_url(self, url: str) -> None:
        self.exchange.webhook_url = url

    @property
    def account(self) -> Application:
        """The account: its one application, its limits and its money."""
        return self.exchange.application

    @property
    def timing(self) -> Timing:
        """How long the carrier takes; may be changed at any time."""
        return self.exchange.timing

    def key(self) -> dict[str, Any]:
        """Return {"public_key", "api_key", "base_url"}, for the control API."""
        return {"public_key": self.public_key, "api_key": self.api_key, "base_url": self.base_url}

    # What can be done

    async def ring(
        self,
        *,
        from_number: str = "+15550100001",
        to_number: str = "+15550100002",
        phone: Phone | None = None,
        codec: str = "PCMU",
        faults: Faults | None = None,
        **payload: Any,
    ) -> Call:
        """Begin an incoming call: sends call.initiated (incoming, parked), with `payload` added to its fields.

        `codec` is that of the leg: PCMU in North America, PCMA nearly everywhere else.
        """
        call = Call(
            self.exchange, from_number=from_number, to_number=to_number, phone=phone, codec=codec, faults=faults
        )
        application = self.exchange.account.application_of(to_number)
        number = self.exchange.account.numbers.get(to_number)
        if number is not None and number.forwards("always"):
            self._outbound.forward(call, number.forwards_to)
            return call
        if application is None:
            call.note("the number leads to no active application: nobody is told of the call")
            return call
        if application is not self.exchange.application:
            call.webhook_url = application.webhook_event_url
            call.failover_url = application.webhook_event_failover_url or ""
        call.initiated(payload, lambda: self._unserved(call, number))
        return call

    def _unserved(self, call: Call, number: Number | None) -> None:
        """Nobody has taken the webhook of a call that comes in: it is forwarded, if its number says so, else it rings
        until the caller gives up. What counts as a failure for `on-failure` is not documented (unknown)."""
        if call.state == "parked" and not call.answering and number is not None and number.forwards("on-failure"):
            self._outbound.forward(call, number.forwards_to)

    def number(self, phone_number: str = "+15550100002", **about: Any) -> Number:
        """Return a number of the account, which may be changed before it is called. `about`: of one that is new."""
        return self.exchange.account.number(phone_number, **about)

    async def send_webhook(
        self,
        event_type: str,
        payload: Mapping[str, Any],
        *,
        event_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        occurred_at: str | None = None,
    ) -> Delivery:
        """Make one attempt to deliver any webhook and wait for its answer.

        `headers` replace those of the signature, `body` replaces the whole envelope.
        """
        event_id = event_id or str(uuid.uuid4())
        url = self.webhook_url
        if body is None:
            body = envelope(event_type, payload, event_id, 1, url, occurred_at or timestamp())
        headers = self.sign(body) if headers is None else headers
        delivery = Delivery(monotonic(), event_type, event_id, 1, url, payload)
        return await self.exchange.webhooks.attempt(delivery, body, {"Content-Type": "application/json", **headers})

    def sign(self, body: bytes, timestamp: int | None = None) -> dict[str, str]:
        """Return the signature headers for a body. `timestamp` is in Unix seconds, now by default."""
        return self.exchange.signer.sign(body, timestamp)
