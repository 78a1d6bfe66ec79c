"""Recognises a recording that plays again and again: an announcement, or another machine. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Final


_FEW_WORDS: Final = 4
"""People repeat shorter texts: "yes, please", "are you there?"."""
_LETTERS_A_WORD: Final[Mapping[str, int]] = {
    "CJK": 2, "HIRAGANA": 3, "KATAKANA": 3, "THAI": 4, "LAO": 4, "KHMER": 4, "MYANMAR": 4, "TIBETAN": 4,
}  # fmt: skip
"""About so many characters make a word where words are written without blanks, by the script's name in Unicode."""
_TIMES: Final = 3
_REMEMBERED: Final = 24


class RepeatedSpeech:
    """The last texts of one caller."""

    def __init__(self) -> None:
        self._texts: list[tuple[str, ...]] = []

    def hears(self, text: str) -> bool:
        """Take the text of a turn. Returns whether it is heard for the third time, or more often, word for word."""
        words = tuple("".join(map(_or_blank, text.casefold())).split())
        if sum(map(_length, words)) < _FEW_WORDS:
            return False
        self._texts.append(words)
        del self._texts[:-_REMEMBERED]
        return self._texts.count(words) >= _TIMES


def _or_blank(character: str) -> str:
    """Return a character of a word, or a blank. Vowels and tones that are marks belong to their word: Thai, Hindi."""
    return character if character.isalnum() or unicodedata.category(character).startswith("M") else " "


def _length(word: str) -> float:
    """Return how many words this is about, which is written without a blank."""
    scripts = [unicodedata.name(character, "").partition(" ")[0] for character in word]
    return max(1.0, sum(1 / _LETTERS_A_WORD[script] for script in scripts if script in _LETTERS_A_WORD))
