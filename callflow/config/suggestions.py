"""Guess which setting was meant by an unknown name. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Final


_OURS: Final = "callflow_"
"""A prefix that people put before our names, as other programs have one."""
_NEAR: Final = 0.75
_VERY_NEAR: Final = 0.85
_TESTS: Final = frozenset({"CALLFLOW_SCHEMAS"})
"""Variables that only the tests read."""
_VENDORS: Final = frozenset(
    {"openai", "telnyx", "twilio", "ngrok", "realtime", "praisonai", "callflow", "console", "vad"}
)
_TOLD: Final = _VENDORS - {"ngrok", "console", "vad"}
"""No other program's names begin with these."""
_LEAST: Final = 5
"""Letters that a name needs to be guessed at among many foreign ones: `MODE` is not meant as `MODEL`."""


def meant(given: str, names: Iterable[str], *, among_others: bool = False) -> str | None:
    """Return the name of `names` that was probably meant; None for a known name and for one that is like no other.

    `among_others`: it stands among many names that are not for Callflow, so that it must be more alike.
    """
    known = list(names)
    if given in known:
        return None
    name = given.strip().lower().replace("-", "_").removeprefix(_OURS)
    if not name:
        return None
    for each in known:
        if name == each or _bare(name) == _bare(each):
            return each
    first, _, rest = name.partition("_")
    while first in _VENDORS and rest:  # OPENAI_MODEL, OPENAI_REALTIME_MODEL
        if rest in known:
            return rest
        first, _, rest = rest.partition("_")
    if among_others and not has_vendor(name) and len(name) < _LEAST:
        return None
    cutoff = _VERY_NEAR if among_others and not has_vendor(name) else _NEAR
    near = next(iter(difflib.get_close_matches(name, known, n=1, cutoff=cutoff)), None)
    return near or _shortened(name, known, among_others)


def is_near(given: str, name: str) -> bool:
    """Return whether one name looks like the other, mistyped."""
    return _likeness(given.lower(), name) >= _NEAR


def has_vendor(name: str) -> bool:
    """Return whether the first word of a name is that of a carrier, of the model's vendor or of Callflow."""
    return name.lower().partition("_")[0] in _VENDORS


def is_for_us(name: str) -> bool:
    """Return whether a name was meant for Callflow or an earlier system, even when it is like no setting."""
    first, underscore, _ = name.lower().partition("_")
    return bool(underscore) and first in _TOLD and name.upper() not in _TESTS


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _bare(name: str) -> str:
    return name.replace("_", "")


def _shortened(name: str, known: Sequence[str], among_others: bool) -> str | None:
    """Return the name that has these words in this order (`openai_key`: `openai_api_key`); None: none has."""
    words = name.split("_")
    if len(words) < 2 or (among_others and not has_vendor(name)):
        return None
    found = [each for each in known if _within(words, each.split("_"))]
    return min(found, key=lambda each: (each.count("_"), -_likeness(name, each)), default=None)


def _within(words: Sequence[str], of: Sequence[str]) -> bool:
    rest = iter(of)
    return all(word in rest for word in words)
