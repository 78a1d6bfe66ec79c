"""Start here: `python server.py [serve|demo|sandbox|bench]`.

This file wires the rooms together and is the only one that knows which carriers and which engine there are.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import logging
import math
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from quart import Quart
from rich.console import Console

from callflow.call import Rooms
from callflow.cli import bench, demo, doctor, sandbox
from callflow.cli.process import bind, log_to_stderr, name_of, run, run_interruptible
from callflow.cli.start_table import check_table, start_table, webhooks
from callflow.cli.tunnel import choose as choose_tunnel
from callflow.contracts import Caller, Carrier, Tunnel
from callflow.engines import models, session_config
from callflow.engines.call_tools import CallTools
from callflow.engines.openai_realtime import OpenAIRealtime
from callflow.engines.session_config import RealtimeConfig
from callflow.engines.tools import ToolsError, ToolShelf
from callflow.errors import TunnelError
from callflow.journal import Journal, MemoryJournal
from callflow.live import Live
from callflow.media import clips
from callflow.media.stream import MediaSettings
from callflow.plan import Plan
from callflow.profiles import Profiles
from callflow.settings import Settings, SettingsError, check_serve, load
from callflow.switchboard import Switchboard
from callflow.tokens import Mint
from callflow.web.operators import Refusal, create_operators
from callflow.web.public import PublicAddress, create_public
from carriers.telnyx import Telnyx, TelnyxConfig
from carriers.twilio import Twilio, TwilioConfig


log = logging.getLogger("callflow")

_MOST_FRAME = 4 << 20
"""Bytes of one WebSocket message from a carrier; more ends that socket."""
_LISTENER_SECONDS = 1.0
"""How long a listener waits for its connections when it closes."""


class Line:
    """A running server: carriers, engine, switchboard and two listeners. `async with Line(settings) as line: …`"""

    def __init__(self, settings: Settings, tunnel: Tunnel | None = None) -> None:
        self.settings = settings
        self._tunnel = tunnel
        self.live = Live()
        self.journal: Journal = MemoryJournal(calls=250)
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
        self.address = PublicAddress(settings.public_base_url, f"http://{host}:{port}")
        self.carriers = make_carriers(settings, self.address)
        self.switchboard = Switchboard(
            self._rooms, max_calls=settings.max_concurrent_calls, farewell_seconds=settings.farewell_seconds
        )
        await self._listen(public, create_public(self.carriers, lambda: self.switchboard, self.address))
        if console is not None:
            self.console = name_of(console)
            operators = create_operators(
                lambda: self.switchboard,
                self.journal,
                host=settings.console_host,
                token=settings.console_token.get_secret_value(),
                tools=lambda: CallTools(self._house.tools.current(), NOBODY, {"end_call": print}).definitions,
                checked=self._house.checked,
            )
            await self._listen(console, operators)
        try:
            await self._open_tunnel()
        except BaseException:
            await self.__aexit__()
            raise
        return self

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
        if self._tunnel is not None:
            await self._tunnel.close()
        self._closing.set()
        late = (await asyncio.wait(self._listeners, timeout=_LISTENER_SECONDS + 1))[1]
        for task in late:
            task.cancel()
        await asyncio.gather(*self._listeners, return_exceptions=True)
        for carrier in self.carriers:
            await carrier.close()

    def _rooms(self, switchboard: Switchboard) -> Rooms:
        return self._house.rooms(switchboard, self.journal, self.live, self.address)

    async def _listen(self, bound: socket.socket, app: Quart) -> None:
        config = Config()
        config.bind = [f"fd://{bound.detach()}"]
        config.websocket_max_message_size = _MOST_FRAME
        # Hypercorn's pings hold a closed connection until the next one is due. Peers that are gone are found by the
        # write deadline, and by the carrier's word.
        config.websocket_ping_interval = None
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


def engine_config(settings: Settings) -> RealtimeConfig:
    """The engine's settings are named like ours, but for what is not for people to see or is ours to decide."""
    named = {each.name: getattr(settings, each.name) for each in fields(RealtimeConfig) if hasattr(settings, each.name)}
    return RealtimeConfig(
        **named
        | {
            "api_key": settings.openai_api_key.get_secret_value(),
            "url": settings.openai_realtime_url,
            "connect_seconds": settings.engine_seconds,
            "buffer_seconds": settings.engine_buffer_seconds,
        }
    )


