"""Which format the engine's audio really has, and the way from and to the telephone's."""

from __future__ import annotations

import base64
import random

import pytest

from callflow.engines.audio import PCM24, PCMU, FromTelephone, ToTelephone, looks_like
from callflow.media.g711 import ulaw_to_pcm16
from callflow.sandbox import voices
from callflow.sandbox.phone import loud_bytes
from callflow.sandbox.realtime.script import encode, tone


LINES = sorted(voices.TEXTS)
SOUNDS = {
    **{name: voices.load(name) for name in LINES},
    **{f"{hz} Hz at {amplitude}": tone(1.0, hz, amplitude) for hz in (100, 440, 1000) for amplitude in (300, 20000)},
    "silence": b"\xff" * 8000,
    "the other silence": b"\x7f" * 8000,
}


@pytest.mark.parametrize("name", SOUNDS)
def test_the_beginning_of_any_sound_is_taken_for_what_it_is(name: str) -> None:
    ulaw = SOUNDS[name]
    assert looks_like(ulaw[:960]) in (PCMU, None), "µ-law must never be taken for PCM"
    assert looks_like(encode(ulaw, "audio/pcm")[:2880]) == PCM24


def test_nothing_within_speech_is_taken_for_pcm() -> None:
    wrong = [
        (name, start)
        for name in LINES
        for start in range(0, len(voices.load(name)) - 960, 320)
        if looks_like(voices.load(name)[start : start + 960]) == PCM24
    ]
    assert wrong == []


def test_too_little_tells_nothing() -> None:
    assert looks_like(b"") is None
    assert looks_like(b"\x00") is None


def fed(way: ToTelephone, audio: bytes, size: int) -> bytes:
    return b"".join(way.feed(audio[at : at + size]) for at in range(0, len(audio), size)) + way.end()


@pytest.mark.parametrize("size", [1, 7, 160, 1001, 100_000])
def test_mu_law_passes_untouched_and_at_once(size: int) -> None:
    ulaw = voices.load("agent/greeting")
    way = ToTelephone(PCMU)
    first = way.feed(ulaw[:size])
    assert first == ulaw[:size], "nothing is held back"
    assert first + fed(way, ulaw[size:], size) == ulaw
    assert not way.is_odd


@pytest.mark.parametrize("declared", [PCMU, PCM24])
@pytest.mark.parametrize("size", [1001, 2880, 100_000])
def test_pcm_is_brought_down_to_the_telephone_whatever_was_declared(declared: str, size: int) -> None:
    ulaw = voices.load("agent/greeting")
    way = ToTelephone(declared)
    came = fed(way, encode(ulaw, "audio/pcm"), size)
    assert abs(len(came) - len(ulaw)) <= 160, "nothing is lost: 20 ms at most"
    assert abs(loud_bytes(came) - loud_bytes(ulaw)) < len(ulaw) * 0.05, "it sounds as loud, and where it did"
    assert way.is_odd == (declared == PCMU)


def test_two_stretches_do_not_mix() -> None:
    pcm = encode(tone(0.5), "audio/pcm")
    ways = [ToTelephone(PCM24), ToTelephone(PCM24)]
    came = [b"", b""]
    for at in range(0, len(pcm), 999):
        for n, way in enumerate(ways):
            came[n] += way.feed(pcm[at : at + 999])
    one, other = (ulaw_to_pcm16(came[n] + way.end()) for n, way in enumerate(ways))
    pairs = zip(memoryview(one).cast("h"), memoryview(other).cast("h"), strict=True)
    assert max(abs(a - b) for a, b in pairs) < 1000, "but for the resampler's dither"


def test_the_caller_goes_up_frame_by_frame_and_nothing_is_lost() -> None:
    ulaw = voices.load("caller/hours")
    way = FromTelephone()
    wide = b""
    for at in range(0, len(ulaw), 160):
        wide += base64.b64decode(way.feed(base64.b64encode(ulaw[at : at + 160]).decode()))
    assert len(wide) % 2 == 0
    assert abs(len(wide) - 6 * len(ulaw)) <= 6 * 8 * 80, "at most 80 ms are still on their way"
    back = ToTelephone(PCM24)
    again = back.feed(wide) + back.end()
    assert abs(loud_bytes(again) - loud_bytes(ulaw)) < len(ulaw) * 0.1


def test_noise_of_any_kind_raises_nothing() -> None:
    dice = random.Random(4)
    for _ in range(50):
        way = ToTelephone(dice.choice([PCMU, PCM24]))
        for _ in range(20):
            way.feed(dice.randbytes(dice.randrange(0, 700)))
        way.end()
