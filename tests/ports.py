"""Ports for servers that are told theirs."""

from __future__ import annotations

import itertools
import os
import random
import socket
from typing import Final


_FIRST: Final = 20_000
_LAST: Final = 32_000
"""Below those that the system gives to sockets without a port of their own (Linux: from 32768 on)."""
_next: Final = itertools.count(random.Random(os.getpid()).randrange(_LAST - _FIRST))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that nobody gets by chance."""
    for number in itertools.islice(_next, 100):
        port = _FIRST + number % (_LAST - _FIRST)
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("a hundred ports in a row are taken")
