"""Writes the result of a tool as JSON for the model.

A result may have any size and shape, and may run code of the tool's author while it is read. So it is walked part by
part, no further than the model is shown, and never in one long step: while one call of a built-in function runs, no
other thread of this process does, not even the one with the callers' audio.
"""

from __future__ import annotations

import dataclasses
import math
import re
import sys
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

import msgspec
from pydantic_core import MultiHostUrl, Url, to_json, to_jsonable_python

from callflow.contracts.errors import Abandoned, NotJson
from callflow.contracts.printable import whole


MOST_CHARACTERS: Final = 100_000
"""Characters of one result: every later answer of the model is paid for by what it has read before."""
NOTE: Final = "This result is too long or too deeply nested: only a part of it is given here."
_MOST_DEPTH: Final = 100
_MOST_BITS: Final = 3300
"""Bits of an integer, about 1000 digits: the time to write it grows with the square of their number."""
_SPARE: Final = 2000
"""Characters reserved for the note, for a last number, and for closing brackets."""
_LOOKS: Final = 64
"""Parts between two looks at whether anybody still waits."""
_PIECE: Final = 2000
"""Parts that are freed, or characters that are written, in one step."""

_SINGLE: Final = (
    date, time, timedelta, Decimal, UUID, Fraction, complex, re.Pattern, Url, MultiHostUrl,
    IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network,
)  # fmt: skip
"""Types of values without parts, which become text or a number."""


def never() -> bool:
    """Return False: somebody still waits."""
    return False


def to_json_text(result: Any, is_over: Callable[[], bool] = never) -> str:
    """Return a result as JSON of at most `MOST_CHARACTERS`. Text that is a JSON object or array already stays as it is.

    A result that is too long or too deeply nested becomes `{"note": …, "result": …}` with as much of it as fits. Half a
    surrogate pair becomes a question mark; NaN and the infinities become text.

    Raises NotJson; Abandoned when `is_over` says that nobody waits any more; and whatever the code of its parts raises.
    """
    if isinstance(result, str) and str.__len__(result) <= MOST_CHARACTERS and _is_document(_exact(result)):
        return _exact(result)
    walk = _Walk(MOST_CHARACTERS - _SPARE, is_over)
    walk.value(result, 0)
    text = "".join(walk.out)
    return f'{{"note":{_quoted(NOTE)},"result":{text}}}' if walk.is_cut else text


class _Walk:
    """Writes one result into `out`, piece by piece, within so many characters."""

    def __init__(self, room: int, is_over: Callable[[], bool]) -> None:
        self.out: list[str] = []
        self.is_cut = False
        self._room, self._is_over = room, is_over
        self._parts = 0
        self._inside: set[int] = set()

    def value(self, value: Any, depth: int) -> None:
        self._parts += 1
        if self._parts % _LOOKS == 0 and self._is_over():
            raise Abandoned
        kind = type(value)
        if kind is str:
            self._text(value)
        elif kind is int:
            self._integer(value)
        elif value is None or kind is bool:
            self._put("null" if value is None else "true" if value else "false")
        elif hasattr(kind, "__pydantic_serializer__"):
            self._model(value, depth)
        elif dataclasses.is_dataclass(kind):
            self._object(_fields(value), value, depth)
        elif isinstance(value, str):
            self._text(value)
        elif isinstance(value, int):
            self._integer(int.__pos__(value))
        elif isinstance(value, float):
            self._float(float.__pos__(value))
        elif isinstance(value, (bytes, bytearray, memoryview)):
            self._bytes(value)
        elif isinstance(value, Mapping):
            self._object(value.items(), value, depth)
        elif isinstance(value, _SINGLE):
            self._single(value)
        elif isinstance(value, PurePath):
            self._text(str(value))
        elif isinstance(value, Enum):
            self.value(value.value, depth + 1)
        elif isinstance(value, (Sequence, Set, Iterator, deque)):
            self._array(value, value, depth)
        else:
            raise NotJson(f"it holds a value of type {kind.__name__:.80}")

    # Values with parts

    def _array(self, items: Iterable[Any], whose: Any, depth: int) -> None:
        with self._entered(whose, depth) as is_near:
            self._put("[")
            comma = False
            for item in items if is_near else ("…",):
                if self._is_full():
                    break
                if comma:
                    self._put(",")
                comma = True
                self.value(item, depth + 1)
            self._put("]")

    def _object(self, items: Iterable[tuple[Any, Any]], whose: Any, depth: int) -> None:
        with self._entered(whose, depth) as is_near:
            self._put("{")
            comma = False
            for key, value in items if is_near else (("…", "…"),):
                name = key if type(key) is str else self._name(key)
                if self._is_full(len(name)):
                    break
                self._put(f",{_quoted(name)}:" if comma else f"{_quoted(name)}:")
                comma = True
                self.value(value, depth + 1)
            self._put("}")

    @contextmanager
    def _entered(self, whose: Any, depth: int) -> Iterator[bool]:
        """Refuse a value with parts that contains itself. Yields False if it is nested too deep to be shown."""
        if id(whose) in self._inside:
            raise NotJson("it contains itself")
        self._inside.add(id(whose))
        is_near = depth < _MOST_DEPTH
        self.is_cut |= not is_near
        yield is_near
        self._inside.discard(id(whose))

    def _name(self, key: Any) -> str:
        """Return the name of an object's member for a key of any type, as pydantic writes it."""
        if isinstance(key, (str, PurePath)):
            return _exact(str(key))
        if isinstance(key, int) and not isinstance(key, bool):
            return _digits(int.__pos__(key))
        if key is None or isinstance(key, (bool, float, bytes, Enum, *_SINGLE)) or type(key) is tuple:
            if not _is_small(key, _PIECE):
                raise NotJson("a key in it is too long")
            return str(next(iter(to_jsonable_python({key: None}))))
        raise NotJson(f"it has a key of type {type(key).__name__:.80}")

    def _model(self, value: Any, depth: int) -> None:
        """Write a pydantic model: by its own serializer if that takes little time, else by its fields."""
        parts = _fields(value)
        if not _is_small(parts, self._room):
            self._object(parts, value, depth)
            return
        text = to_json(value, inf_nan_mode="strings").decode()
        if len(text) <= self._room:
            self._put(text)
        elif len(text) <= 10 * MOST_CHARACTERS:
            self.value(msgspec.json.decode(text), depth + 1)
        else:
            self._object(parts, value, depth)

    # Values without parts

    def _text(self, text: str) -> None:
        length, room = str.__len__(text), max(self._room, 2)
        part = _exact(text, room)
        quoted = _quoted(part)
        if len(quoted) > room:
            fitting = bisect_right(range(len(part) + 1), room, key=lambda length: len(_quoted(part[:length])))
            part = part[: fitting - 1]
            quoted = _quoted(part)
        self.is_cut |= len(part) < length
        self._put(quoted)

    def _integer(self, number: int) -> None:
        text = _digits(number)
        self.is_cut |= not text[-1].isdigit()
        self._put(text if text[-1].isdigit() else _quoted(text))

    def _float(self, number: float) -> None:
        if math.isfinite(number):
            self._put(repr(number))
        else:
            self._put('"NaN"' if math.isnan(number) else '"Infinity"' if number > 0 else '"-Infinity"')

    def _bytes(self, value: bytes | bytearray | memoryview) -> None:
        view = memoryview(value).cast("B")
        room = max(self._room, 0)
        self.is_cut |= len(view) > room
        self._text(bytes(view[:room]).decode("utf-8", "replace"))

    def _single(self, value: Any) -> None:
        if sys.getsizeof(value) > MOST_CHARACTERS:
            raise NotJson("a single value in it is too long")
        text = to_json(value, inf_nan_mode="strings").decode()
        if text[:1] == '"':
            self._text(msgspec.json.decode(text))
        else:
            self._put(text)

    def _put(self, text: str) -> None:
        self.out.append(text)
        self._room -= len(text)

    def _is_full(self, more: int = 0) -> bool:
        if self._room - more > 0:
            return False
        self.is_cut = True
        return True


