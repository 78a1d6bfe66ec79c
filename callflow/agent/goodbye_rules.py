"""Decides what follows after an interrupted goodbye: the end is called off, and the next goodbye ends the call.

Callers often answer a goodbye with their own, and so interrupt the agent. A model that then says goodbye again does not
always call the tool that ends the call. Pure: time is an argument, in seconds.
"""

from __future__ import annotations

import re
from typing import Final, Literal


SECONDS: Final = 1.5
"""Seconds of quiet after the second goodbye until the call is ended."""
DOUBT_SECONDS: Final = 4.0
"""Seconds of quiet after a few words that may have been a goodbye in some language, until the agent asks."""
_FEW_WORDS: Final = 10
_WITHOUT_SPACES: Final = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")
"""Characters of scripts that put no space between words: two make a word."""
_QUESTION: Final = re.compile(r"[?\u061f\uff1f]")
# "Take care of", "пока" (while, so far) and "ha det" (have it) are no goodbyes in the middle of a sentence.
_GOODBYE: Final = re.compile(
    r"\b(?:(?:good[ -]?)?bye|farewell|take care(?! of)|tsch(?:ü|ue)(?:ss?|ß)|tschau|auf wieder(?:hören|sehen)|servus|"
    r"adi[oó]s|chao|hasta (?:luego|pronto)|au revoir|à bientôt|arrivederci|ciao|tchau|até (?:logo|breve)|adeus|doei|"
    r"tot ziens|do widzenia|hej ?då|ha det(?: bra)?(?=\W*$)|farvel|näkemiin|na shledanou|viszontlátásra|la revedere|"
    r"güle güle|hoşça ?kal|görüşürüz|до свидания|пока(?=\W*$|[.!])|до побачення)\b|"
    r"さようなら|失礼します|再见|再見|안녕히|مع السلامة|להתראות|अलविदा",
    re.IGNORECASE,
)

Next = Literal["", "end", "ask"]


def says_goodbye(text: str) -> bool:
    """Return whether a text contains a goodbye, in one of some 25 languages."""
    return _GOODBYE.search(text) is not None


def after(agent: str, caller: str) -> tuple[Next, float]:
    """Decide what follows the last texts of agent and caller, in a call whose end was called off, and after how many
    seconds of quiet.

    "end": the texts were the second goodbye. "ask": perhaps they were, so the agent announces the end and says goodbye.
    """
    if _QUESTION.search(agent) or _QUESTION.search(caller):
        return "", 0.0
    if says_goodbye(agent) or (says_goodbye(caller) and _is_short(agent)):
        return "end", SECONDS
    if agent and _is_short(agent) and _is_short(caller):
        return "ask", DOUBT_SECONDS
    return "", 0.0


def _is_short(text: str) -> bool:
    return len(text.split()) + len(_WITHOUT_SPACES.findall(text)) // 2 <= _FEW_WORDS
