"""Speech and what is none, by the measures of the sound alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.media.speech_features import Features, judge
from callflow.sandbox import voices
from callflow.sandbox.common.phone import SILENT_FRAME, tone
from tests.media.sounds import NO_SPEECH


HOURS = voices.load("caller/hours")
QUIET = bytes([0xFF]) * 160


@pytest.mark.parametrize("name", ["hours", "account", "bye", "order", "thanks", "interruption"])
def test_speech_is_told_with_and_without_a_silence_around_it(name: str) -> None:
    recording = voices.load(f"caller/{name}")
    assert judge([recording]) == "speech"
    assert judge([SILENT_FRAME * 50, recording, SILENT_FRAME * 75]) == "speech"


@pytest.mark.parametrize("name", NO_SPEECH)
def test_music_and_noise_are_no_speech(name: str) -> None:
    assert judge([NO_SPEECH[name]]) != "speech"


@pytest.mark.parametrize(
    "frames",
    [[], [b""], [b"", b""], [b"\x00"], [bytes(159)], [HOURS[:320]], [QUIET] * 500, [SILENT_FRAME] * 500],
    ids=["nothing", "an empty piece", "two", "a byte", "not a frame", "two frames", "silence", "digital silence"],
)
def test_of_too_little_nothing_can_be_told(frames: list[bytes]) -> None:
    assert judge(frames) == ""


@pytest.mark.parametrize("code", [0x00, 0x80, 0x55, 0xAA])
def test_a_line_that_stands_at_one_value_does_not_speak(code: int) -> None:
    assert judge([bytes([code]) * 16_000]) != "speech"


def test_a_beep_is_noise_and_a_click_is_nothing() -> None:
    assert judge([tone(2000)]) == "noise"
    assert judge([QUIET * 20, tone(40), QUIET * 20]) == ""


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(1, 20))
def test_how_the_audio_was_cut_into_pieces_makes_no_difference(seed: int, pieces: int) -> None:
    dice = random.Random(seed)
    ends = sorted(dice.randrange(len(HOURS)) for _ in range(pieces))
    whole, parts = Features(250), Features(250)
    whole.add(HOURS)
    for start, end in zip([0, *ends], [*ends, len(HOURS)], strict=True):
        parts.add(HOURS[start:end])
        if not dice.randrange(4):
            parts.verdict()
    assert parts.verdict() == whole.verdict()
    assert (parts._levels, parts._crossings) == (whole._levels, whole._crossings)


@given(st.binary(max_size=4000))
def test_any_bytes_have_a_verdict(audio: bytes) -> None:
    assert judge([audio]) in ("speech", "noise", "")


def test_only_the_newest_pieces_are_kept_however_long_a_call_is() -> None:
    features = Features(100)
    features.add(HOURS)
    for _ in range(100):
        features.add(SILENT_FRAME * 10)
        assert len(features._levels) <= 100
        assert len(features._rest) < 16 * 160
    assert features.verdict() == "", "the speech was long ago"


@pytest.mark.parametrize("most", [0, 1, 50, 150, 10_000])
def test_all_but_so_many_pieces_can_be_forgotten(most: int) -> None:
    features = Features(250)
    features.add((HOURS + HOURS)[: 160 * 100])
    levels, crossings = list(features._levels), list(features._crossings)
    features.keep(most)
    assert list(features._levels) == levels[max(100 - most, 0) :]
    assert list(features._crossings) == crossings[max(100 - most, 0) :]
    assert len(levels) == 100


def test_what_is_cleared_is_not_judged_and_what_comes_after_it_is() -> None:
    features = Features(250)
    features.add(HOURS + b"\x00" * 100)
    features.clear()
    assert features.verdict() == ""
    features.add(HOURS)
    assert features.verdict() == "speech"


def test_silence_has_no_level_and_no_crossing_and_the_loudest_alternating_sound_has_the_most() -> None:
    features = Features(250)
    features.add(QUIET * 16 + bytes([0x00, 0x80]) * 80 * 16)
    features.verdict()
    assert list(features._levels) == [0] * 16 + [features._levels[-1]] * 16
    assert features._levels[-1] == 160 * 104
    assert list(features._crossings) == [0] * 16 + [159] * 16
