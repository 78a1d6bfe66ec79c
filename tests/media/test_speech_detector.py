"""The coarse ear for the caller's side: it speaks up once when somebody was plainly not heard."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable

import pytest

from callflow.media.g711 import pcm16_to_ulaw
from callflow.media.speech_detector import SpeechDetector
from callflow.media.speech_features import judge
from callflow.sandbox import voices
from callflow.sandbox.common.phone import SILENT_FRAME, tone


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


@pytest.mark.parametrize("name", ["hours", "account", "bye", "order", "thanks", "interruption"])
def test_speech_is_told_from(name: str) -> None:
    recording = voices.load(f"caller/{name}")
    assert judge([recording]) == "speech"
    assert judge([SILENT_FRAME * 50, recording, SILENT_FRAME * 75]) == "speech"
    assert feed(SpeechDetector(), recording + PAUSE) == ["speech"]


def synthetic(seconds: float, sample: Callable[[float], float]) -> bytes:
    samples = (max(-32767, min(32767, int(sample(n / 8000)))) for n in range(round(seconds * 8000)))
    return pcm16_to_ulaw(array("h", samples).tobytes())


def sines(at: float, *hertz: float) -> float:
    return sum(math.sin(2 * math.pi * one * at) for one in hertz)


DICE = random.Random(7)
SCALE = (262, 330, 392, 523, 440, 349, 294, 392)
NO_SPEECH: dict[str, bytes] = {
    "silence": PAUSE,
    "a hum of the line": tone(3000, 100.0, 0.015),
    "a loud hum": synthetic(3, lambda at: 6000 * sines(at, 100) + 2000 * sines(at, 300)),
    "a click": tone(100),
    "a tone": tone(2000),
    "ringback": synthetic(3, lambda at: 6000 * sines(at, 440, 480) * (at % 0.8 < 0.4)),
    "beeps": synthetic(3, lambda at: 9000 * sines(at, 1000) * (at % 0.4 < 0.15)),
    "keys of the telephone": synthetic(3, lambda at: 7000 * sines(at, 697, 1209) * (at % 0.3 < 0.15)),
    "white noise": synthetic(3, lambda at: DICE.gauss(0, 4000)),
    "gusts": synthetic(4, lambda at: DICE.gauss(0, 5000) * (0.5 + 0.5 * sines(at, 1.3)) ** 2),
    "claps": synthetic(3, lambda at: DICE.gauss(0, 15000) * math.exp(-(at % 0.3) * 40)),
    "a keyboard": synthetic(3, lambda at: DICE.gauss(0, 9000) * (at % 0.22 < 0.02)),
    "a siren": synthetic(3, lambda at: 9000 * sines(at, 600 + 60 * sines(at, 0.5))),
    "a held chord": synthetic(3, lambda at: 3000 * sines(at, 262, 330, 392) * (0.6 + 0.4 * sines(at, 0.5))),
    "a melody": synthetic(
        3.2, lambda at: 9000 * math.exp(-(at % 0.4) * 4) * sines(at, SCALE[int(at / 0.4) % 8])
    ),
    "drums and chords": synthetic(
        4, lambda at: DICE.gauss(0, 9000) * math.exp(-(at % 0.5) * 25) + 1800 * sines(at, 220, 277, 330)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_SPEECH)
def test_music_and_noise_are_no_speech(name: str) -> None:
    assert feed(SpeechDetector(), NO_SPEECH[name] + PAUSE * 2) == []
    assert judge([NO_SPEECH[name]]) != "speech"


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
