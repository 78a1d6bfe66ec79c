"""Which format the engine's audio really has, and the way from and to the telephone's."""

from __future__ import annotations

import base64
import math
import random
import struct

import pytest

from callflow.engines.openai_realtime import audio_format
from callflow.engines.openai_realtime.audio_format import PCM24, PCMU, FromTelephone, ToTelephone, looks_like
from callflow.media.g711 import pcm16_to_ulaw, ulaw_to_pcm16
from callflow.sandbox import voices
from callflow.sandbox.common.phone import loud_bytes
from callflow.sandbox.openai_realtime.script import encode, tone


pytestmark = pytest.mark.exhaustive


@pytest.fixture(autouse=True, scope="module")
def _resampler() -> None:
    """As a call has it before audio is converted; until then audio is held back."""
    audio_format.load()


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


SIZES = [1, 2, 7, 20, 160, 321, 1001, 100_000]


@pytest.mark.parametrize("declared", [PCMU, PCM24])
@pytest.mark.parametrize("size", SIZES)
def test_mu_law_passes_untouched_whatever_was_declared(declared: str, size: int) -> None:
    ulaw = voices.load("agent/greeting").lstrip(b"\xff")
    way = ToTelephone(declared)
    assert fed(way, ulaw, size) == ulaw
    assert way.is_unexpected == (declared == PCM24)


@pytest.mark.parametrize(("known", "most"), [("", 320), (PCMU, 160)])
@pytest.mark.parametrize("size", SIZES)
def test_little_is_held_back_and_silence_not_at_all(size: int, known: str, most: int) -> None:
    ulaw = b"\xff" * 3200 + voices.load("agent/greeting").lstrip(b"\xff")
    way = ToTelephone(PCMU, known)
    came, held = 0, 0
    for at in range(0, len(ulaw), size):
        came += len(way.feed(ulaw[at : at + size]))
        held = max(held, min(at + size, len(ulaw)) - came)
    assert held <= most
    assert came == len(ulaw)


def alike(one: bytes, other: bytes) -> bool:
    """The same sound, but for what a resampler's dither and its first and last samples are worth."""
    if abs(len(one) - len(other)) > 8:
        return False
    pairs = zip(*(memoryview(ulaw_to_pcm16(each)).cast("h") for each in (one, other)), strict=False)
    return max((abs(a - b) for a, b in pairs), default=0) < 1500


BEGINNINGS = {
    "at once": b"",
    "after digital silence": bytes(1920),
    "after a moment of digital silence": bytes(20),
    "after the smallest there is": b"\xff" * 24,
}


@pytest.mark.parametrize("declared", [PCMU, PCM24])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("begins", BEGINNINGS)
def test_no_byte_of_pcm_is_ever_played_as_mu_law(declared: str, size: int, begins: str) -> None:
    pcm = BEGINNINGS[begins] + encode(voices.load("agent/greeting"), "audio/pcm").lstrip(b"\0")[:24000]
    whole = ToTelephone(PCM24)
    right = whole.feed(pcm) + whole.end()
    way = ToTelephone(declared)
    came = fed(way, pcm, size)
    before = came[: max(len(came) - len(right), 0)]
    assert len(before) <= 24
    assert alike(came[len(before) :], right)
    assert loud_bytes(before) == 0
    assert (way.format, way.is_unexpected) == (PCM24, declared == PCMU)


@pytest.mark.parametrize("size", [1, 20, 100_000])
@pytest.mark.parametrize("length", [100, 320, 700, 959, 1500])
@pytest.mark.parametrize("declared", [PCMU, PCM24])
def test_what_ends_before_enough_has_come_is_played_as_what_it_is(declared: str, length: int, size: int) -> None:
    ulaw = voices.load("agent/greeting")[14000:]
    pcm = encode(ulaw, "audio/pcm")[: length & ~1]
    whole = ToTelephone(PCM24)
    as_pcm = whole.feed(pcm) + whole.end()
    if declared == PCM24:
        assert alike(fed(ToTelephone(declared), pcm, size), as_pcm)
    else:
        assert fed(ToTelephone(declared), ulaw[:length], size) == ulaw[:length]
    if length >= 700:
        assert fed(ToTelephone(declared), ulaw[:length], size) == ulaw[:length]
        assert alike(fed(ToTelephone(declared), pcm, size), as_pcm)
    elif length == 100 and declared == PCMU:
        assert fed(ToTelephone(declared), pcm, size) == pcm, "a few ms are too little to overrule the server"


def packed(form: str, each: int, numbers: int = 3000) -> bytes:
    return b"".join(struct.pack(form, number) * each for number in range(numbers))


def wave(hz: int, size: int, square: bool) -> bytes:
    sines = (math.sin(math.tau * hz * sample / 8000 + 0.7) for sample in range(8000))
    values = [math.copysign(size, sine) if square else size * sine for sine in sines]
    return pcm16_to_ulaw(struct.pack("<8000h", *map(int, values)))


