"""Takes payment cards, and what the settings name, out of every text before it is written or shown anywhere. Pure.

Payment cards are found by their form and their check digit; `redact_patterns` names what else is to be found. Only the
fields that events and notes mark as private are touched (what was said, typed or handed to a tool: see
`contracts.private_fields`), never the names by which calls and items are known.

All of it runs on the loop that carries the audio, on texts from outside. So all of it takes time in proportion to the
length of the text, whatever is in it, and nothing raises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, compress, takewhile
from operator import add, eq
from types import MappingProxyType
from typing import Any, Final

from callflow.config.redact_patterns import compile_pattern
from callflow.contracts.events import KINDS as EVENTS
from callflow.contracts.private_fields import marks_of
from callflow.journal.note import marks_of as note_marks
from callflow.journal.notes import KINDS as NOTES


CARD: Final = "[card number]"
REMOVED: Final = "[removed]"
GROWING: Final = "…"
_NO_MARKS: Final[Mapping[str, Any]] = MappingProxyType({"event": "public"})
_MARKS: Final[Mapping[str, Mapping[str, Any]]] = {
    **{name: {"event": "public", **marks_of(kind)} for name, kind in EVENTS.items()},
    **{name: {"event": "public", "version": "public", **note_marks(kind)} for name, kind in NOTES.items()},
}
"""By the name of an event or note: the mark of each of its fields."""

_REMOVED: Final = REMOVED.encode("ascii")
_DIGITS: Final = "0123456789"
_ZEROS: Final = (
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50,
    0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50,
    0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
)  # fmt: skip
"""The zeros of other scripts (Unicode's category Nd), behind each of which its other digits follow."""
_PLAIN: Final = {
    **{zero + digit: ord("0") + digit for zero in _ZEROS for digit in range(10)},
    **dict.fromkeys((0x00A0, 0x2007, 0x2009, 0x202F), ord(" ")),
    **dict.fromkeys((*range(0x2010, 0x2016), 0x2212), ord("-")),
}
"""What is written otherwise: digits, blanks that do not break, dashes. A character for a character."""
_BETWEEN: Final = " .,/-\\"
"""What may stand between the digits of one number, two of them at most. The backslash only as `\\/`, JSON's slash."""
_CHAIN: Final = re.compile(r"[0-9]++(?:[ .,/\-]{1,2}+[0-9]++)*+")
_CHAIN_OR_ESCAPE: Final = re.compile(
    r"\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[a-z])|[0-9]++(?:(?:[ .,/\-]|\\/){1,2}+[0-9]++)*+"
)
"""For texts that hold JSON or Python's repr: in `\\n4111` no letter stands before the number."""

_LONGEST, _SHORTEST = 19, 13
_LONG_ENOUGH: Final = re.compile(rf"[0-9][0-9 .,/\-]{{{_SHORTEST - 1}}}")
_LARGEST, _SMALLEST = 10**_LONGEST, 10 ** (_SHORTEST - 1)
_TAIL: Final = re.compile(rf"[0-9](?:[ .,/\-]{{0,2}}[0-9]){{3,{_LONGEST - 2}}}+")
"""The digits at the end of a text that goes on, read backwards: all that may be the beginning of one card."""
_TAIL_LENGTH: Final = 3 * _LONGEST

_ISSUED: Final = {13: "4[0-9]", 14: "3[0689]", 15: "3[47]", 16: "[46][0-9]|5[0-8]|2[2-7]|35|81", 19: "4[0-9]"}
"""How many digits the cards of the large issuers have, and with which two they begin."""
_ANY: Final = re.compile(
    "|".join(f"(?:{begin})[0-9]{{{length - 2}}}" for length, begin in _ISSUED.items()).encode("ascii")
)


def _table(values: Iterable[int]) -> bytes:
    """For bytes.translate."""
    return bytes(values).ljust(256, b"\0")


_BEGINS: Final = [
    (length, _table(re.fullmatch(begin, f"{pair:02}") is not None for pair in range(100)))
    for length, begin in sorted(_ISSUED.items(), reverse=True)
]
_ASCII: Final = b"\0" * ord("0")
_IS_DIGIT: Final = _table(_ASCII + b"\1" * 10)
_VALUE: Final = _table(_ASCII + bytes(range(10)))
_TENFOLD: Final = _table(_ASCII + bytes(range(0, 100, 10)))
_DOUBLED: Final = _table(_ASCII + bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))
"""Twice the digit, the digits of that added up."""

