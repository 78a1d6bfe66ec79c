"""Recognises a recording that plays again and again: an announcement, or another machine. Pure."""

from __future__ import annotations

import re
from typing import Final


_WORD: Final = re.compile(r"\w+")
_FEW_WORDS: Final = 4
"""People repeat shorter texts: "yes, please", "are you there?"."""
_TIMES: Final = 3
_REMEMBERED: Final = 24


class RepeatedSpeech:
    """The last texts of one caller."""

    def __init__(self) -> None:
        self._texts: list[tuple[str, ...]] = []

    def hears(self, text: str) -> bool:
        """Take the text of a turn. Returns whether it is heard for the third time, or more often, word for word."""
        words = tuple(_WORD.findall(text.casefold()))
        if len(words) < _FEW_WORDS:
            return False
        self._texts.append(words)
        del self._texts[:-_REMEMBERED]
        return self._texts.count(words) >= _TIMES
