"""Makes text from outside safe to print: control codes for a terminal, and line breaks that would forge a line of the
log, are shown as escapes. Pure.

Escaped are the control characters (C0, DEL and C1), line and paragraph separators, the marks that change the direction
of text or hide it (Unicode UAX #9; tags), and lone surrogates, which no encoding takes.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec


_UNPRINTABLE: Final = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction, lines, invisible
    "\ud800-\udfff"  # lone surrogates
    "\U000e0000-\U000e007f"  # tags
)
_ANY: Final = re.compile(f"[{_UNPRINTABLE}]")
_BUT_LINES: Final = re.compile(f"(?!\n)[{_UNPRINTABLE}]")
_IN_JSON: Final = re.compile(f"[{_UNPRINTABLE.removeprefix(chr(0) + '-' + chr(31))}]")

LONGEST_QUOTED: Final = 40
"""Characters."""


def line(text: str) -> str:
    """Return text as one line, with escapes such as `\\x1b`, `\\n`, `\\u202e` for unsafe characters."""
    return text if text.isascii() and text.isprintable() else _ANY.sub(_escape, text)


def quoted(text: str) -> str:
    """Return text in quotes, shortened to 40 characters, for an error message."""
    shown = line(text)
    return f'"{shown}"' if len(shown) <= LONGEST_QUOTED else f'"{shown[: LONGEST_QUOTED - 1]}…"'


def lines(text: str) -> str:
    """Return text with escapes for unsafe characters; line breaks stay, because they are our own."""
    return _BUT_LINES.sub(_escape, text)


def json_of(value: Any) -> bytes:
    """Encode as JSON, with the escapes of JSON for characters that are not safe to print.

    Raises TypeError, ValueError, OverflowError or RecursionError for what JSON cannot hold."""
    encoded = msgspec.json.encode(value)
    if encoded.isascii():
        return encoded.replace(b"\x7f", b"\\u007f")
    return in_json(encoded.decode()).encode()


def to_json(value: Any) -> bytes:
    """Encode as `json_of` does. Half a surrogate pair in a text, which a model may write, is encoded as it is."""
    try:
        return json_of(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).replace("\x7f", "\\u007f").encode()


def in_json(text: str) -> str:
    """Put the escapes of JSON into JSON, or a piece of it, for characters that are not safe to print. Control
    characters below U+0020 are left as they are: in JSON they are line breaks and indentation."""
    # The first look takes a third of the time; it also turns down harmless characters, which the second one leaves.
    return text if text.isprintable() else _IN_JSON.sub(_escape_in_json, text)


def whole(text: str) -> str:
    """Replace lone surrogates, so that the text can be encoded."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "backslashreplace").decode()


def _escape_in_json(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
