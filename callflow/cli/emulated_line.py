"""What is behind the phone in the operators' page of `serve`: an emulated carrier inside this process.

Its webhooks and media sockets come in on the operators' listener, under a key that is made here and told to nobody
else, and are signed with another one; the public listener knows neither. Its interface of commands listens on a free
loopback port and asks for a third key. It has no routes by which a test controls it.

Only `phone_line.py` imports this, when somebody rings: a server needs no emulator to answer real calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
from collections.abc import AsyncIterator
from typing import Final

from quart import Quart

from callflow.app import Application
from callflow.contracts.carrier import Carrier
from callflow.runtime import tls
from callflow.sandbox.common.http_server import Request, Response, in_url
from callflow.sandbox.common.softphone import Softphone, SoftphoneCall
from callflow.sandbox.common.webhooks import share_tls
from callflow.sandbox.twilio import Twilio
from callflow.web.console.phone_mount import PREFIX, PhoneMount
from callflow.web.public.address import PublicAddress
from callflow.web.public.app import create_public
from carriers.registry import make_phone


_HOST: Final = "https://phone.invalid"
"""Nobody's name: the emulated carrier sends what is for it to the operators' listener."""


class _Carrier(Twilio):
    """The emulated carrier, without control from outside."""

    async def _handle(self, request: Request) -> Response:
        return await self.api.handle(request)


class EmulatedLine:
    """A line on which this server can be rung, while it is open."""

    def __init__(self, exchange: Twilio, application: Application, mount: PhoneMount) -> None:
        self.exchange, self.mount = exchange, mount
        self._application, self._softphone = application, Softphone(exchange)

    async def ring(self, to_number: str, from_number: str) -> SoftphoneCall:
        """Begin a call: see `Softphone.ring`."""
        host, port = self._application.own_console_at
        self.exchange.set_server(f"http://{in_url(_reached(host))}:{port}")
        return await self._softphone.ring(to_number, from_number)


def _reached(host: str) -> str:
    """Return where this machine reaches a listener that is bound to `host`, which may stand for all addresses."""
    address = ipaddress.ip_address(host)
    return host if not address.is_unspecified else "::1" if address.version == 6 else "127.0.0.1"


@contextlib.asynccontextmanager
async def emulated_line(application: Application) -> AsyncIterator[EmulatedLine]:
    """Open the line. What takes longer than a frame is made on threads: calls may be live. Raises OSError."""
    key = secrets.token_urlsafe(32)
    address = PublicAddress(f"{_HOST}{PREFIX}{key}", "")
    exchange = await asyncio.to_thread(_exchange, address())
    async with exchange:
        ours, app = await asyncio.to_thread(_ours, application, address, exchange)
        await app.startup()
        try:
            yield EmulatedLine(exchange, application, PhoneMount(key, app))
        finally:
            await app.shutdown()
            await ours.close()


def _exchange(address: str) -> Twilio:
    share_tls(tls())
    return _Carrier(
        address, voice="incoming-call", status="twilio/status",
        account_sid=f"AC{secrets.token_hex(16)}", auth_token=secrets.token_hex(32),
        api_key=(f"SK{secrets.token_hex(16)}", secrets.token_hex(32)),
    )  # fmt: skip


def _ours(application: Application, address: PublicAddress, exchange: Twilio) -> tuple[Carrier, Quart]:
    """Make the carrier that commands the exchange, and the app that takes its webhooks."""
    ours = make_phone(
        application.settings, address,
        account=exchange.account_sid, token=exchange.auth_token, api_base=exchange.base_url,
    )  # fmt: skip
    return ours, create_public([ours], lambda: application.switchboard, address, lambda: application.recovery)
