"""`python server.py demo --console`: the operators' page, and a phone in it that rings a server of its own.

The server is the real one, and the carrier the sandbox's. So is the model where there is no key of OpenAI.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import sys
import tempfile
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Protocol

from callflow.cli.demo.call_progress import line_of
from callflow.cli.demo.demo import DemoReporter
from callflow.cli.terminal import Screen
from callflow.config.call_settings import CallSettings
from callflow.config.loader import load
from callflow.config.settings import Settings
from callflow.contracts.errors import SettingsError
from callflow.journal.live_feed import LiveFeed
from callflow.runtime import bind
from callflow.sandbox.common.softphone import Softphone
from callflow.sandbox.openai_realtime import Realtime
from callflow.sandbox.openai_realtime.script import Script, Turn
from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.twilio import Twilio


_HOST: Final = "127.0.0.1"
_PORT: Final = 6001
_MINUTES: Final = 60
"""So many minutes of calls with the real model are taken, in one run."""
_CARRIERS: Final[dict[str, Callable[[], Telnyx | Twilio]]] = {
    "telnyx": lambda: Telnyx(webhook_url="http://127.0.0.1:9/webhooks", api_key="KEY_of_the_demo"),
    "twilio": lambda: Twilio("https://phone.example"),
}
_ANSWERS: Final = ("hours", "tomorrow", "order", "repeat")
_WORDS: Final = "(words, which the emulated model does not understand)"


class PhoneApplication(Protocol):
    """The parts of `callflow.app.Application` that are used here."""

    settings: Settings
    live: LiveFeed
    phone: Any
    public_at: tuple[str, int]
    console_at: tuple[str, int]


Open = Callable[[Settings], AbstractAsyncContextManager[PhoneApplication]]


@dataclass(frozen=True, slots=True)
class _Talker(Script):
    """Greets, then answers with one recording after the other, whatever is said."""

    heard_otherwise: str = _WORDS

    def turn(self, number: int) -> Turn:
        """Return the model's turn with this number of a session."""
        return Turn.voice("agent/greeting" if number == 0 else f"agent/{_ANSWERS[(number - 1) % len(_ANSWERS)]}")


async def run(arguments: argparse.Namespace, open_line: Open) -> int:
    """Serve the page and its phone until cancelled, and tell of the calls. Returns the exit code if it cannot."""
    screen = Screen(highlight=False, soft_wrap=True)
    try:
        given = load()
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 2
    async with serving(_CARRIERS[arguments.carrier](), open_line, given) as line:
        host, port = line.console_at
        if not port:
            print("The operators' page cannot listen: no port is free.", file=sys.stderr)
            return 2
        url, model = f"http://{host}:{port}/", line.phone.about["model"]
        screen.print(
            f"Open [bold]{url}[/] and press “Phone”, then “Ring this server”: the browser asks for your microphone."
        )
        if token := line.settings.console_token.get_secret_value():
            screen.print(f"It asks for a token, because a call costs money: [bold]{token}[/]")
        if model == "emulated":
            screen.print("The model is emulated. With an OPENAI_API_KEY in .env you talk with the real one.")
        else:
            screen.print(
                f"The model is OpenAI's, with your key, which pays for it; at most {_MINUTES} minutes in this run."
            )
        screen.print("Nothing is kept: the history goes with Ctrl-C.\n")
        if has_screen():
            await asyncio.to_thread(webbrowser.open, url)
        await _tell(line.live, DemoReporter(screen))
    return 0


@contextlib.asynccontextmanager
async def serving(carrier: Telnyx | Twilio, open_line: Open, given: Settings) -> AsyncIterator[PhoneApplication]:
    """Open a server with this emulated carrier, and a phone in its page. `given`: the settings, for their key."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="callflow-demo-"))
        await stack.enter_async_context(carrier)
        if key := given.openai_api_key.get_secret_value():
            model: dict[str, Any] = {
                "openai_api_key": key,
                "openai_realtime_url": given.openai_realtime_url,
                "openai_api_base": given.openai_api_base,
                **{name: getattr(given, name) for name in CallSettings.model_fields},
                "max_daily_minutes": float(_MINUTES),
                "console_token": secrets.token_hex(16) if given.engine_costs else "",
            }
        else:
            realtime = await stack.enter_async_context(Realtime(script=_Talker(), keep_audio=False))
            model = {"openai_api_key": realtime.api_key, "openai_realtime_url": realtime.url}
        model |= {"record": True, "port": 0, "console_port": _free_port(), "data_dir": folder, **carrier.settings()}
        settings = Settings(**model)
        line = await stack.enter_async_context(open_line(settings))
        carrier.set_server(f"http://{line.public_at[0]}:{line.public_at[1]}")
        line.phone = Softphone(carrier, model="OpenAI's" if settings.engine_costs else "emulated")
        yield line


def _free_port() -> int:
    """Return the usual port of the operators' page; 0, which takes any, if it is taken."""
    try:
        bind(_HOST, _PORT).close()
    except OSError:
        return 0
    return _PORT


def has_screen() -> bool:
    """Return whether a browser would be seen."""
    is_desktop = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    return is_desktop and "SSH_CONNECTION" not in os.environ


async def _tell(live: LiveFeed, tell: DemoReporter) -> None:
    """Print what happens in the calls, for ever."""
    with live.watch() as watcher:
        async for one in watcher:
            line = line_of(one)
            if line is not None:
                tell(*line, one.at)
