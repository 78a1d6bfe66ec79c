"""The coarse ear for the caller's side: it speaks up once when somebody was plainly not heard."""

from __future__ import annotations

import pytest

from callflow.media.speech_detector import SpeechDetector
from callflow.media.speech_features import judge
from callflow.sandbox import voices
from callflow.sandbox.common.phone import SILENT_FRAME, tone
from tests.media.sounds import NO_SPEECH


def feed(ear: SpeechDetector, audio: bytes) -> list[str]:
    told = [ear.feed(audio[at : at + 160]) for at in range(0, len(audio), 160)]
    return [each for each in told if each]


PAUSE = SILENT_FRAME * 80


def test_a_question_that_nobody_noticed_is_told_once() -> None:
    ear = SpeechDetector()
    assert feed(ear, voices.load("caller/hours")) == []
    assert ear.hears_speech
    assert feed(ear, PAUSE) == ["speech"]
    assert feed(ear, PAUSE * 3) == []


def test_a_word_that_is_hardly_one_is_not_told() -> None:
    audio = voices.load("caller/hours")[: 8 * 600]
    assert judge([audio]) == "speech"
    assert feed(SpeechDetector(), audio + PAUSE) == []


def test_what_was_said_before_a_late_beginning_is_judged_with_it() -> None:
    ear = SpeechDetector()
    feed(ear, voices.load("caller/hours"))
    ear.began()
    feed(ear, SILENT_FRAME * 5)
    ear.ended()
    assert ear.verdict == "speech"


def test_whoever_has_stopped_is_not_heard_speaking() -> None:
    ear = SpeechDetector()
    feed(ear, voices.load("caller/hours") + PAUSE)
    assert not ear.hears_speech


def test_a_question_that_was_noticed_is_not() -> None:
    ear = SpeechDetector()
    audio = voices.load("caller/hours")
    assert feed(ear, audio[: len(audio) // 2]) == []
    ear.began()
    feed(ear, audio[len(audio) // 2 :])
    ear.ended()
    assert feed(ear, PAUSE * 2) == []
    assert ear.verdict == "speech"


def test_a_beginning_without_an_end_is_told() -> None:
    ear = SpeechDetector()
    ear.began()
    feed(ear, tone(100))
    assert feed(ear, PAUSE) == []
    assert feed(ear, PAUSE) == ["end"]
    ear.ended()
    assert ear.verdict == "noise"


def test_somebody_whom_only_the_engine_hears_has_more_time() -> None:
    ear = SpeechDetector()
    feed(ear, PAUSE * 2)
    ear.began()
    assert feed(ear, PAUSE * 3) == []
    assert feed(ear, PAUSE) == ["end"]


@pytest.mark.parametrize("pauses", [0.5, 1, 1.5])
def test_somebody_who_was_loud_a_moment_before_and_speaks_softly_now_has_it_too(pauses: float) -> None:
    ear = SpeechDetector()
    ear.began()
    feed(ear, tone(300))
    ear.ended()
    feed(ear, SILENT_FRAME * int(pauses * 80))
    ear.began()
    assert feed(ear, PAUSE * 3) == [], "the soft turn was ended in the middle"
    assert feed(ear, PAUSE * 2) == ["end"]


@pytest.mark.parametrize("name", ["hours", "account", "bye", "order", "thanks", "interruption"])
def test_speech_is_told_from(name: str) -> None:
    recording = voices.load(f"caller/{name}")
    assert feed(SpeechDetector(), recording + PAUSE) == ["speech"]


@pytest.mark.parametrize("name", NO_SPEECH)
def test_music_and_noise_are_no_speech(name: str) -> None:
    assert feed(SpeechDetector(), NO_SPEECH[name] + PAUSE * 2) == []


def test_before_anybody_spoke_nobody_speaks() -> None:
    assert not SpeechDetector().hears_speech


@pytest.mark.parametrize("soft_ms", [0, 500, 3000])
def test_a_voice_that_is_too_soft_for_it_is_not_heard_any_longer_than_the_engine_hears_it(soft_ms: int) -> None:
    """It counted as speech for four seconds from its beginning, so that no clip was played and no session changed."""
    ear = SpeechDetector()
    feed(ear, SILENT_FRAME * 150)
    ear.began()
    heard = [ear.hears_speech]
    for _ in range(soft_ms // 20):
        ear.feed(SILENT_FRAME)
        heard.append(ear.hears_speech)
    ear.ended()
    for _ in range(300):
        heard.append(ear.hears_speech)
        assert ear.feed(SILENT_FRAME) == ""
    assert not any(heard)
