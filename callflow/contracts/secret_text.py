"""Secrets: which text looks like one, and whether a text holds one that is known, in whatever form. Pure.

A text from outside (a carrier's error, a driver's message, a line of the log) may repeat what we sent. Such a text is
not shown at all: if only the secret were cut out, the rest might still tell too much.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus, unquote


NOT_SHOWN: Final = "(not shown: it holds a secret)"
_KEY: Final = re.compile(r"sk-\S{8,}|KEY(?=\S{0,60}[0-9_-])\S{5,}")
"""How the keys of OpenAI and Telnyx begin. (`sk-SK` is a language.)"""
_KEY_WITHIN: Final = re.compile(rf"(?<![A-Za-z0-9])({_KEY.pattern})")
_LONG: Final = re.compile(r"[\w+/=~-]{16,}")
_NAMES: Final = re.compile(
    r"token(?!s)|secret|passw|pwd|api[_-]?key|credential|(?<![a-z])keys?(?![a-z])", re.IGNORECASE
)
_STREAM_TOKEN: Final = re.compile(r"[0-9a-f]{32}\.[0-9]+\.[A-Za-z0-9_-]{8,}")
"""The token in a media stream's address, see `callflow.call.stream_tokens`, or most of it: with it one can listen to
a call."""
_SENT: Final = re.compile(r"[A-Za-z0-9_-]{40,}")
_LEAST_ENCODED: Final = 9
"""Characters of a secret; what base64 makes of fewer is found in any text."""
_LEAST_LONG: Final = 16
_LEAST_MIXED: Final = 8


class Secrets:
    """Some values that are secret. A text is searched for each of them: as it is, percent-encoded, in base64 (also
    within something longer, such as `user:password`), escaped as in a Python or JSON string, or in HTML."""

    def __init__(self, values: Iterable[str]) -> None:
        self.values = tuple(dict.fromkeys(value for value in values if value))
        self._forms = tuple(dict.fromkeys(form for value in self.values for form in forms(value) if form))

    def plus(self, values: Iterable[str]) -> Secrets:
        """Return these secrets and more."""
        return Secrets([*self.values, *values])

    def within(self, text: str) -> bool:
        """Tell whether a text holds one of them, or the token of any media stream."""
        return any(form in text for form in self._forms) or _STREAM_TOKEN.search(text) is not None

    def safe_text(self, text: str, otherwise: str = NOT_SHOWN) -> str:
        """Return the text, or `otherwise` if a secret is in it."""
        return otherwise if self.within(text) else text

    def lines(self, text: str) -> str:
        """Return the text; a line with a secret ends at the last `: ` before it: `call 7: look-up failed: (not shown:
        …)`."""
        if not self.within(text):
            return text
        return "\n".join(self._line(line) if self.within(line) else line for line in text.split("\n"))

    def _line(self, line: str) -> str:
        token = _STREAM_TOKEN.search(line)
        places = [line.find(form) for form in self._forms] + ([token.start()] if token else [])
        before, colon, _ = line[: min(place for place in places if place >= 0)].rpartition(": ")
        return f"{before}{colon}{NOT_SHOWN}"


NONE: Final = Secrets(())


def forms(value: str) -> Iterator[str]:
    """Yield the forms in which a value may be written: percent-encoded, in base64, escaped, in HTML."""
    encoded = (quote(value, safe=""), quote(value), quote_plus(value))
    yield from (value, unquote(value), *encoded)
    yield from (re.sub("%..", lambda found: found[0].lower(), each) for each in encoded)
    yield from (repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    yield html.escape(value)
    raw = value.encode("utf-8", "surrogateescape")
    if len(raw) >= _LEAST_ENCODED:
        for before in range(3):  # where the value begins within a group of three bytes
            whole = base64.b64encode(bytes(before) + raw)
            part = whole[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6].decode()
            yield from (part, part.translate(_URL_SAFE))


_URL_SAFE: Final = str.maketrans("+/", "-_")


def is_key(text: str) -> bool:
    """Tell whether the whole text is a vendor's key, by its form."""
    return _KEY.fullmatch(text) is not None


def may_be_secret(text: str) -> bool:
    """Tell whether a text holds what looks like a key, a token or a URL. Ids do so, too: use it where a false alarm is
    harmless."""
    if _KEY_WITHIN.search(text) or is_key(text) or "://" in text:
        return True
    long = _LONG.findall(text)
    return any(re.search("[0-9]", each) and re.search("[A-Za-z]", each) for each in long)


def names_secret(name: str) -> bool:
    """Tell whether a name is that of a secret: `OPENAI_APIKEY`, `sslpassword`."""
    return _NAMES.search(name) is not None


def is_distinctive(value: str) -> bool:
    """Tell whether a secret is unusual enough to be searched for in texts; a password such as `callflow` is not."""
    plain = value.isalpha() and value.islower()
    return len(value) >= (_LEAST_LONG if plain else _LEAST_MIXED)


def sent(content: object) -> list[str]:
    """Return the long random strings in what we have sent, such as a stream's token: they are secret there."""
    return _SENT.findall(repr(content))
