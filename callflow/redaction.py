"""What nobody is to read is taken out of every text before it is written or shown anywhere. Pure.

Payment cards are found by their form and their check digit; what else there is to find, the settings say. Only words
are touched (what was said, typed or handed to a tool), never the names by which calls and items are known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final


CARD: Final = "[card number]"
REMOVED: Final = "[removed]"
WORDS: Final = frozenset(
    {
        "text", "heard_text", "unheard_text", "digits", "arguments", "output", "reason", "message", "detail", "changes",
    }
)  # fmt: skip
"""The fields of events and notes that hold words."""
_RUN: Final = re.compile(r"(?<![0-9A-Za-z])[0-9](?:[ .,/\-]{0,2}[0-9]){12,}(?![0-9A-Za-z])")
_TAIL: Final = re.compile(r"[0-9](?:[ .,/\-]{0,2}[0-9]){3,}[ .,/\-]*$")
"""Digits at the end of a text that goes on: perhaps the beginning of what would be taken out as a whole."""
_SHORTEST: Final = 13
_ISSUED: Final = tuple(
    re.compile(f"(?=(?P<card>{form}))")
    for form in (
        "4[0-9]{18}",
        "(?:[46][0-9]|5[0-8]|2[2-7]|35|81)[0-9]{14}",
        "3[47][0-9]{13}",
        "3[0689][0-9]{12}",
        "4[0-9]{12}",
    )
)
"""How the cards of the large issuers begin, and how long they are; wherever one may begin."""


class Redactor:
    def __init__(self, patterns: Iterable[str] = (), *, cards: bool = True) -> None:
        """Raises re.error for a pattern that is none."""
        self._patterns = [re.compile(pattern) for pattern in patterns]
        self._cards = cards

    def text(self, text: str) -> str:
        if self._cards and len(text) >= _SHORTEST:
            text = _RUN.sub(_without_cards, text)
        for pattern in self._patterns:
            text = pattern.sub(REMOVED, text)
        return text

    def unfinished(self, text: str) -> str:
        """Of a text that is still growing."""
        return self.text(_TAIL.sub("…", text) if self._cards else text)

    def data(self, value: Any) -> Any:
        """Every text within."""
        if isinstance(value, str):
            return self._json_or_text(value)
        if isinstance(value, Mapping):
            return {name: self.data(each) for name, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.data(each) for each in value]
        if isinstance(value, int) and not isinstance(value, bool):
            shown = str(value)
            return value if self.text(shown) == shown else self.text(shown)
        return value

    def fields(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """An event or a note: its words, and those of what it lists."""
        return {name: self._field(name, value) for name, value in event.items()}

    def _field(self, name: str, value: Any) -> Any:
        if name in WORDS:
            return self.data(value)
        if name == "so_far":
            return self.unfinished(value)
        if isinstance(value, list):
            return [self.fields(each) if isinstance(each, dict) else each for each in value]
        return value

    def _json_or_text(self, value: str) -> str:
        found = self.text(value)
        if found == value or value[:1] not in "{[":
            return found
        try:
            return json.dumps(self.data(json.loads(value)), ensure_ascii=False)  # a number in there must stay readable
        except (ValueError, RecursionError):
            return found


def _without_cards(run: re.Match[str]) -> str:
    """A run of digits may hold more than a card: its date and its code behind it, or a number before it. What begins
    and ends where groups of digits do is the likelier one."""
    text = run[0]
    places = [index for index, each in enumerate(text) if each.isdigit()]
    digits = "".join(text[index] for index in places)
    forms = [match for form in _ISSUED for match in form.finditer(digits)]
    found = [match.span("card") for match in forms if _is_card(match["card"])]
    found.sort(key=lambda span: (_is_inside(places, span[0] - 1), _is_inside(places, span[1] - 1)))
    taken: list[tuple[int, int]] = []
    for start, end in found:
        if all(end <= other[0] or start >= other[1] for other in taken):
            taken.append((start, end))
    for start, end in sorted(taken, reverse=True):
        text = text[: places[start]] + CARD + text[places[end - 1] + 1 :]
    return text


def _is_inside(places: list[int], index: int) -> bool:
    """This digit and the next one stand side by side."""
    return 0 <= index < len(places) - 1 and places[index + 1] == places[index] + 1


def _is_card(digits: str) -> bool:
    """ISO/IEC 7812: the check digit."""
    numbers = [int(each) for each in digits]
    doubled = (number * 2 - 9 * (number > 4) for number in numbers[-2::-2])
    return any(numbers) and (sum(numbers[::-2]) + sum(doubled)) % 10 == 0
