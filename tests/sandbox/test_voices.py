"""The recordings that everything else relies on: audible, trimmed, in the format they claim."""

from __future__ import annotations

import math
import tomllib
from importlib.resources import files

import pytest

from callflow.media.g711 import FRAME_BYTES, ULAW_TO_LINEAR
from callflow.sandbox import voices


def _clips() -> dict[str, bytes]:
    folder = files("callflow.media").joinpath("clips", "en")
    names = tomllib.loads(folder.joinpath("clips.toml").read_text("utf-8"))
    return {f"clips/{name}": folder.joinpath(f"{name}.ulaw").read_bytes() for name in names}


RECORDINGS = {name: voices.load(name) for name in voices.TEXTS} | _clips()


def _decibels(ulaw: bytes) -> float:
    power = sum(ULAW_TO_LINEAR[code] ** 2 for code in ulaw) / len(ulaw)
    return 10 * math.log10(max(power, 1.0) / 32768**2)


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_is_audible(name: str) -> None:
    ulaw = RECORDINGS[name]
    peak = 20 * math.log10(max(abs(ULAW_TO_LINEAR[code]) for code in ulaw) / 32768)
    assert -28 < _decibels(ulaw) < -18
    assert -7 < peak < -5


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_is_trimmed(name: str) -> None:
    ulaw = RECORDINGS[name]
    loud = [n for n in range(0, len(ulaw), FRAME_BYTES) if _decibels(ulaw[n : n + FRAME_BYTES]) > -45]
    assert loud[0] / 8 <= 100
    assert (len(ulaw) - loud[-1]) / 8 <= 120
    assert _decibels(ulaw[:320]) < -60, "it begins with silence, without a click"
    assert _decibels(ulaw[-320:]) < -60
    assert 1 < len(ulaw) / 8000 < 13


def test_the_two_voices_differ() -> None:
    """The agent's pitch is a woman's, the caller's a man's."""
    assert _pitch(voices.load("agent/greeting")) > 1.25 * _pitch(voices.load("caller/interruption"))


def _pitch(ulaw: bytes) -> float:
    """Hz of the strongest repetition between 70 and 320 Hz, by autocorrelation."""
    samples = [ULAW_TO_LINEAR[code] for code in ulaw[4000:12000]]
    strength = {
        lag: sum(a * b for a, b in zip(samples, samples[lag:], strict=False)) for lag in range(8000 // 320, 8000 // 70)
    }
    return 8000 / max(strength, key=strength.__getitem__)


def test_every_text_has_a_recording_and_the_names_say_who_speaks() -> None:
    assert {name.partition("/")[0] for name in voices.TEXTS} == set(voices.SPEAKERS)
    assert voices.TEXTS["caller/interruption"] == "Wait, just tell me about tomorrow please."


def test_an_unknown_recording_is_an_error_that_names_the_known() -> None:
    with pytest.raises(KeyError, match="agent/greeting"):
        voices.load("agent/../../secrets")
