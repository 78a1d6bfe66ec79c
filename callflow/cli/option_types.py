"""What the value of an option may be: each reads the text that was typed, or says in a clause what it must be."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from callflow.contracts import secret_text


_MOST_NUMBER: Final = 12
"""Characters of a mistyped number that is repeated."""
_DIGITS: Final = 18
"""Of the longest number that is understood."""


def may_be_shown(text: str, most: int) -> bool:
    """Return whether a mistyped text may be repeated: not if it is longer than `most` characters, or looks like a key,
    because keys are pasted into the wrong place."""
    return len(text) <= most and not secret_text.may_be_secret(text)


def but(text: str) -> str:
    """Return the end of an error's sentence that shows what was given; "" if it cannot be shown."""
    return f', not "{text}"' if may_be_shown(text, _MOST_NUMBER) else ""


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Make a reader of whole numbers from `least` to `most`, in ASCII digits; it raises ArgumentTypeError for
    others."""

    def read(text: str) -> int:
        plain = text.strip()
        is_number = plain.isascii() and plain.removeprefix("-").isdigit() and len(plain) <= _DIGITS
        if is_number and least <= int(plain) <= (most or int(plain)):
            return int(plain)
        raise argparse.ArgumentTypeError(f"must be a whole number {_range(least, most)}{but(text)}")

    return read


def number(least: float, most: float) -> Callable[[str], float]:
    """Make a reader of numbers from `least` to `most`, in ASCII; it raises ArgumentTypeError for others."""

    def read(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = float("nan")
        if least <= found <= most and text.isascii():
            return found
        raise argparse.ArgumentTypeError(f"must be a number {_range(least, most)}{but(text)}")

    return read


def _range(least: float, most: float | None) -> str:
    return f"from {least:.15g} to {most:.15g}" if most is not None else f"of {least:.15g} or more"


PORT: Final = whole(0, 65535)


def file(text: str) -> Path:
    """Read the name of a file; `~` is the home folder. Raises ArgumentTypeError for an empty one."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must be the name of a file, and is empty")
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~somebody who is not known here
        return Path(text)


def web_url(text: str) -> str:
    """Check an address: http or https, a host, and perhaps a port and a path. Raises ArgumentTypeError."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(text)
        is_port = parts.port is None or parts.port > 0
        if parts.scheme in ("http", "https") and parts.hostname and is_port and text.isascii() and text.isprintable():
            return text
    raise argparse.ArgumentTypeError(f"must be an address such as http://127.0.0.1:6000{but(text)}")


def text(typed: str) -> str:
    """Check that a text says something. Raises ArgumentTypeError for an empty one."""
    if typed.strip():
        return typed
    raise argparse.ArgumentTypeError("must be a text, and is empty")


def word(text: str) -> str:
    """Check that a text is one word in ASCII. Raises ArgumentTypeError."""
    if text and text.isascii() and text.isprintable() and " " not in text:
        return text
    raise argparse.ArgumentTypeError(f"must be one word in ASCII{but(text)}")
