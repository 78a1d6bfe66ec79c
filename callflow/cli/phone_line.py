"""The line of the phone in the operators' page of `serve`: an emulated carrier inside this process.

Its webhooks and media sockets come in on the operators' listener, under a key that is made here and told to nobody
else, and are signed with another one; the public listener knows neither. Its interface of commands listens on a free
loopback port and asks for a third key. It has no routes by which a test controls it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from callflow.app import Application
from callflow.contracts.carrier import PHONE
from callflow.runtime import tls
from callflow.sandbox.common.http_server import Request, Response, in_url
from callflow.sandbox.common.softphone import Softphone, SoftphoneCall
from callflow.sandbox.common.webhooks import share_tls
from callflow.sandbox.twilio import Twilio
from callflow.web.console.phone_door import PREFIX, Door
from callflow.web.public.address import PublicAddress
from callflow.web.public.app import create_public
from carriers.registry import make_phone


_HOST: Final = "https://phone.invalid"
"""Nobody's name: the emulated carrier sends what is for it to the operators' listener."""
_MOST_NUMBERS: Final = 200


class _Carrier(Twilio):
    """The emulated carrier, without control from outside."""

    async def _handle(self, request: Request) -> Response:
        return await self.api.handle(request)


class _Phone(Softphone):
    """The phone, and what the page may choose for it."""

    def __init__(self, carrier: Twilio, application: Application, door: Door) -> None:
        super().__init__(carrier, model="OpenAI's" if application.settings.engine_costs else "emulated")
        self._exchange, self._application, self.door = carrier, application, door

    @property
    def about(self) -> Mapping[str, Any]:
        """What the page is told: the profiles' numbers, and whose model answers."""
        profiles = self._application.configs.rules.profiles
        numbers = [{"profile": name, "to": to} for name in profiles.all() for to in profiles.numbers_of(name)]
        return {**super().about, "carrier": PHONE, "numbers": numbers[:_MOST_NUMBERS]}

    async def ring(self, to_number: str = "", from_number: str = "") -> SoftphoneCall:
        """Begin a call: see `Softphone.ring`."""
        host, port = self._application.own_console_at
        self._exchange.set_server(f"http://{in_url(_reached(host))}:{port}")
        return await super().ring(to_number, from_number)


def _reached(host: str) -> str:
    """Return where this machine reaches a listener that is bound to `host`, which may stand for all addresses."""
    address = ipaddress.ip_address(host)
    return host if not address.is_unspecified else "::1" if address.version == 6 else "127.0.0.1"


@contextlib.asynccontextmanager
async def phone_line(application: Application) -> AsyncIterator[None]:
    """Put the phone into an application that does not serve yet."""
    share_tls(tls())
    key = secrets.token_urlsafe(32)
    address = PublicAddress(f"{_HOST}{PREFIX}{key}", "")
    carrier = _Carrier(
        address(), voice="incoming-call", status="twilio/status",
        account_sid=f"AC{secrets.token_hex(16)}", auth_token=secrets.token_hex(32),
        api_key=(f"SK{secrets.token_hex(16)}", secrets.token_hex(32)),
    )  # fmt: skip
    async with carrier:
        ours = make_phone(
            application.settings, address,
            account=carrier.account_sid, token=carrier.auth_token, api_base=carrier.base_url,
        )  # fmt: skip
        app = create_public([ours], lambda: application.switchboard, address, lambda: application.recovery)
        await app.startup()
        application.phone = _Phone(carrier, application, Door(key, app))
        try:
            yield
        finally:
            application.phone = None
            await app.shutdown()
            await ours.close()
