"""The codecs of a media stream, to and from the telephone's µ-law at 8 kHz."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from typing import Final

from callflow.media import g711
from callflow.sandbox.common.playout import BYTES_PER_SECOND


SAMPLE_RATES: Final = {"PCMU": 8000, "PCMA": 8000, "G722": 16000, "L16": 16000, "OPUS": 16000, "AMR-WB": 16000}
"""In Hz, as the `start` frame gives them."""


def _to_l16(ulaw: bytes) -> bytes:
    """Encode as 16-bit samples at 16 kHz, big-endian as in RFC 3551; the Telnyx docs do not say (unknown)."""
    samples = _swapped(array("h", g711.ulaw_to_pcm16(ulaw)))
    doubled = array("h", bytes(4 * len(samples)))
    doubled[0::2] = samples
    doubled[1::2] = samples
    return doubled.tobytes()


def _opaque(ulaw: bytes) -> bytes:
    """Return as many zero bytes: stands for a codec that is not emulated."""
    return bytes(len(ulaw))


ENCODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "PCMU": bytes,
    "PCMA": g711.ulaw_to_alaw,
    "L16": _to_l16,
    "G722": _opaque,
    "OPUS": _opaque,
    "AMR-WB": _opaque,
}
"""Codec name -> function from µ-law at 8 kHz."""


def bytes_per_second(codec: str, sampling_rate: int) -> int:
    """Return the byte rate of a codec; one with a variable rate counts as 64 kbit/s."""
    return 2 * sampling_rate if codec == "L16" else BYTES_PER_SECOND


def decode(codec: str, sampling_rate: int, audio: bytes) -> bytes | None:
    """Decode to µ-law; None when the codec is not emulated."""
    if codec == "PCMU":
        return audio
    if codec == "PCMA":
        return g711.alaw_to_ulaw(audio)
    if codec != "L16":
        return None
    samples = array("h")
    samples.frombytes(audio[: len(audio) & ~1])
    samples = _swapped(samples)
    count = len(samples) * 8000 // sampling_rate
    picked = array("h", (samples[i * sampling_rate // 8000] for i in range(count)))
    return g711.pcm16_to_ulaw(_swapped(picked, "big").tobytes())


def _swapped(samples: array[int], order: str = "little") -> array[int]:
    """Return the samples with their bytes swapped if this machine has that byte order."""
    if sys.byteorder == order:
        samples = samples[:]
        samples.byteswap()
    return samples
