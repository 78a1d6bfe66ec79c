"""How a response ended, by what came of it."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.engines.openai_realtime.response_endings import ResponseEndings
from callflow.sandbox.common.phone import SILENT_FRAME, tone


VOICE = tone(100)


def test_audio_that_says_of_no_response_belongs_to_the_next_one_that_ends() -> None:
    endings = ResponseEndings()
    endings.add_audio("", "i", VOICE)
    endings.add_words("", "j")
    ending, items = endings.end("r", "completed", "", [], calls=False)
    assert (ending.sounds, ending.texts, items) == (True, True, ("i", "j"))
    ending, items = endings.end("s", "completed", "", [], calls=False)
    assert (ending.sounds, ending.texts, items) == (False, False, ()), "and to no other"


@pytest.mark.parametrize(
    ("audio", "sounds"),
    [
        (VOICE, True),
        (VOICE[:240], True),
        (b"", False),
        (SILENT_FRAME * 500, False),
        (b"\xfe\x7e" * 8000, False),  # the faintest noise that there is
        (SILENT_FRAME * 50 + VOICE[:80], False),  # a click of 10 ms
        (SILENT_FRAME * 50 + tone(40, level=0.02), True),  # soft, and plainly there
    ],
    ids=["a tone", "30 ms", "nothing", "silence", "an idle line", "a click", "soft"],
)
def test_what_counts_as_a_sound(audio: bytes, sounds: bool) -> None:
    endings = ResponseEndings()
    endings.add_audio("r", "i", audio)
    assert endings.end("r", "completed", "", [], calls=False)[0].sounds is sounds


def test_a_server_that_ends_nothing_and_one_that_lists_for_ever_take_no_room() -> None:
    endings = ResponseEndings()
    for number in range(1000):
        endings.add_words(f"r{number}", "i")
        endings.add_words("r", f"i{number}")
    assert len(endings._tallies) <= 64
    output: list[Any] = [{"type": "message", "id": f"m{number}"} for number in range(1000)]
    assert len(endings.end("r", "completed", "", output, calls=False)[1]) == 64
