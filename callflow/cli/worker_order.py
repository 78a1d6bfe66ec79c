"""What a worker of `server.py --workers N` gets from its parent when it starts: its name, its sockets, its share of the
limits."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Order:
    """One line of JSON, over a socket."""

    name: str
    address: str
    """Of its cluster listener."""
    folder: str
    capacity: int
    """Its share of `max_concurrent_calls`."""
    dials: int
    """Its share of `dials_per_minute`."""
    secret: str
    """In hexadecimal."""
    public: int
    """The inherited socket for carriers, as a file descriptor."""
    console: int
    """That for operators; -1: there is none."""
    overrides: dict[str, Any]
    """Settings of the command line."""
    reports: bool
    """It prints the start table."""
    beside: dict[str, str] | list[str] = field(default_factory=dict)
    """The names of the workers that are started at the same time, its own among them, each with the address of its
    cluster listener. A main process of before, under which the program was replaced, names them without, or none."""

    def line(self) -> bytes:
        """Return the order as a line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"
