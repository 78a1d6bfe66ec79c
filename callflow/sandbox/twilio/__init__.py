"""An emulated Twilio Programmable Voice: as strict as the carrier, and able to misbehave.

It asks the application for documents and plays them, tells it what happens, opens the media WebSocket, serves the REST
API and puts a telephone at the other end of the line. All requests are signed over the application's public address;
`server` says where that address really leads, so that nothing needs a name or a certificate. In a test:

    async with Twilio("https://phone.example", server="http://127.0.0.1:6000") as twilio:
        # give the application PUBLIC_BASE_URL, twilio.account_sid, twilio.auth_token and twilio.base_url
        call = await twilio.ring()
        await call.wait_streaming()
        call.phone.say(ulaw)
        await call.phone.hears(1.0)
        await call.hang_up()

It shares no code with the application but the G.711 tables, and accepts nothing that Twilio's documentation does not
name. Where the documentation is silent the comment at the place says "(unknown)".
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import urljoin

from callflow.sandbox.common.control_api import ControlRoutes
from callflow.sandbox.common.emulator import Emulator
from callflow.sandbox.common.media_socket import Frame
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.twilio.api import Command, Rest
from callflow.sandbox.twilio.call import Call
from callflow.sandbox.twilio.exchange import Exchange, Number
from callflow.sandbox.twilio.faults import ApiFault, Faults, Timing
from callflow.sandbox.twilio.media import MediaStream
from callflow.sandbox.twilio.webhooks import Delivery, Signer


__all__ = [
    "ApiFault",
    "Call",
    "Command",
    "Delivery",
    "Faults",
    "Frame",
    "MediaStream",
    "Number",
    "Phone",
    "Signer",
    "Timing",
    "Twilio",
    "serve",
]

ACCOUNT_SID: Final = "AC" + "5a" * 16
AUTH_TOKEN: Final = "sandbox-twilio-auth-token"
API_KEY: Final = ("SK" + "5b" * 16, "sandbox-twilio-api-secret")


class Twilio(Emulator):
    """The carrier. `public` is the application's public address; paths in the options are below it."""

    def __init__(
        self,
        public: str,
        *,
        server: str = "",
        voice: str = "/incoming-call",
        status: str = "/twilio/status",
        fallback: str = "",
        account_sid: str = ACCOUNT_SID,
        auth_token: str = AUTH_TOKEN,
        api_key: tuple[str, str] = API_KEY,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Faults | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.public = public.rstrip("/")
        self.account_sid, self.auth_token = account_sid, auth_token
        self.exchange = Exchange(account_sid, auth_token, api_key, faults or Faults(), timing or Timing(), server)
        self.exchange.usual = Number(
            "",
            voice_url=self._at(voice),
            voice_fallback_url=self._at(fallback),
            status_callback=self._at(status),
        )
        self.rest = Rest(self.exchange, self._dial)
        super().__init__(self.exchange, self.rest, ControlRoutes(self, Faults), host, port)

    def _at(self, path: str) -> str:
        return urljoin(self.public + "/", path) if path else ""

    # What the application needs to know.

    def settings(self) -> dict[str, str]:
        """The application's settings by their names in lower case."""
        return {
            "twilio_account_sid": self.account_sid,
            "twilio_auth_token": self.auth_token,
            "twilio_api_base": self.base_url,
            "public_base_url": self.public,
        }

    def set_server(self, server: str) -> None:
        """The public address leads there: "http://127.0.0.1:6000"."""
        self.server = server

    @property
    def base_url(self) -> str:
        """The application's TWILIO_API_BASE."""
        return self.root

    @property
    def server(self) -> str:
        """Where the public address really leads; may be changed before a call rings."""
        return self.exchange.webhooks.server

    @server.setter
    def server(self, url: str) -> None:
        self.exchange.webhooks.server = url

    # What happened.

    @property
    def calls(self) -> dict[str, Call]:
        """By sid, in the order in which they began."""
        return self.exchange.calls

    @property
    def commands(self) -> list[Command]:
        """Every request to the REST API."""
        return self.rest.commands

    @property
    def deliveries(self) -> list[Delivery]:
        """Every attempt at a webhook."""
        return self.exchange.webhooks.deliveries

    # What can be done.

    @property
    def faults(self) -> Faults:
        return self.exchange.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self.exchange.faults = faults

    @property
    def signer(self) -> Signer:
        """Signs as the carrier does: `signer.sign(url, params)` gives the headers."""
        return self.exchange.signer

    def number(self, phone_number: str = "+15550100002") -> Number:
        """A number of the account, which may be changed before it is called."""
        return self.exchange.number(phone_number)

    async def ring(
        self,
        *,
        from_number: str = "+15550100001",
        to_number: str = "+15550100002",
        phone: Phone | None = None,
        faults: Faults | None = None,
        **params: str,
    ) -> Call:
        """Somebody calls: the number's VoiceUrl is asked, with `params` over those of every request of the call."""
        number = self.exchange.number(to_number)
        call = Call(
            self.exchange,
            number,
            from_number=from_number,
            to_number=to_number,
            phone=phone,
            faults=faults,
            params=params,
        )
        if number.trunk_sid or number.voice_application_sid:
            call.note("the number's trunk or application overrides its VoiceUrl: nobody is asked")
        else:
            call.ring()
        return call

    def _dial(self, own: str, other: str) -> Call:
        return Call(
            self.exchange,
            self.exchange.number(own),
            from_number=own,
            to_number=other,
            direction="outbound-api",
            phone=self.exchange.phones.get(other),
        )

    def key(self) -> dict[str, Any]:
        """What the application needs to know, as JSON can hold it."""
        return {"account_sid": self.account_sid, "auth_token": self.auth_token, "base_url": self.base_url}


async def serve(
    host: str = "127.0.0.1",
    port: int = 6200,
    public_url: str = "https://phone.example",
    server: str = "http://127.0.0.1:6000",
    *,
    faults: Faults | None = None,
) -> None:
    """Runs until it is cancelled. Prints what to put into the application's environment."""
    async with Twilio(public_url, server=server, host=host, port=port, faults=faults) as twilio:
        root = twilio.base_url
        print(
            f"Emulated Twilio on {root}; {public_url} leads to {server}\n\n"
            + "".join(f"{name.upper()}={value}\n" for name, value in twilio.settings().items())
            + "\n"
            f'Ring:  curl -X POST {root}/sandbox/ring -d \'{{"from": "+15550100001", "to": "+15550100002"}}\'',
            flush=True,
        )
        await asyncio.Event().wait()
