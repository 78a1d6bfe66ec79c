"""A goodbye that the caller broke into: the end is called off, and the next goodbye ends the call for good.

Callers answer a goodbye with one of theirs, and break in by that. A model that then says goodbye once more does not
always think of ending the call again. Pure: time is an argument, in seconds.
"""

from __future__ import annotations

import re
from typing import Final, Literal


SECONDS: Final = 1.5
"""Of quiet after the second goodbye."""
DOUBT_SECONDS: Final = 4.0
"""Of quiet after a few words that may have been one, in whatever language."""
_FEW_WORDS: Final = 10
_QUESTION: Final = re.compile(r"[?\u061f\uff1f]")
_GOODBYE: Final = re.compile(
    r"\b(?:(?:good[ -]?)?bye|farewell|take care|tsch(?:ü|ue)ss|tschau|auf wieder(?:hören|sehen)|servus|adi[oó]s|chao|"
    r"hasta (?:luego|pronto)|au revoir|à bientôt|arrivederci|ciao|tchau|até (?:logo|breve)|adeus|doei|tot ziens|"
    r"do widzenia|hej ?då|ha det|farvel|näkemiin|na shledanou|viszontlátásra|la revedere|güle güle|hoşça ?kal|"
    r"görüşürüz|до свидания|пока|до побачення)\b|さようなら|失礼します|再见|再見|안녕히|مع السلامة|להתראות|अलविदा",
    re.IGNORECASE,
)

Next = Literal["", "end", "ask"]


def says_goodbye(text: str) -> bool:
    return _GOODBYE.search(text) is not None


def after(agent: str, caller: str) -> tuple[Next, float]:
    """What follows when nobody has spoken for so many seconds after an exchange in a call whose end was called off.

    "end": it was the second goodbye; "ask": it may have been, so the agent says that it ends the call, and does.
    """
    if _QUESTION.search(agent) or _QUESTION.search(caller):
        return "", 0.0
    if says_goodbye(agent) or (says_goodbye(caller) and _is_short(agent)):
        return "end", SECONDS
    if agent and _is_short(agent) and _is_short(caller):
        return "ask", DOUBT_SECONDS
    return "", 0.0


def _is_short(text: str) -> bool:
    return len(text.split()) <= _FEW_WORDS
