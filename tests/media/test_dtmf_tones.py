"""The tones of keys: a receiver hears each key once, and after a cut only what was missing is sent again."""

from __future__ import annotations

import pytest

from callflow.media.dtmf_tones import FREQUENCIES, PAUSE_MS, TONE_MS, left_of, tones
from callflow.media.g711 import BYTES_PER_MS, FRAME_BYTES, ULAW_TO_LINEAR
from tests.media.goertzel import keys_in, power


def test_every_key_is_heard_as_itself() -> None:
    keys = "".join(FREQUENCIES)
    assert len(keys) == 16
    assert keys_in(tones(keys)) == keys
    assert keys_in(tones("11#")) == "11#"


@pytest.mark.parametrize(("key", "low", "high"), [("1", 697, 1209), ("0", 941, 1336), ("#", 941, 1477)])
def test_a_tone_has_the_two_frequencies_of_q23_and_no_other_of_them(key: str, low: int, high: int) -> None:
    samples = [ULAW_TO_LINEAR[code] for code in tones(key)[: TONE_MS * BYTES_PER_MS]]
    for hz in (697, 770, 852, 941, 1209, 1336, 1477, 1633):
        there = power(samples, hz) > 0.01
        assert there == (hz in (low, high)), hz


def test_lengths_and_waits() -> None:
    assert len(tones("1")) == (TONE_MS + PAUSE_MS) * BYTES_PER_MS
    assert len(tones("wW")) == 1500 * BYTES_PER_MS
    assert keys_in(tones("1w2")) == "12"
    assert len(tones("12*w")) % FRAME_BYTES == 0
    with pytest.raises(KeyError):
        tones("x")


@pytest.mark.parametrize(
    ("heard_ms", "left"),
    [(0, "1w2"), (39, "1w2"), (40, "w2"), (150, "w2"), (690, "w2"), (700, "2"), (739, "2"), (740, ""), (5000, "")],
)
def test_after_a_cut_only_what_was_not_sent_is_left(heard_ms: int, left: str) -> None:
    assert left_of("1w2", heard_ms) == left
