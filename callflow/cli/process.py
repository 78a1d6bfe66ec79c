"""What a process needs that serves: a loop, sockets that are bound before anything else begins, and a log."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from callflow.launch import INTERRUPTED, interruptible
from callflow.log_format import FORM, Formatter


_SWITCH_SECONDS = 0.0005
"""How soon another thread (the journal's, a tool's) gives way to the audio. Python's own is 5 ms, a quarter frame."""


def run(main: Coroutine[Any, Any, int]) -> int:
    sys.setswitchinterval(_SWITCH_SECONDS)
    with interruptible(), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.get_loop().set_exception_handler(on_loop_error)
        return runner.run(main)


def new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # Windows: the standard loop does the same, slower
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Python 3.11's streams report a connection as an error when its handler is cancelled, as by a closing listener."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def run_interruptible(main: Coroutine[Any, Any, int]) -> int:
    try:
        return run(main)
    except KeyboardInterrupt:
        return INTERRUPTED


def bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise OSError(f"port {port} on {host} cannot be used ({error.strerror or error})") from error
    bound.setblocking(False)
    return bound


def name_of(bound: socket.socket) -> tuple[str, int]:
    host, port = bound.getsockname()[:2]
    return host, port


def log_to_stderr(level: str, redact: Callable[[str], str] = str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(FORM, redact))
    # Others' libraries tell every header and every row at the level debug: keys, and what was said, are among them.
    logging.basicConfig(level="INFO" if level == "debug" else level.upper(), handlers=[handler])
    for ours in ("callflow", "carriers"):
        logging.getLogger(ours).setLevel(level.upper())
    for chatty in ("httpx", "httpcore", "websockets", "hypercorn.error", "aiosqlite", "sqlalchemy", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("transitions").setLevel(logging.ERROR)  # it warns of every event that is inert
