"""`python server.py sandbox telnyx|twilio|realtime`: an emulated carrier or voice model on this machine.

It prints what to put into `.env` so that the server talks to it, and runs until Ctrl-C. With `--target` the emulated
carrier rings that server once instead (`callflow.cli.ring`).
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from callflow.runtime import bind


_ONLY_RINGING = ("wav", "seconds", "from_number", "to_number", "status_url", "account_sid", "auth_token")
"""What says nothing without --target."""
_NAMES = ("host", "port", "webhook_url", "api_key", "control_port", "public_url", "server")


def run(args: argparse.Namespace) -> int:
    """Run the emulator until it is stopped. Returns the exit code: 0, or 2 if it could not listen.

    With `--target`: make the one call; 1 if it was not answered and ended as it should."""
    given = {name: getattr(args, name, None) for name in _NAMES}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if (problem := _cannot_listen(args)) is not None:
        print(problem, file=sys.stderr)
        return 2
    if (target := getattr(args, "target", None)) is not None:
        return _ring(args, target)
    if unused := [name for name in _ONLY_RINGING if getattr(args, name, None) is not None]:
        option = f"--{unused[0].removesuffix('_number').replace('_', '-')}"
        print(f"The sandbox cannot start: {option} is for a call that is made: give --target, too.", file=sys.stderr)
        return 2
    # Imported here, so that one emulator does not load the others.
    if args.peer == "telnyx":
        from callflow.sandbox import telnyx

        serving = telnyx.serve(**options)
    elif args.peer == "twilio":
        from callflow.sandbox import twilio

        serving = twilio.serve(**options)
    else:
        from callflow.sandbox import openai_realtime

        serving = openai_realtime.serve(**options)
    return _finish(serving)


def _finish(work: Coroutine[Any, Any, bool | None]) -> int:
    """Run it, and return the exit code."""
    try:
        return 1 if asyncio.run(_until_stopped(work)) is False else 0
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"The sandbox cannot start: {error.strerror or error}.", file=sys.stderr)
        return 2


def _ring(args: argparse.Namespace, target: str) -> int:
    """Ring the server at a URL once."""
    from callflow.cli import ring
    from callflow.contracts.errors import UnreadableRecording

    given: dict[str, Any] = {
        name: value for name in ("seconds", "from_number", "to_number") if (value := getattr(args, name)) is not None
    }
    if args.wav is not None:
        from callflow.cli.demo import wav

        try:
            given["voice"] = wav.load(args.wav)
        except UnreadableRecording as error:
            print(error, file=sys.stderr)
            return 2
    how = ring.Ring(target, args.peer, **given)
    names = ("host", "port", "public_url", "api_key", "status_url", "account_sid", "auth_token")
    options: dict[str, Any] = {name: value for name in names if (value := getattr(args, name, None)) is not None}
    return _finish((ring.ring_telnyx if args.peer == "telnyx" else ring.ring_twilio)(how, **options))


def _cannot_listen(args: argparse.Namespace) -> str | None:
    """Return why the ports cannot be used, before the emulator is imported; None if they can."""
    control = getattr(args, "control_port", None)
    if control is not None and control == args.port and control:
        return f"The sandbox cannot start: --control-port {control} is also --port; give it another one."
    ports = {"--port": args.port, "--control-port": control}
    if args.peer == "realtime" and control is None and 0 < args.port < 65535:
        ports["--control-port"] = args.port + 1
    for option, port in ports.items():
        if port is None:
            continue
        try:
            bind(args.host, port).close()
        except OSError as error:
            return f"The sandbox cannot start: {error}; {_advice(error, option)}."
    return None


def _advice(error: OSError, option: str) -> str:
    cause = error.__cause__
    match cause.errno if isinstance(cause, OSError) else None:
        case errno.EADDRINUSE:
            return f"another program listens there: stop it, or choose another port with {option} (0: any free one)"
        case errno.EACCES:
            return f"choose one of 1024 or more with {option}"
    return "choose an address of this machine with --host, such as 127.0.0.1"


async def _until_stopped(serving: Coroutine[Any, Any, bool | None]) -> bool | None:
    """Run until SIGINT or SIGTERM, then cancel and wait for the end of it. Returns what it returns."""
    task = asyncio.ensure_future(serving)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait([task])
    return None if task.cancelled() else task.result()
