"""`python server.py sandbox telnyx|twilio|realtime`: an emulated carrier or voice model on this machine.

It prints what to put into `.env` so that the server talks to it, and runs until Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any


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