MADE_UP = {
    **{f"only {byte:#04x}": bytes([byte]) * 4800 for byte in (0, 1, 0x10, 0x55, 0x7F, 0x80, 0xFE)},
    **{f"numbers {form} x {each}": packed(form, each) for form in ("<H", ">H", "<I", ">I") for each in (1, 40, 80)},
    "silence with numbers": b"".join(struct.pack(">I", number) + b"\xff" * 156 for number in range(40)),
    "a byte for each delta": b"".join(bytes([number]) * 160 for number in range(256)),
    "all bytes": bytes(range(256)) * 20,
    "up and down": bytes((*range(256), *range(255, -1, -1))) * 10,
    "two in turn": b"\x80\x00" * 2400,
    "text": b"audio 1 " * 600,
    "more text": b"".join(b"frame-%06d|" % number for number in range(600)),
    "any bytes": random.Random(3).randbytes(20_000),
    **{
        f"{'square' if square else 'sine'} of {hz} Hz at {size}": wave(hz, size, square)
        for hz in (250, 440, 1000, 1333, 2000, 3400, 4000)
        for size in (300, 12_000, 32_000)
        for square in (False, True)
    },
}


@pytest.mark.parametrize(("size", "known"), [(160, ""), (160, PCMU), (100_000, "")])
def test_made_up_audio_does_not_overrule_the_format_that_the_server_confirmed(size: int, known: str) -> None:
    for name, audio in MADE_UP.items():
        way = ToTelephone(PCMU, known)
        assert fed(way, audio, size) == audio, name
        assert not way.is_unexpected, name


@pytest.mark.parametrize("size", [160, 1001, 100_000])
@pytest.mark.parametrize("declared", [PCMU, PCM24])
def test_speech_in_another_format_is_found_behind_a_wrong_assumption(declared: str, size: int) -> None:
    """A piece too small to tell was played as was confirmed, because no more came for a while."""
    ulaw = voices.load("agent/greeting")[14000:22000]
    other = ulaw if declared == PCM24 else encode(ulaw, "audio/pcm")
    for first in (20, 21, 161):
        way = ToTelephone(declared)
        assert way.feed(other[:first]) == b""
        assert way.is_held
        came = way.assume()
        assert way.format == declared
        came += fed(way, other[first:], size)
        assert way.is_unexpected
        lost = 1500 + (size if size < 100_000 else 0)
        assert len(came) >= len(ulaw) - lost
        assert abs(loud_bytes(came[-4000:]) - loud_bytes(ulaw[-4000:])) < 200


def test_what_was_assumed_is_not_looked_at_for_ever() -> None:
    way = ToTelephone(PCMU)
    assert way.feed(b"\0" * 160) == b""
    assert way.assume() == b"\0" * 160
    fed_bytes = 0
    while not way.is_plain:
        assert way.feed(b"\0" * 160) == b"\0" * 160
        fed_bytes += 160
    assert 0 < fed_bytes <= 25_000
    way = ToTelephone(PCMU)
    way.feed(b"\0" * 160)
    way.assume()
    way.feed(voices.load("agent/greeting")[14000:14320])
    assert way.is_plain, "a voice tells at once"


@pytest.mark.parametrize("size", [2, 160, 1001, 4800])
def test_a_session_that_sends_another_format_than_before_is_found_out(size: int) -> None:
    pcm = encode(voices.load("agent/greeting"), "audio/pcm").lstrip(b"\0")[:24000]
    whole = ToTelephone(PCM24)
    assert alike(fed(ToTelephone(PCMU, PCMU), pcm, size), whole.feed(pcm) + whole.end())


def test_a_format_confirmed_in_the_middle_is_no_reason_for_noise() -> None:
    ulaw = voices.load("agent/greeting").lstrip(b"\xff")[:16000]
    pcm = encode(ulaw, "audio/pcm")
    for cut in (0, 1, 100, 9001):
        way = ToTelephone(PCMU)
        came = way.feed(ulaw[:8000])
        way.declare(PCM24)
        for at in range(0, len(pcm) - 48000, 333):
            came += way.feed(pcm[48000 + at : 48000 + at + 333])
        came += way.end()
        assert abs(loud_bytes(came) - loud_bytes(ulaw)) < len(ulaw) * 0.05
        assert abs(len(came) - len(ulaw)) <= 160
        way = ToTelephone(PCM24)
        came = way.feed(pcm[:cut])
        way.declare(PCMU)
        came += way.feed(pcm[cut:20000]) + way.feed(pcm[20000:]) + way.end()
        assert abs(loud_bytes(came) - loud_bytes(ulaw)) < len(ulaw) * 0.05
        assert way.format == PCM24, "as it sounds, whatever was confirmed"


@pytest.mark.parametrize("declared", [PCMU, PCM24])
@pytest.mark.parametrize("size", [1001, 2880, 100_000])
def test_pcm_is_brought_down_to_the_telephone_whatever_was_declared(declared: str, size: int) -> None:
    ulaw = voices.load("agent/greeting")
    way = ToTelephone(declared)
    came = fed(way, encode(ulaw, "audio/pcm"), size)
    assert abs(len(came) - len(ulaw)) <= 160, "nothing is lost: 20 ms at most"
    assert abs(loud_bytes(came) - loud_bytes(ulaw)) < len(ulaw) * 0.05, "it sounds as loud, and where it did"
    assert way.is_unexpected == (declared == PCMU)


@pytest.mark.parametrize("size", [1, 80, 160, 1000])
def test_what_the_way_up_still_has_is_given_back(size: int) -> None:
    ulaw = voices.load("caller/hours")[:8000]
    way = FromTelephone()
    wide = b"".join(
        base64.b64decode(way.feed(base64.b64encode(ulaw[at : at + size]).decode())) for at in range(0, len(ulaw), size)
    )
    rest = base64.b64decode(way.rest())
    assert ulaw.endswith(rest)
    assert len(wide) // 6 + len(rest) == len(ulaw)


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
