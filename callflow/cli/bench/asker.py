"""Asks for a large answer once a second: `python -m callflow.cli.bench.asker PORT PATH BYTES`, started by `viewers`.

A browser is on another machine, and takes nothing from those whose delay is measured. So this is a process of its own,
which runs when nobody else wants its core, where the system has such a rank. Ends where an answer is late, or has fewer
bytes; that is told by whoever has started it.

`... asker PORT PATH BYTES CORE` answers the questions itself, by a process on that core: what such an answer costs the
calls whoever makes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from multiprocessing import get_context
from typing import Final


_EVERY_SECONDS: Final = 1.0
_SECONDS: Final = 3.0
"""How long an answer may take: a server that gives none is no load, and the bench has to know."""
_PIECE: Final = 16 << 10
"""Bytes that the other process makes at once, as the server's does."""
_NICE: Final = 5
"""As that one's."""


def main(port: int, path: str, least: int, core: int | None = None) -> None:
    """Ask until this process is ended, or an answer is late or too small. Raises OSError: there is no port."""
    if core is not None:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        get_context("fork").Process(target=_answer, args=(listener, core, least), daemon=True).start()
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(OSError):
        while _length(port, path) >= least:
            time.sleep(_EVERY_SECONDS)


def _length(port: int, path: str) -> int:
    """Ask once, and return how many bytes the answer has. Raises OSError."""
    length, buffer = 0, bytearray(256 << 10)
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        while some := connection.recv_into(buffer):
            length += some
    return length


def _answer(listener: socket.socket, core: int, size: int) -> None:
    os.sched_setaffinity(0, {core})
    os.nice(_NICE)
    text = "What is said in a long conversation is kept, and is asked for. " * 5
    items = [{"id": f"bench-{number}", "content": text} for number in range(_PIECE // len(text) + 1)]
    listener.settimeout(_EVERY_SECONDS)
    asks = os.getppid()
    while os.getppid() == asks:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        with connection:
            connection.recv(4096)
            for _ in range(-(-size // _PIECE)):
                connection.sendall(json.dumps(items).encode().ljust(_PIECE)[:_PIECE])


if __name__ == "__main__":
    its_port, its_path, its_bytes, *its_core = sys.argv[1:]
    main(int(its_port), its_path, int(its_bytes), *map(int, its_core))
