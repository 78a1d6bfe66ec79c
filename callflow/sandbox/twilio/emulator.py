"""The emulated Twilio as a whole: what a test starts, calls, inspects and breaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urljoin

from callflow.sandbox.common import emulator
from callflow.sandbox.common.control_api import ControlRoutes
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.twilio import numbers
from callflow.sandbox.twilio.api import Api, Command
from callflow.sandbox.twilio.call import Call
from callflow.sandbox.twilio.conference import Conference
from callflow.sandbox.twilio.exchange import Account, Exchange, Number
from callflow.sandbox.twilio.faults import Faults, Timing
from callflow.sandbox.twilio.second_legs import SecondLegs
from callflow.sandbox.twilio.webhooks import Delivery, Signer


ACCOUNT_SID: Final = "AC" + "5a" * 16
AUTH_TOKEN: Final = "sandbox-twilio-auth-token"
API_KEY: Final = ("SK" + "5b" * 16, "sandbox-twilio-api-secret")


class Twilio(emulator.Emulator[Call, Faults, Command, Delivery]):
    """The carrier.

    Args:
        public: the application's public address; `voice`, `status` and `fallback` are paths below it ("": none).
        server: where requests to that address are sent, "" for where its name leads.
        api_key: id and secret of an API key of the account.
        other_accounts: auth tokens of further accounts by their SIDs, which only dial and manage their own calls.
        port: 0 takes any free one.
    """

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
        other_accounts: Mapping[str, str] | None = None,
        api_key: tuple[str, str] = API_KEY,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Faults | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.public = public.rstrip("/")
        self.account_sid, self.auth_token = account_sid, auth_token
        self.exchange: Exchange[Call] = Exchange(
            account_sid, auth_token, api_key, faults or Faults(), timing or Timing(), server, other_accounts
        )
        self.exchange.default_number = Number(
            "",
            voice_url=self._public_url(voice),
            voice_fallback_url=self._public_url(fallback),
            status_callback=self._public_url(status),
        )
        self._second_legs = SecondLegs(self.exchange)
        self.exchange.dial = self._second_legs.dial
        self.api = Api(self.exchange)
        super().__init__(self.exchange, self.api, ControlRoutes(self, Faults), host, port)

    def _public_url(self, path: str) -> str:
        return urljoin(self.public + "/", path) if path else ""

    # What the application has to be given

    def settings(self) -> dict[str, str]:
        """Return the application's settings by their names in lower case."""
        return {
            "twilio_account_sid": self.account_sid,
            "twilio_auth_token": self.auth_token,
            "twilio_api_base": self.base_url,
            "public_base_url": self.public,
        }

    def set_server(self, server: str) -> None:
        """Send requests to the public address to `server` instead, such as "http://127.0.0.1:6000"."""
        self.server = server

    @property
    def base_url(self) -> str:
        """The application's TWILIO_API_BASE."""
        return self.root

    @property
    def server(self) -> str:
        """Where requests to the public address are sent; may be changed before a call rings."""
        return self.exchange.webhooks.server

    @server.setter
    def server(self, url: str) -> None:
        self.exchange.webhooks.server = url

    @property
    def hosts(self) -> dict[str, str]:
        """The same for single hosts."""
        return self.exchange.webhooks.hosts

    @property
    def conferences(self) -> list[Conference]:
        """Every conference, in the order in which they began."""
        return self._second_legs.conferences

    @property
    def account(self) -> Account:
        """What the account may do."""
        return self.exchange.account

    @property
    def timing(self) -> Timing:
        """How long the carrier takes; may be changed at any time."""
        return self.exchange.timing

    def key(self) -> dict[str, Any]:
        """Return {"account_sid", "auth_token", "base_url"}, for the control API."""
        return {"account_sid": self.account_sid, "auth_token": self.auth_token, "base_url": self.base_url}

    # What can be done

    @property
    def signer(self) -> Signer:
        """Signs as the carrier does: `signer.sign(url, params)` returns the headers."""
        return self.exchange.signer

    def number(self, phone_number: str = "+15550100002") -> Number:
        """Return a number of the account, which may be changed before it is called."""
        return self.exchange.number(phone_number)

    def add_application(self, voice_url: str) -> str:
        """Make a TwiML app with this VoiceUrl, which a number may name, and return its SID."""
        return numbers.add_application(self.exchange, voice_url)

    async def ring(
        self,
        *,
        from_number: str = "+15550100001",
        to_number: str = "+15550100002",
        phone: Phone | None = None,
        faults: Faults | None = None,
        **params: str,
    ) -> Call:
        """Begin an incoming call: the number's VoiceUrl is requested. `params` replace those of all its requests."""
        number = self.exchange.number(to_number)
        used = numbers.serving(self.exchange, number)
        call = Call(
            self.exchange,
            used or number,
            from_number=from_number,
            to_number=to_number,
            phone=phone,
            faults=faults,
            params=params,
        )
        if used is None:
            call.note("the number's trunk or application overrides its VoiceUrl: nothing is requested")
        else:
            call.ring()
        return call
