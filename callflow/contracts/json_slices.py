"""JSON in slices that belong one behind another. Pure.

An encoder lets no other thread run until it has finished, not even the one with the callers' audio, so it is given
little of a large value at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from callflow.contracts.printable import json_of


_PARTS: Final = 20
"""Parts of a list that are encoded in one step."""
PIECE: Final = 16 << 10
"""Bytes of a piece, about: to send 64 KiB in one go makes frames of audio wait twice as long."""


def json_slices(
    value: Any, encode: Callable[[Any], bytes] = json_of, *, margin: bytes | None = None
) -> Iterator[bytes]:
    """Yield a value's JSON. `encode`: encodes a part. `margin`: the spaces before each line but the first, and two more
    for each level inside; None: all in one line, without spaces.

    Lists are divided, at the top and in objects of objects; what is in a list is not.
    """
    inside = None if margin is None else margin + b"  "
    begin, end = (b"", b"") if margin is None else (b"\n" + margin + b"  ", b"\n" + margin)

    def whole(part: Any) -> bytes:
        encoded = encode(part)
        # A line break in a text is an escape, so each one here begins a line.
        return encoded if margin is None else msgspec.json.format(encoded, indent=2).replace(b"\n", b"\n" + margin)

    if isinstance(value, dict) and value and all(type(name) is str for name in value):
        for number, (name, part) in enumerate(value.items()):
            yield (b"," if number else b"{") + begin + encode(name) + (b":" if margin is None else b": ")
            yield from json_slices(part, encode, margin=inside)
        yield end + b"}"
    elif isinstance(value, list) and len(value) > _PARTS:
        for first in range(0, len(value), _PARTS):
            yield (b"," if first else b"[") + whole(value[first : first + _PARTS])[1:-1].rstrip()
        yield end + b"]"
    else:
        yield whole(value)


def json_pieces(value: Any, encode: Callable[[Any], bytes] = json_of) -> list[bytes]:
    """Return a value's JSON, made as by `json_slices`, in pieces of about `PIECE` bytes."""
    found, present = [], bytearray()
    for some in json_slices(value, encode):
        present += some
        if len(present) >= PIECE:
            found.append(bytes(present))
            present = bytearray()
    return [*found, bytes(present)] if present or not found else found
