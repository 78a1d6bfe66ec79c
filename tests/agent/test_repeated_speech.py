"""A recording that plays again and again is recognised, and a person who repeats an answer is not one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.agent.repeated_speech import RepeatedSpeech


HOLD = "Please hold the line, your call is important."


def test_the_third_time_counts_and_each_one_after_it() -> None:
    speech = RepeatedSpeech()
    assert [speech.hears(HOLD) for _ in range(5)] == [False, False, True, True, True]


def test_punctuation_case_and_spaces_are_no_difference_and_a_word_is() -> None:
    speech = RepeatedSpeech()
    assert not speech.hears(HOLD)
    assert not speech.hears("please HOLD, the line: your call is important!")
    assert not speech.hears("Please hold the line, your call was important.")
    assert not speech.hears("the line please hold, your call is important")
    assert speech.hears("  Please hold the line... your call is important")


def test_other_texts_in_between_do_not_hide_it() -> None:
    speech = RepeatedSpeech()
    heard = [
        speech.hears(HOLD) or speech.hears(f"You are number {number} in the queue of this line.") for number in range(3)
    ]
    assert heard == [False, False, True]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("您的电话对我们很重要请稍候", id="Chinese"),
        pytest.param("ただいま電話が大変混み合っております", id="Japanese"),
        pytest.param("กรุณาถือสายรอสักครู่", id="Thai"),
        pytest.param("कृपया लाइन पर बने रहें", id="Hindi"),
        pytest.param("잠시만 기다려 주시기 바랍니다", id="Korean"),
    ],
)
def test_a_recording_is_recognised_in_scripts_without_blanks_too(text: str) -> None:
    """Its whole sentence counted as one word, and people repeat single words."""
    speech = RepeatedSpeech()
    assert [speech.hears(text) for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "...", "Yes.", "Yes, please, thanks.", "Are you there?",
        "喂 你好", "もしもし", "はい、そうです。", "สวัสดีครับ", "नमस्ते जी", "여보세요",
    ],
)  # fmt: skip
def test_what_people_repeat_is_never_a_recording(text: str) -> None:
    speech = RepeatedSpeech()
    assert not any(speech.hears(text) for _ in range(20))


def test_four_words_are_enough() -> None:
    speech = RepeatedSpeech()
    assert [speech.hears("all lines are busy") for _ in range(3)] == [False, False, True]


def test_what_was_said_long_ago_is_forgotten_and_little_is_kept() -> None:
    speech = RepeatedSpeech()
    speech.hears(HOLD)
    speech.hears(HOLD)
    for number in range(1000):
        speech.hears(f"this is sentence number {number}")
    assert not speech.hears(HOLD)
    assert len(speech._texts) <= 24


@given(st.lists(st.text(alphabet="ab ,", max_size=9), max_size=20))
def test_it_never_speaks_up_before_the_third_time(texts: list[str]) -> None:
    speech = RepeatedSpeech()
    for at, text in enumerate(texts):
        words = text.replace(",", " ").split()
        before = [other.replace(",", " ").split() for other in texts[: at + 1]]
        assert speech.hears(text) == (len(words) >= 4 and before.count(words) >= 3)