def _fields(value: Any) -> Any:
    """Return names and values of a model or a dataclass."""
    if dataclasses.is_dataclass(type(value)):
        return [(each.name, getattr(value, each.name)) for each in dataclasses.fields(value)]
    return list({**vars(value), **(getattr(value, "__pydantic_extra__", None) or {})}.items())


def _is_small(value: Any, most: int) -> bool:
    """Return whether a value has at most about so many characters. Looks at no more of it than that."""
    waiting, seen = [value], 0
    while waiting and seen + len(waiting) <= most:
        each = waiting.pop()
        seen += 1
        if isinstance(each, (str, bytes, bytearray)):
            seen += len(each)
        elif isinstance(each, int):
            seen += int.bit_length(each) // 3
        elif isinstance(each, Decimal):
            seen += sys.getsizeof(each)
        elif isinstance(each, (dict, list, tuple, set, frozenset, deque)):
            if len(each) > most:
                return False
            waiting += each.values() if isinstance(each, dict) else each
            waiting += each.keys() if isinstance(each, dict) else ()
        elif isinstance(each, Iterator):
            return False
        elif hasattr(type(each), "__pydantic_serializer__") or dataclasses.is_dataclass(type(each)):
            waiting.append(_fields(each))
    return not waiting and seen <= most


def _exact(text: str, length: int = MOST_CHARACTERS) -> str:
    """Return the beginning of a text as a plain `str`, without calling methods of a subclass."""
    return str.__getitem__(text, slice(length))


def _quoted(text: str) -> str:
    return msgspec.json.encode(whole(text)).decode()


def _digits(number: int) -> str:
    bits = number.bit_length()
    return str(number) if bits <= _MOST_BITS else f"a number of about {bits * 0.30103:.0f} digits (left out)"


def _is_document(text: str) -> bool:
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


# Freeing large results


def _references(box: list[Any]) -> int:
    value = box[-1]
    return sys.getrefcount(value)


_ALONE: Final = _references([[]])


def release(box: list[Any]) -> None:
    """Empty a list, and free what it contained piece by piece: to free ten million numbers at once blocks all threads.

    Only lists and dicts without other references are taken apart.
    """
    while box:
        is_ours = _references(box) == _ALONE
        value = box.pop()
        if not is_ours or type(value) not in (list, dict) or len(value) <= _PIECE:
            continue
        while value:
            if type(value) is list:
                piece = value[-_PIECE:]
                del value[-_PIECE:]
            else:
                piece = [value.popitem()[1] for _ in range(min(_PIECE, len(value)))]
            box += [each for each in piece if type(each) in (list, dict) and len(each) > _PIECE]
