"""Turn detection: speech is found, a quiet line is not."""

from __future__ import annotations

import random
from array import array
from typing import Any

import pytest

from callflow.media import g711
from callflow.sandbox import voices
from callflow.sandbox.openai_realtime.script import encode, tone
from callflow.sandbox.openai_realtime.vad import Speech, Vad


def server_vad(**settings: Any) -> dict[str, Any]:
    return {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500} | settings


def edges(ulaw: bytes, audio_format: str = "audio/pcmu", step: int = 160, **settings: Any) -> list[Speech]:
    vad = Vad(server_vad(**settings), audio_format)
    audio = encode(ulaw, audio_format)
    return [edge for n in range(0, len(audio), step) for edge in vad.feed(audio[n : n + step])]


def noise(decibels: float, seconds: float, seed: int = 1) -> bytes:
    deviation = 32768 * 10 ** (decibels / 20)
    source = random.Random(seed)
    samples = (round(source.gauss(0, deviation)) for _ in range(round(seconds * 8000)))
    return g711.pcm16_to_ulaw(array("h", (max(-32768, min(32767, one)) for one in samples)).tobytes())


SECOND = b"\xff" * 8000


@pytest.mark.parametrize("name", voices.TEXTS)
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.6, 0.8])
def test_each_voice_is_one_utterance(name: str, threshold: float) -> None:
    ulaw = voices.load(name)
    started, stopped = edges(SECOND + ulaw + SECOND, threshold=threshold)
    assert started.edge == "started"
    assert 700 <= started.at_ms <= 900, "50 ms of silence, then speech; 300 ms of padding before"
    assert stopped.edge == "stopped"
    end_of_speech = stopped.at_ms - 500
    assert 1000 + len(ulaw) / 8 - 350 < end_of_speech < 1000 + len(ulaw) / 8 + 40


@pytest.mark.parametrize("audio_format", ["audio/pcmu", "audio/pcma", "audio/pcm"])
@pytest.mark.parametrize("step", [77, 160, 1001, 100_000])
def test_format_and_packet_size_make_no_difference(audio_format: str, step: int) -> None:
    ulaw = SECOND + voices.load("caller/thanks") + SECOND
    assert edges(ulaw, audio_format, step) == edges(ulaw)


@pytest.mark.parametrize("decibels", [-70, -60, -55, -50])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.6])
def test_comfort_noise_is_silence(decibels: float, threshold: float) -> None:
    assert edges(noise(decibels, 5), threshold=threshold) == []


def test_speech_ends_in_comfort_noise_too() -> None:
    assert [edge.edge for edge in edges(noise(-55, 1) + voices.load("caller/hours") + noise(-55, 1))] == [
        "started",
        "stopped",
    ]


def test_a_click_is_no_speech() -> None:
    assert edges(SECOND + tone(0.03) + SECOND) == []


def test_quiet_speech_needs_a_low_threshold() -> None:
    quiet = bytes(
        g711.pcm16_to_ulaw(array("h", (n // 25 for n in map(g711.ULAW_TO_LINEAR.__getitem__, tone(1)))).tobytes())
    )
    assert edges(quiet + SECOND, threshold=0.9) == []
    assert len(edges(quiet + SECOND, threshold=0.3)) == 2


def test_padding_reaches_back_to_the_turn_before_at_most() -> None:
    ulaw = tone(0.3) + b"\xff" * 1760 + tone(0.3) + SECOND
    assert edges(ulaw, silence_duration_ms=200) == [
        Speech("started", 0),
        Speech("stopped", 500),
        Speech("started", 500),
        Speech("stopped", 1020),
    ]
    assert len(edges(ulaw)) == 2


def test_an_eager_semantic_detection_ends_the_turn_sooner() -> None:
    ulaw = voices.load("caller/hours") + SECOND + SECOND
    ends = []
    for eagerness in ("high", "auto", "low"):
        *_, stopped = Vad({"type": "semantic_vad", "eagerness": eagerness}, "audio/pcmu").feed(ulaw)
        ends.append(stopped.at_ms)
    assert ends == sorted(set(ends))
