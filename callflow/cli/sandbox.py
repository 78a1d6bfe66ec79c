"""`python server.py sandbox telnyx|twilio|realtime`: an emulated carrier or voice model on this machine.

It prints what to put into `.env` so that the server talks to it, and runs until Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    # What add_subparsers returns; the class has a name for type checkers only.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "sandbox",
        help="run an emulated carrier or voice model on this machine",
        description="Run an emulated carrier or voice model on this machine, until Ctrl-C.",
    )
    peers = parser.add_subparsers(dest="peer", metavar="telnyx|twilio|realtime", required=True)
    # No defaults here: those of the emulator hold for what is not given.
    telnyx = peers.add_parser("telnyx", help="Telnyx: call control, webhooks, media streams")
    telnyx.add_argument("--webhook-url", metavar="URL", help="where webhooks go: http://127.0.0.1:6000/webhooks")
    twilio = peers.add_parser("twilio", help="Twilio: TwiML, webhooks, REST, media streams")
    twilio.add_argument("--public-url", metavar="URL", help="the server's PUBLIC_BASE_URL: https://phone.example")
    twilio.add_argument("--server", metavar="URL", help="where that address leads: http://127.0.0.1:6000")
    realtime = peers.add_parser("realtime", help="OpenAI Realtime: a model that hears and speaks")
    realtime.add_argument(
        "--control-port", type=int, metavar="PORT", help="where faults are set: the port after --port"
    )
    for peer in (telnyx, twilio, realtime):
        peer.add_argument("--host", help="address to listen on: 127.0.0.1")
        peer.add_argument("--port", type=int, help="port to listen on; 0 takes any free one")
    for peer in (telnyx, realtime):
        peer.add_argument("--api-key", metavar="KEY", help="the key that the server must bring")


def run(args: argparse.Namespace) -> int:
    """The exit status: 0 when it was asked to stop, 1 when it could not listen."""
    names = ("host", "port", "webhook_url", "api_key", "control_port", "public_url", "server")
    given = {name: getattr(args, name, None) for name in names}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    # Imported here: whoever asks for one emulator or for --help does not wait for all.
    if args.peer == "telnyx":
        from callflow.sandbox import telnyx

        serving = telnyx.serve(**options)
    elif args.peer == "twilio":
        from callflow.sandbox import twilio

        serving = twilio.serve(**options)
    else:
        from callflow.sandbox import realtime

        serving = realtime.serve(**options)
    try:
        asyncio.run(_until_stopped(serving))
    except OSError as error:
        print(f"The sandbox cannot start: {error.strerror or error}. Is the port taken? Try --port 0.", file=sys.stderr)
        return 1
    return 0


async def _until_stopped(serving: Coroutine[Any, Any, None]) -> None:
    """Run until SIGINT or SIGTERM, then cancel and wait for the end of it."""
    task = asyncio.ensure_future(serving)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
