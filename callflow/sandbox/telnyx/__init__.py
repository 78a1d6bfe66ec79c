"""An emulated Telnyx Voice API: as strict as the carrier, and able to misbehave.

It serves the HTTP API, sends signed webhooks, opens the media WebSocket and puts a telephone at the other end of the
line. Between it and the application that it calls there are only real sockets. In a test:

    async with Telnyx(webhook_url="http://127.0.0.1:6000/webhooks") as telnyx:
        # give the application telnyx.base_url, telnyx.api_key and telnyx.public_key
        call = await telnyx.ring()
        await call.wait_streaming()
        call.phone.say(ulaw)
        await call.phone.hears(1.0)
        await call.hang_up()

It shares no code with the application but the G.711 tables, and accepts nothing that Telnyx's documentation does not
name. Where the documentation is silent the comment at the place says "(unknown)".
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

from callflow.sandbox.common.control_api import ControlRoutes
from callflow.sandbox.common.emulator import Emulator
from callflow.sandbox.common.media_socket import Frame
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.telnyx.api import Api, Command
from callflow.sandbox.telnyx.call import Call
from callflow.sandbox.telnyx.control import serve
from callflow.sandbox.telnyx.exchange import CONNECTION_ID, Switch
from callflow.sandbox.telnyx.faults import ApiFault, Faults, Timing
from callflow.sandbox.telnyx.frames import StreamOptions
from callflow.sandbox.telnyx.media import MediaStream
from callflow.sandbox.telnyx.webhooks import Delivery, envelope, timestamp


__all__ = [
    "CONNECTION_ID",
    "ApiFault",
    "Call",
    "Command",
    "Delivery",
    "Faults",
    "Frame",
    "MediaStream",
    "Phone",
    "StreamOptions",
    "Telnyx",
    "Timing",
    "serve",
]

DEFAULT_API_KEY: Final = "KEY_sandbox_telnyx"


class Telnyx(Emulator):
    """The carrier. `webhook_url` is where the application listens; it may be changed before a call rings."""

    def __init__(
        self,
        *,
        webhook_url: str,
        api_key: str = DEFAULT_API_KEY,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Faults | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.api_key = api_key
        self.switch = Switch(webhook_url, faults or Faults(), timing or Timing())
        self.api = Api(self.switch, api_key)
        super().__init__(self.switch, self.api, ControlRoutes(self, Faults), host, port)

    # What the application needs to know.

    def settings(self) -> dict[str, str]:
        """The application's settings by their names in lower case."""
        return {
            "telnyx_api_key": self.api_key,
            "telnyx_public_key": self.public_key,
            "telnyx_api_base": self.base_url,
        }

    def set_server(self, server: str) -> None:
        """The application listens there: "http://127.0.0.1:6000"."""
        self.webhook_url = f"{server}/webhooks"

    @property
    def base_url(self) -> str:
        """The application's TELNYX_API_BASE."""
        return f"{self.root}/v2"

    @property
    def public_key(self) -> str:
        """The application's TELNYX_PUBLIC_KEY: base64 of 32 raw bytes."""
        return self.switch.signer.public_key

    @property
    def webhook_url(self) -> str:
        return self.switch.webhook_url

    @webhook_url.setter
    def webhook_url(self, url: str) -> None:
        self.switch.webhook_url = url

    # What happened.

    @property
    def calls(self) -> dict[str, Call]:
        """By call_control_id, in the order in which they began."""
        return self.switch.calls

    @property
    def commands(self) -> list[Command]:
        """Every request to the API."""
        return self.api.commands

    @property
    def deliveries(self) -> list[Delivery]:
        """Every attempt to deliver a webhook."""
        return self.switch.webhooks.deliveries

    # What can be done.

    @property
    def faults(self) -> Faults:
        return self.switch.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self.switch.faults = faults

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
        """Somebody calls: sends call.initiated (incoming, parked), with `payload` added to its fields.

        `codec` is that of the leg: PCMU in North America, PCMA nearly everywhere else.
        """
        call = Call(self.switch, from_number=from_number, to_number=to_number, phone=phone, codec=codec, faults=faults)
        call.initiated(payload)
        return call

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
        """One attempt to deliver anything at all, waited for. `headers` replace the signature, `body` everything."""
        event_id = event_id or str(uuid.uuid4())
        url = self.webhook_url
        if body is None:
            body = envelope(event_type, payload, event_id, 1, url, occurred_at or timestamp())
        headers = self.sign(body) if headers is None else headers
        delivery = Delivery(monotonic(), event_type, event_id, 1, url, payload)
        return await self.switch.webhooks.attempt(delivery, body, {"Content-Type": "application/json", **headers})

    def sign(self, body: bytes, timestamp: int | None = None) -> dict[str, str]:
        """The signature headers for a body. `timestamp` is in Unix seconds, now by default."""
        return self.switch.signer.sign(body, timestamp)

    def key(self) -> dict[str, Any]:
        """What the application needs to know, as JSON can hold it."""
        return {"public_key": self.public_key, "api_key": self.api_key, "base_url": self.base_url}
