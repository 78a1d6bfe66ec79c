"""The one place where everything is put together: settings become carriers, engine, switchboard and two listeners.

It is the only room that knows which carriers there are.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import logging
import math
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from hypercorn.asyncio import serve as hypercorn_serve
from quart import Quart

from callflow.cli.process import bind, name_of
from callflow.cli.start_table import start_table, webhooks
from callflow.cli.terminal import Screen
from callflow.cli.tunnel import choose as choose_tunnel
from callflow.contracts import Carrier, Tunnel
from callflow.engines.call_tools import CallTools
from callflow.engines.tools import ToolsError
from callflow.errors import TunnelError
from callflow.history.database import DatabaseError, url_of
from callflow.history.kept import KeptSettings
from callflow.history.lessons import learnt
from callflow.history.writer import DurableJournal
from callflow.house import NOBODY, House
from callflow.keeper import Keeper
from callflow.kept import NOT_KNOWN, Kept
from callflow.limits import CallerLimits
from callflow.live import Live
from callflow.profiles import country
from callflow.rooms import Rooms
from callflow.settings import Settings, SettingsError, check_serve
from callflow.switchboard import Switchboard
from callflow.web import http1
from callflow.web.operators import create_operators
from callflow.web.pings import ListenerConfig
from callflow.web.public import PublicAddress, create_public
from callflow.web.session import add_session
from carriers.telnyx import Telnyx, TelnyxConfig
from carriers.twilio import Twilio, TwilioConfig


log = logging.getLogger("callflow")

CANNOT_START = (ToolsError, TunnelError, DatabaseError)
"""What keeps a server from starting, beside SettingsError and OSError; the text says what to do."""

_MOST_FRAME = 512 << 10
"""Bytes of one WebSocket message from a carrier, which sends a few hundred; more ends that socket."""
_OPEN_SECONDS = 1.5
"""How long the start waits for its record; it is answering the telephone meanwhile."""
_LESSONS_SECONDS = 1.0
_LISTENER_SECONDS = 1.0
"""How long a listener waits for its connections when it closes."""


class Line:
    """A running server: carriers, engine, switchboard and two listeners. `async with Line(settings) as line: …`"""

    def __init__(self, settings: Settings, tunnel: Tunnel | None = None) -> None:
        self.settings = settings
        self._tunnel = tunnel
        self.live = Live()
        self.public = self.console = ("off", 0)
        """Host and port as bound."""
        self._listeners: list[asyncio.Task[None]] = []
        self._closing = asyncio.Event()
        self.warnings: list[str] = []

    async def __aenter__(self) -> Line:
        settings = self.settings
        public, console = bind(settings.host, settings.port), None
        try:
            console = bind(settings.console_host, settings.console_port)
        except OSError as error:
            # The operators' side is a convenience; a line that does not answer the phone is not.
            self.warnings.append(f"The console is off: {error}. Set CONSOLE_PORT to a free port.")
        self.public = name_of(public)
        host, port = self.public
        self._house = House(settings)
        self.warnings += self._house.warnings
        self.keeper = make_keeper(settings)
        self.address = PublicAddress(settings.public_base_url, f"http://{host}:{port}")
        self.carriers = make_carriers(settings, self.address)
        self.switchboard = make_switchboard(settings, self._rooms)
        self.kept = Kept(self._house, KeptSettings(self.keeper.database))
        self.keeper.begin(
            self.switchboard, self.carriers, self.address.learn, load=self.kept.load, prepare=self._house.prepare
        )
        self._house.start()
        await self._listen(
            public, create_public(self.carriers, lambda: self.switchboard, self.address, lambda: self.keeper)
        )
        if console is not None:
            self.console = name_of(console)
            operators = create_operators(
                lambda: self.switchboard,
                self.keeper,
                host=settings.console_host,
                redact=self._house.redactor,
                token=settings.console_token.get_secret_value(),
                tools=lambda: CallTools(self._house.tools.current(), NOBODY, {"end_call": print}).shown,
                checked=self._house.checked,
                engine=self._house.account.describe,
            )
            add_session(operators, self.keeper, self.kept)
            await self._listen(console, operators)
        try:
            await self._open_tunnel()
        except BaseException:
            await self.__aexit__()
            raise
        await self.keeper.is_open(_OPEN_SECONDS)
        self._tell_of_kept()
        if self.journal.trouble:
            name = "DATABASE_URL" if settings.database_url else "DATA_DIR"
            self.warnings.append(
                f"THE RECORD CANNOT BE OPENED ({self.journal.trouble}): calls go on without it. Look at {name}."
            )
        elif self.keeper.is_readable:
            self.warnings += await self._lessons()
        return self

    @property
    def effective(self) -> Settings:
        """The settings of coming calls to numbers without a profile."""
        return self._house.rules.settings

    def _tell_of_kept(self) -> None:
        told = [*self.kept.warnings, *self.kept.overridden, *([] if self.kept.is_known else [NOT_KNOWN])]
        self.warnings += [line for line in told if line not in self.warnings]

    async def _lessons(self) -> list[str]:
        """What the last calls have met that somebody should put right."""
        try:
            async with asyncio.timeout(_LESSONS_SECONDS):
                return [f"{one.about}: {one.what}; {one.remedy}." for one in await learnt(self.keeper.store)]
        except Exception as error:  # they are a service, and callers are waiting
            log.info("what the last calls have met cannot be told: %s", type(error).__name__)
            return []

    @property
    def journal(self) -> DurableJournal:
        return self.keeper.journal

    async def _open_tunnel(self) -> None:
        if self._tunnel is None:
            return
        if self.address.known:
            self.warnings.append("PUBLIC_BASE_URL is set, so no tunnel is opened.")
            self._tunnel = None
            return
        print(f"Opening a tunnel with {self._tunnel.name} …", file=sys.stderr)
        self.address.tunnel = await self._tunnel.open(self.public[1])

    async def __aexit__(self, *_: object) -> None:
        await self.switchboard.stop()
        await self._house.close()
        if self._tunnel is not None:
            await self._tunnel.close()
        self._closing.set()
        late = (await asyncio.wait(self._listeners, timeout=_LISTENER_SECONDS + 1))[1]
        for task in late:
            task.cancel()
        await asyncio.gather(*self._listeners, return_exceptions=True)
        for carrier in self.carriers:
            await carrier.close()
        await self.keeper.close()

    def _rooms(self, switchboard: Switchboard) -> Rooms:
        return self._house.rooms(switchboard, self.journal, self.live, self.address)

    async def _listen(self, bound: socket.socket, app: Quart) -> None:
        http1.install()
        config = ListenerConfig()
        config.bind = [f"fd://{bound.detach()}"]
        config.websocket_max_message_size = _MOST_FRAME
        config.websocket_ping_interval = None
        config.media_ping_seconds = self.settings.media_ping_seconds
        config.graceful_timeout = _LISTENER_SECONDS
        config.include_server_header = False
        config.accesslog = None
        config.errorlog = logging.getLogger("hypercorn.error")
        started = asyncio.Event()

        @app.before_serving
        async def begin() -> None:  # a plain function would be run in a thread
            started.set()

        task = asyncio.create_task(
            hypercorn_serve(app, config, shutdown_trigger=self._closing.wait), name=f"{app.name} listener"
        )
        self._listeners.append(task)
        waiting = asyncio.ensure_future(started.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()


def make_keeper(settings: Settings) -> Keeper:
    """Raises DatabaseError."""
    return Keeper(
        url_of(settings.database_url, settings.data_dir),
        recordings=Path(settings.data_dir) / "recordings",
        retention_days=settings.retention_days,
        reconcile_seconds=settings.reconcile_seconds,
        country=country(settings),
    )


def make_switchboard(settings: Settings, rooms: Callable[[Switchboard], Rooms]) -> Switchboard:
    return Switchboard(
        rooms,
        max_calls=settings.max_concurrent_calls,
        farewell_seconds=settings.farewell_seconds,
        callers=CallerLimits(settings.max_calls_per_caller, settings.max_calls_per_caller_hour),
    )


def make_carriers(settings: Settings, address: Callable[[], str]) -> list[Carrier]:
    carriers: list[Carrier] = []
    if settings.telnyx_on:
        config = TelnyxConfig(
            api_key=settings.telnyx_api_key.get_secret_value(),
            public_key=base64.b64decode(settings.telnyx_public_key) or None,
            address=address,
            api_base=settings.telnyx_api_base,
            allow_unsigned=settings.allow_unsigned_webhooks,
            voice=settings.carrier_voice,
            language=settings.carrier_language,
            sentences=sentences(settings),
            target_legs=settings.stream_target_legs,
            connection_id=settings.telnyx_connection_id,
            seconds=settings.command_seconds,
            retries=settings.command_retries,
        )
        carriers.append(Telnyx(config))
    if settings.twilio_on:
        carriers.append(Twilio(twilio_config(settings, address)))
    return carriers


def sentences(settings: Settings) -> Mapping[str, str]:
    return {"sorry": settings.apology_text, "goodbye": settings.goodbye_text, "busy": settings.busy_text}


def twilio_config(settings: Settings, address: Callable[[], str]) -> TwilioConfig:
    shared = [key.rpartition(":") for key in settings.twilio_shared_keys.get_secret_value().split(",")]
    return TwilioConfig(
        account_sid=settings.twilio_account_sid,
        auth_tokens=settings.twilio_auth_token.get_secret_value().split(","),
        address=address,
        api_key=settings.twilio_api_key,
        api_secret=settings.twilio_api_secret.get_secret_value(),
        shared_keys={name: secret for name, _, secret in shared if secret},
        api_base=settings.twilio_api_base,
        allow_unsigned=settings.allow_unsigned_webhooks,
        media_signature=settings.twilio_media_signature,
        voice=settings.carrier_voice,
        language=settings.carrier_language,
        sentences=sentences(settings),
        greeting_text=settings.twilio_greeting_text,
        pause_seconds=math.ceil(settings.twilio_pause_seconds),
        after_text=settings.twilio_after_text,
        resume_seconds=math.ceil(settings.twilio_resume_seconds),
        seconds=settings.command_seconds,
        retries=settings.command_retries,
    )


def create_app(settings: Settings) -> Quart:
    """The public app for an ASGI server of somebody else's; its calls begin and end with that server's lifespan.

    Raises SettingsError when they cannot be used.
    """
    if problems := check_serve(settings):
        raise SettingsError(problems)
    house = House(settings)
    address = PublicAddress(settings.public_base_url, f"http://{settings.host}:{settings.port}")
    carriers = make_carriers(settings, address)
    board: list[Switchboard] = []
    keepers: list[Keeper] = []
    app = create_public(carriers, lambda: board[0], address, lambda: keepers[0])

    @app.before_serving
    async def open_switchboard() -> None:
        keeper = make_keeper(settings)

        def rooms(switchboard: Switchboard) -> Rooms:
            return house.rooms(switchboard, keeper.journal, Live(), address)

        board.append(make_switchboard(settings, rooms))
        keepers.append(keeper)
        kept = Kept(house, KeptSettings(keeper.database))
        keeper.begin(board[0], carriers, address.learn, load=kept.load, prepare=house.prepare)
        house.start()

    @app.after_serving
    async def close_switchboard() -> None:
        await leave(board[0], settings, keepers[0])
        await house.close()
        for carrier in carriers:
            await carrier.close()
        await keepers[0].close()

    return app


async def leave(switchboard: Switchboard, settings: Settings, keeper: Keeper) -> None:
    """The server is asked to stop: its calls end with a goodbye, or are left to the next process, which needs their
    record for that."""
    if settings.drain == "handover" and not keeper.journal.trouble:
        await switchboard.hand_over(settings.drain_seconds)
    else:
        await switchboard.drain(settings.drain_seconds)


async def serve_until_signal(settings: Settings) -> int:
    """First SIGTERM or SIGINT: drain. Second: now."""
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[None] = asyncio.Queue()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signals.put_nowait, None)
    token = settings.ngrok_auth_token.get_secret_value()
    tunnel = choose_tunnel(token, settings.ngrok_download) if settings.public else None
    async with Line(settings, tunnel) as line:
        warnings = [*settings.warnings, *line.warnings]
        known = line.address.known
        table = start_table(line.effective, public=line.public, console=line.console, address=known, warnings=warnings)
        with contextlib.suppress(BrokenPipeError):  # who reads it may have gone; callers have not
            Screen().print(table)
            for told in webhooks(settings, known) if known else ():
                print(told, flush=True)
        # What start-up made stays for ever: without it in the collector's way, no collection holds up a frame for long.
        gc.collect()
        gc.freeze()
        await signals.get()
        log.info("draining: no new calls, %d live", len(line.switchboard.calls))
        draining = asyncio.create_task(leave(line.switchboard, settings, line.keeper))
        again = asyncio.create_task(signals.get())
        await asyncio.wait({draining, again}, return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, again):
            task.cancel()
        await asyncio.gather(draining, again, return_exceptions=True)
    return 0