_WHOLE_SEARCHES, _WHOLE_SEARCHES_PER_BYTE = 2_000_000, 16
"""How many bytes may have been left of the text at each search of one pattern, all in all; RE2 reads about 1 per ns."""
_AHEAD: Final = 1024
"""Bytes that a later search looks at first."""
_DEEPEST: Final = 200
"""How deep what a tool gives back may be nested."""


def is_private(event: str, field: str) -> bool:
    """Return whether a field of an event or note of this name may hold words of people; True if it is not known."""
    return bool(_MARKS.get(event, _NO_MARKS).get(field, "private") != "public")


class Redactor:
    """Replaces card numbers, and what `redact_patterns` finds, in texts and in private fields of events and notes."""

    def __init__(self, patterns: Iterable[str] = (), *, cards: bool = True) -> None:
        """`patterns`: in RE2's syntax. Raises ValueError for one that RE2 does not take."""
        self._patterns = [compile_pattern(pattern) for pattern in patterns]
        self._cards = cards

    def text(self, text: str) -> str:
        """Return a text without card numbers, and without what the patterns find."""
        if self._cards and len(text) >= _SHORTEST:
            cards = list(_cards(_plain(text)))
            text = _shown(text, cards, len(text)) if cards else text
        return self._without_patterns(text)

    def unfinished(self, text: str) -> str:
        """Return a text that is still growing, as `text` does, and without the digits of what may become a card, but
        for its first three."""
        if self._cards:
            plain = _plain(text)
            stop = len(plain.rstrip(" .,/-\r\n\t"))
            tail = _TAIL.match(plain[max(0, stop - _TAIL_LENGTH) : stop][::-1])
            text = _shown(text, list(_cards(plain)), stop - tail.end() if tail else len(text))
        return self._without_patterns(text)

    def data(self, value: Any) -> Any:
        """Return data with every text within as `text` returns it, also those that are names in a mapping. What is
        nested too deep is taken out whole."""
        try:
            return self._data(value, 0)
        except RecursionError:
            return REMOVED

    def fields(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return an event or a note without what is to be taken out: of its private fields, and of those of its parts.

        All fields of a kind that is not known, and fields that a known kind does not have, count as private."""
        name = event.get("event")
        return self._marked(event, _MARKS.get(name, _NO_MARKS) if isinstance(name, str) else _NO_MARKS)

    def _marked(self, given: Mapping[str, Any], marks: Mapping[str, Any]) -> dict[str, Any]:
        told = {name: self._field(value, marks.get(name, "private")) for name, value in given.items()}
        heard, unheard = given.get("heard_text"), given.get("unheard_text")
        if isinstance(heard, str) and isinstance(unheard, str):
            told |= self._cut(heard, unheard)
        return told

    def _cut(self, heard: str, unheard: str) -> dict[str, str]:
        """One text, interrupted, perhaps in the middle of what is to be taken out: that was not heard then."""
        before, behind, whole = self.text(heard), self.text(unheard), self.text(f"{heard} {unheard}")
        if whole != f"{before} {behind}":
            common = sum(takewhile(bool, map(eq, before, whole)))
            before, behind = whole[:common].rstrip(), whole[common:]
        return {"heard_text": before, "unheard_text": behind}

    def _field(self, value: Any, mark: Any) -> Any:
        """`mark`: as of `contracts.private_fields`, or those of the parts that it is a list of."""
        if mark == "public":
            return value
        if mark == "growing" and isinstance(value, str):
            return self.unfinished(value)
        if isinstance(value, (list, tuple)):
            marks = mark if isinstance(mark, Mapping) else _NO_MARKS
            try:
                return [self._marked(each, marks) if isinstance(each, dict) else self.data(each) for each in value]
            except RecursionError:
                return REMOVED
        return self.data(value)

    def _data(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._json_or_text(value)
        if isinstance(value, (int, float)):
            return self._number(value)
        if depth == _DEEPEST:
            raise RecursionError
        if isinstance(value, Mapping):
            told: dict[Any, Any] = {}
            for name, each in value.items():
                if isinstance(name, str):
                    name = self.text(name)
                elif isinstance(name, int):
                    name = self._number(name)
                while name in told:  # two names that look alike now
                    name = f"{name} ({len(told) + 1})"
                told[name] = self._data(each, depth + 1)
            return told
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._data(each, depth + 1) for each in value]
        return value

    def _number(self, value: float) -> Any:
        """A whole number may be a card, also where it is written with `.0`."""
        if isinstance(value, bool) or (not self._patterns and -_SMALLEST < value < _SMALLEST):
            return value
        try:
            if isinstance(value, int) or (_SMALLEST <= abs(value) < _LARGEST and value.is_integer()):
                shown = str(int(value))
                told = self.text(shown) if self._patterns or _ANY.search(shown.encode("ascii")) else shown
            else:
                shown = repr(value)
                told = self._without_patterns(shown)
        except ValueError:  # more digits than Python will write
            return REMOVED
        return value if told == shown else told

    def _json_or_text(self, value: str) -> str:
        """JSON is read, because what it escapes is not what it says, and because it has to stay JSON."""
        may_hold = self._patterns or "\\" in value or _LONG_ENOUGH.search(_plain(value))
        if may_hold and value.lstrip()[:1] in ("{", "["):
            try:
                given = json.loads(value, object_pairs_hook=_each_once)
                told = self._data(given, 0)
                return value if told == given else json.dumps(told, ensure_ascii=False)
            except (ValueError, RecursionError):
                pass
        return self.text(value)

    def _without_patterns(self, text: str) -> str:
        if not self._patterns:
            return text
        data = text.encode("utf-8", "surrogatepass")
        patterns = [pattern for pattern in self._patterns if pattern.search(data)]
        if not patterns:
            return text
        pieces: list[bytes] = []
        at = 0
        for start, end in sorted(span for pattern in patterns for span in _found(pattern, data)):
            if start >= at:  # else two patterns have found some of the same
                pieces += data[at:start], _REMOVED
            at = max(at, end)
        return b"".join([*pieces, data[at:]]).decode("utf-8", "surrogatepass") if pieces else text


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError when a name is there twice: the first of them would be shown without having been looked at."""
    told = dict(pairs)
    if len(told) < len(pairs):
        raise ValueError
    return told


def _plain(text: str) -> str:
    """Return the text with the digits and signs of other scripts as those of ASCII, each in its place."""
    return text if text.isascii() else text.translate(_PLAIN)


def _shown(text: str, cards: list[tuple[int, int]], tail: int) -> str:
    """The text without its cards; from `tail` on, where it goes on growing, without any other digits either."""
    pieces: list[str] = []
    at = 0
    for start, end in [*cards, (len(text), len(text))]:
        stays = max(at, min(start, tail))
        grows = text[stays:start]
        has_digits = not set(_plain(grows)).isdisjoint(_DIGITS)
        pieces += text[at:stays], GROWING if has_digits else grows, CARD
        at = end
    return "".join(pieces[:-1])


def _cards(text: str) -> Iterator[tuple[int, int]]:
    """Where cards begin and end, in order: in runs of digits with neither letter nor digit before or behind them."""
    escape = 0
    for found in (_CHAIN_OR_ESCAPE if "\\" in text else _CHAIN).finditer(text):
        start, end = found.span()
        if text[start] == "\\":
            escape = end
            continue
        if end - start < _SHORTEST:
            continue
        run = found[0]
        if start != escape and _is_letter(text[start - 1 : start]):
            run = run.lstrip(_DIGITS).lstrip(_BETWEEN)
        start = end - len(run)
        if _is_letter(text[end : end + 1]):
            run = run.rstrip(_DIGITS).rstrip(_BETWEEN)
        if len(run) >= _SHORTEST:
            yield from ((start + first, start + last) for first, last in _cards_of(run.encode("ascii")))


def _is_letter(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _cards_of(run: bytes) -> list[tuple[int, int]]:
    """A run of digits may hold more than a card: its date and its code behind it, or a number before it. What begins
    and ends where groups of digits do is the likelier one."""
    digits = run.translate(None, _BETWEEN.encode("ascii"))
    if not _ANY.search(digits):
        return []
    is_digit = run.translate(_IS_DIGIT)
    places = list(compress(range(len(run)), is_digit))
    count = len(places)
    value, doubled = digits.translate(_VALUE), digits.translate(_DOUBLED)
    pairs = bytes(map(add, digits.translate(_TENFOLD), value[1:]))
    # ISO/IEC 7812: with every second digit doubled, the last one not, the sum can be divided by ten. Any sum is the
    # difference of two of these, in one of which the digits in odd places are doubled, in the other those in even ones.
    odd, even = bytearray(value), bytearray(doubled)
    odd[1::2], even[1::2] = doubled[1::2], value[1::2]
    sums = [list(accumulate(each, initial=0)) for each in (even, odd)]
    found = []
    for length, begins in _BEGINS:
        for start in compress(range(count - length + 1), pairs.translate(begins)):
            column = sums[(start + length) % 2]
            if (column[start + length] - column[start]) % 10 == 0:
                found.append((start, start + length))
    # By digit, and for the end: whether another digit stands directly before.
    inside = bytes(compress(b"\0" + is_digit, is_digit)) + b"\0"
    found.sort(key=lambda span: 2 * inside[span[0]] + inside[span[1]])
    taken = bytearray(count)
    chosen = []
    for start, end in found:
        if 1 not in taken[start:end]:
            taken[start:end] = b"\1" * (end - start)
            chosen.append((places[start], places[end - 1] + 1))
    return sorted(chosen)


def _found(pattern: Any, data: bytes) -> Iterator[tuple[int, int]]:
    """Where in UTF-8 the pattern finds something, in order; what is empty is nothing.

    Before it knows that a short match is all there is, a search may have to look at the whole text (`a(.*b)?`), and
    there may be as many matches as characters. So when whole searches have cost enough, the next ones look ahead
    by a bounded distance.
    """
    at = 0
    left = _WHOLE_SEARCHES + _WHOLE_SEARCHES_PER_BYTE * len(data)
    while at < len(data):
        left -= len(data) - at
        found = _next(pattern, data, at, len(data) if left > 0 else _AHEAD)
        if found is None:
            return
        start, end = found.span()
        if start == end:
            at = end + 1
            continue
        while data[start] & 0xC0 == 0x80:  # RE2's \C takes bytes out of the middle of a character
            start -= 1
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end += 1
        yield start, end
        at = end


def _next(pattern: Any, data: bytes, at: int, ahead: int) -> Any:
    """The next match from `at` on. It is believed when the search saw as much again behind it, and `ahead`/2 bytes at
    least; so a search costs no more than a small multiple of what it gets on by."""
    while True:
        stop = min(at + ahead, len(data))
        found = pattern.search(data, at, stop)
        if stop == len(data) or (found is not None and found.end() <= at + ahead // 2):
            return found
        ahead *= 2
