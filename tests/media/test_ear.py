"""The coarse ear for the caller's side: it speaks up once when somebody was plainly not heard."""

from __future__ import annotations

from callflow.media.ear import Ear
from callflow.sandbox import voices
from callflow.sandbox.phone import SILENT_FRAME, tone


def feed(ear: Ear, audio: bytes) -> int:
    return sum(ear.feed(audio[at : at + 160]) for at in range(0, len(audio), 160))


PAUSE = SILENT_FRAME * 80


def test_a_question_that_nobody_noticed_is_told_once() -> None:
    ear = Ear()
    assert feed(ear, voices.load("caller/hours")) == 0
    assert ear.hears_speech
    assert feed(ear, PAUSE) == 1
    assert feed(ear, PAUSE * 3) == 0


def test_whoever_has_stopped_is_not_heard_speaking() -> None:
    ear = Ear()
    feed(ear, voices.load("caller/hours") + PAUSE)
    assert not ear.hears_speech


def test_a_question_that_was_noticed_is_not() -> None:
    ear = Ear()
    audio = voices.load("caller/hours")
    assert feed(ear, audio[: len(audio) // 2]) == 0
    ear.began()
    feed(ear, audio[len(audio) // 2 :])
    ear.ended()
    assert feed(ear, PAUSE) == 0


def test_a_beginning_without_an_end_is_told() -> None:
    ear = Ear()
    ear.began()
    feed(ear, tone(100))
    assert feed(ear, PAUSE) == 1


def test_silence_a_hum_and_a_click_are_nothing() -> None:
    for sound in (PAUSE, tone(3000, 100.0, 0.015), tone(100)):
        ear = Ear()
        assert feed(ear, sound + PAUSE) == 0


def test_before_anybody_spoke_nobody_speaks() -> None:
    assert not Ear().hears_speech
