"""Ports for servers that are told theirs."""

from __future__ import annotations

import functools
import itertools
import random
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout


_FIRST: Final = 20_000
_LAST: Final = 32_000
"""Below those that the system gives to sockets without a port of their own (Linux: from 32768 on)."""
_BLOCK: Final = 200
"""Ports of one process: another one that finds the same port free would take it before the server does."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that nobody gets by chance."""
    for port in itertools.islice(_ports(), _BLOCK):
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"{_BLOCK} ports in a row are taken")


@functools.cache
def _ports() -> Iterator[int]:
    """The ports of a block that no other process of this machine has, in turn, again and again."""
    starts = list(range(_FIRST, _LAST, _BLOCK))
    random.SystemRandom().shuffle(starts)
    for start in starts:
        lock = FileLock(Path(tempfile.gettempdir()) / f"callflow-test-ports-{start}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        _held.append(lock)
        return itertools.cycle(range(start, start + _BLOCK))
    raise AssertionError("other test processes have all ports")


_held: Final[list[FileLock]] = []
"""For as long as this process lives."""