def make_plan(settings: Settings) -> Plan:
    """How a call is conducted under these settings: those of its own number."""
    engine = engine_config(settings)
    by_silence = settings.turn_detection == "server_vad"
    names = {each.name for each in fields(Plan)} & set(Settings.model_fields)
    return Plan(
        **{name: getattr(settings, name) for name in names},
        make_engine=lambda brief, hear: OpenAIRealtime(engine, brief, hear),
        clips=clips.load(settings.clip_language),
        deadline_seconds={
            "ring": settings.ring_seconds,
            "stream": settings.stream_seconds,
            "restream": settings.restream_seconds,
            "engine": settings.engine_seconds,
            "backoff": settings.engine_retry_seconds,
            "grace": settings.stream_grace_seconds,
            "farewell": settings.farewell_seconds,
            "last_words": settings.last_words_seconds,
            "warning": max(settings.max_call_seconds - settings.max_call_warning_seconds, 0.0),
            "call": min(settings.max_call_warning_seconds, settings.max_call_seconds),
        },
        media=MediaSettings(
            lead_ms=settings.carrier_lead_ms,
            mark_every_ms=settings.mark_every_ms,
            reorder_frames=settings.reorder_frames,
            join_ms=settings.join_ms,
            warm_up_ms=settings.warm_up_ms,
            start_seconds=settings.start_frame_seconds,
            write_seconds=settings.write_seconds,
            reply_seconds=settings.reply_seconds,
            patience_seconds=settings.patience_seconds,
            filler_seconds=settings.filler_seconds,
            min_interruption_ms=settings.min_interruption_ms,
            deaf_after_ms=max(1500, settings.vad_silence_ms + 700) if by_silence else _SEMANTIC_MS,
        ),
    )


_SEMANTIC_MS = 9000
"""A model that listens for meaning may think about a pause for eight seconds."""
NOBODY = Caller("", "", "")


class House:
    """What the settings make for all calls: a plan for each profile, and the tools.

    Raises SettingsError, ToolsError, or FileNotFoundError for a language without clips.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.profiles = Profiles(settings)
        self.tools = ToolShelf(Path(settings.tools_file))
        self.plans = {name: make_plan(chosen) for name, chosen in self.profiles.all().items()}

    @property
    def warnings(self) -> list[str]:
        """What was asked for and will not be, and models that are about to go."""
        found = list(self.profiles.warnings)
        today = datetime.now().astimezone().date()
        for name, chosen in self.profiles.all().items():
            about = session_config.warnings(engine_config(chosen))
            for model in (chosen.model, chosen.transcription_model):
                about += [warning] if (warning := models.shutdown_warning(model, today)) else []
            found += [f"profile {name}: {line}" if name else line for line in about if name == "" or line not in found]
        return found

    def checked(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises Refusal."""
        try:
            return self.profiles.checked(changes)
        except SettingsError as error:
            raise Refusal(error.problems) from None

    def rooms(self, switchboard: Switchboard, journal: Journal, live: Live, address: Callable[[], str]) -> Rooms:
        return Rooms(
            journal=journal,
            live=live,
            plan=lambda to_number: self.plans[self.profiles.name_for(to_number)],
            make_toolbox=lambda caller, acts: CallTools(self.tools.current(), caller, acts),
            mint=Mint.in_folder(Path(self.settings.data_dir)),
            journal_seconds=self.settings.journal_seconds,
            address=address,
            now=time.time,
            outlive=switchboard.outlive,
        )


def create_app(settings: Settings | None = None) -> Quart:
    """The public app for an ASGI server of your own; its calls begin and end with that server's lifespan.

    None: the settings are read now. Raises SettingsError when they cannot be used.
    """
    settings = settings or load()
    if problems := check_serve(settings):
        raise SettingsError(problems)
    house = House(settings)
    address = PublicAddress(settings.public_base_url, f"http://{settings.host}:{settings.port}")
    carriers = make_carriers(settings, address)
    board: list[Switchboard] = []
    app = create_public(carriers, lambda: board[0], address)

    @app.before_serving
    async def open_switchboard() -> None:
        def rooms(switchboard: Switchboard) -> Rooms:
            return house.rooms(switchboard, MemoryJournal(), Live(), address)

        board.append(
            Switchboard(rooms, max_calls=settings.max_concurrent_calls, farewell_seconds=settings.farewell_seconds)
        )

    @app.after_serving
    async def close_switchboard() -> None:
        await board[0].drain(settings.drain_seconds)
        for carrier in carriers:
            await carrier.close()

    return app


