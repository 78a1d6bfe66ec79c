"""Which setting was meant by a name that is none. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Final


_OURS: Final = "callflow_"
"""What other programs would put before each of their names."""
_NEAR: Final = 0.75
_VERY_NEAR: Final = 0.85
_TESTS: Final = frozenset({"CALLFLOW_SCHEMAS"})
"""Read by the tests alone."""
_VENDORS: Final = frozenset(
    {"openai", "telnyx", "twilio", "ngrok", "realtime", "praisonai", "callflow", "console", "vad"}
)
_TOLD: Final = _VENDORS - {"ngrok", "console", "vad"}
"""Nobody else's names begin with these."""
_LEAST: Final = 5
"""Letters of a name among many foreign ones: `MODE` is no `MODEL`."""


def meant(given: str, names: Iterable[str], *, among_others: bool = False) -> str | None:
    """The name that was probably meant; None for one that is itself known, and for one that is like no other.

    `among_others`: it stands among many that have nothing to do with us, so that it must be nearer.
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
    return _likeness(given.lower(), name) >= _NEAR


def has_vendor(name: str) -> bool:
    """Its first word is that of a carrier, of the model's vendor or of Callflow itself."""
    return name.lower().partition("_")[0] in _VENDORS


def is_for_us(name: str) -> bool:
    """It was meant for Callflow, or for an earlier system, whatever it is."""
    first, underscore, _ = name.lower().partition("_")
    return bool(underscore) and first in _TOLD and name.upper() not in _TESTS


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _bare(name: str) -> str:
    return name.replace("_", "")


def _shortened(name: str, known: Sequence[str], among_others: bool) -> str | None:
    """`openai_key` for `openai_api_key`, `silence_ms` for `vad_silence_ms`: some of its words, in their order."""
    words = name.split("_")
    if len(words) < 2 or (among_others and not has_vendor(name)):
        return None
    found = [each for each in known if _within(words, each.split("_"))]
    return min(found, key=lambda each: (each.count("_"), -_likeness(name, each)), default=None)


def _within(words: Sequence[str], of: Sequence[str]) -> bool:
    rest = iter(of)
    return all(word in rest for word in words)
