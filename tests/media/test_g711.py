"""The codec tables, against Python's own audioop where that still exists and against values from the standard."""

import hashlib
import importlib.util
import time

import pytest

from callflow.media import g711


EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = b"".join(sample.to_bytes(2, "little", signed=True) for sample in range(-32768, 32768))


def test_decoding_hits_the_corners_of_the_standard() -> None:
    assert [g711.ULAW_TO_LINEAR[code] for code in (0x00, 0x7F, 0x80, 0xFF)] == [-32124, 0, 32124, 0]
    assert [g711.ALAW_TO_LINEAR[code] for code in (0x2A, 0x55, 0xAA, 0xD5)] == [-32256, -8, 32256, 8]


@pytest.mark.filterwarnings("ignore:'audioop':DeprecationWarning")
def test_every_code_and_every_sample_agree_with_audioop() -> None:
    audioop = pytest.importorskip("audioop", reason="audioop left the standard library in Python 3.13")
    assert g711.ulaw_to_pcm16(EVERY_CODE) == audioop.ulaw2lin(EVERY_CODE, 2)
    assert g711.ALAW_TO_LINEAR.tobytes() == audioop.alaw2lin(EVERY_CODE, 2)
    assert g711.pcm16_to_ulaw(EVERY_SAMPLE) == audioop.lin2ulaw(EVERY_SAMPLE, 2)
    assert bytes(g711._ALAW_CODES[(sample >> 3) & 0x1FFF] for sample in range(-32768, 32768)) == audioop.lin2alaw(
        EVERY_SAMPLE, 2
    )


def test_transcoding_keeps_the_loudness_and_the_sign_of_every_code() -> None:
    for code, sample in enumerate(g711.ULAW_TO_LINEAR):
        alaw = g711.ulaw_to_alaw(bytes([code]))[0]
        assert abs(g711.ALAW_TO_LINEAR[alaw] - sample) <= max(16, abs(sample) * 0.04), hex(code)
    for code, sample in enumerate(g711.ALAW_TO_LINEAR):
        ulaw = g711.alaw_to_ulaw(bytes([code]))[0]
        assert abs(g711.ULAW_TO_LINEAR[ulaw] - sample) <= max(16, abs(sample) * 0.04), hex(code)


def test_silence_stays_silence_across_the_codecs() -> None:
    assert g711.ulaw_to_alaw(bytes([g711.ULAW_SILENCE])) == b"\xd5"
    assert g711.ulaw_to_pcm16(b"\xff" * 3) == b"\0" * 6


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        g711.pcm16_to_ulaw(b"\0\0\0")


def test_the_tables_never_change() -> None:
    """A golden digest of all four tables, made when they agreed with audioop, for Pythons that lack it."""
    tables = (
        g711.ulaw_to_pcm16(EVERY_CODE)
        + g711.ALAW_TO_LINEAR.tobytes()
        + g711.ulaw_to_alaw(EVERY_CODE)
        + g711.alaw_to_ulaw(EVERY_CODE)
    )
    assert hashlib.sha256(tables).hexdigest() == "c7ec514c7d8a0279592747fea2bba3879d1547674d78c183b4de8a5505dfd36c"


def test_no_table_is_made_when_it_is_first_needed() -> None:
    """The first key that was sent as a tone, and the first audio of a model that speaks PCM, waited 4 ms for it, and
    all callers with them."""

    def seconds() -> float:
        spec = importlib.util.find_spec(g711.__name__)
        assert spec is not None
        assert spec.loader is not None
        fresh = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(fresh)
        begun = time.thread_time()
        fresh.pcm16_to_ulaw(b"\0\0")
        fresh.ulaw_to_alaw(b"\0")
        return time.thread_time() - begun

    assert min(seconds() for _ in range(5)) < 0.0005