def run_server(port: int | None = None, host: str | None = None, use_public: bool = False) -> int:
    """Serve until SIGTERM or SIGINT; blocking. None: as the settings say. Returns the exit code.

    `use_public`: open a tunnel, as the setting PUBLIC does.

    Signals reach the main thread only: in any other it serves until the process ends.
    """
    return _serve({"port": port, "host": host, "public": use_public or None})


def _serve(overrides: dict[str, object], *, check: bool = False) -> int:
    try:
        settings = load(overrides)
    except SettingsError as error:
        return _refuse([*error.warnings, *error.problems])
    if check:
        Console().print(check_table(settings))
    if problems := check_serve(settings):
        return _refuse([*settings.warnings, *problems])
    try:
        if check:
            for warning in [*settings.warnings, *House(settings).warnings]:
                print(warning, file=sys.stderr)
            return 0
        log_to_stderr(settings.log_level)
        return run(_serve_until_signal(settings))
    except SettingsError as error:
        return _refuse([*error.warnings, *error.problems])
    except (OSError, ToolsError, TunnelError) as error:
        print(f"Cannot start: {error}", file=sys.stderr)
        return 2


def _refuse(problems: Sequence[str]) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    return 2


async def _doctor() -> int:
    try:
        settings = load()
    except SettingsError as error:
        return _refuse([*error.warnings, *error.problems])
    problems, warnings = check_serve(settings), list(settings.warnings)
    try:
        warnings += House(settings).warnings
    except (SettingsError, ToolsError, OSError) as error:
        problems += str(error).splitlines()
    known = PublicAddress(settings.public_base_url, "")
    carriers = make_carriers(settings, known)
    try:
        return await doctor.run(settings, problems, warnings, carriers)
    finally:
        for carrier in carriers:
            await carrier.close()


async def _serve_until_signal(settings: Settings) -> int:
    """First SIGTERM or SIGINT: drain. Second: now."""
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[None] = asyncio.Queue()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signals.put_nowait, None)
    tunnel = choose_tunnel(settings.ngrok_auth_token.get_secret_value()) if settings.public else None
    async with Line(settings, tunnel) as line:
        warnings = [*settings.warnings, *line.warnings]
        known = line.address.known
        Console().print(
            start_table(settings, public=line.public, console=line.console, address=known, warnings=warnings)
        )
        for told in webhooks(settings, known) if known else ():
            print(told, flush=True)
        # What start-up made stays for ever: without it in the collector's way, no collection holds up a frame for long.
        gc.collect()
        gc.freeze()
        await signals.get()
        log.info("draining: no new calls, %d live", len(line.switchboard.calls))
        draining = asyncio.create_task(line.switchboard.drain(settings.drain_seconds))
        again = asyncio.create_task(signals.get())
        await asyncio.wait({draining, again}, return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, again):
            task.cancel()
        await asyncio.gather(draining, again, return_exceptions=True)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="server.py", description="Callflow answers the phone.")
    commands = parser.add_subparsers(dest="command")
    for serving in (parser, commands.add_parser("serve", help="answer calls (the default)")):
        serving.add_argument("--host", help="address of the carriers' listener (HOST)")
        serving.add_argument("--port", help="its port; 0 takes any free one (PORT)")
        serving.add_argument(
            "--public", action="store_true", help="let carriers reach this machine through a tunnel (PUBLIC)"
        )
        serving.add_argument("--check", action="store_true", help="show every setting and where it came from, and stop")
    demo.add_parser(commands)
    doctor.add_parser(commands)
    sandbox.add_parser(commands)
    bench.add_parser(commands)
    chosen = parser.parse_args(arguments)
    if chosen.command == "demo":
        return run_interruptible(demo.run(chosen, Line))
    if chosen.command == "bench":
        return run_interruptible(bench.run(chosen))
    if chosen.command == "doctor":
        return run_interruptible(_doctor())
    if chosen.command == "sandbox":
        return sandbox.run(chosen)
    asked = {"host": chosen.host, "port": chosen.port, "public": chosen.public or None}
    return _serve(asked, check=chosen.check)


if __name__ == "__main__":
    sys.exit(main())
