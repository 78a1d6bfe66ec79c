"""G.711: µ-law and A-law, the two codecs of the telephone network (ITU-T G.711).

One byte is one sample of 8 kHz audio, so 8 bytes are 1 ms and 160 bytes are one 20 ms frame. Decoding and
transcoding are table look-ups (`bytes.translate`), cheap enough for the audio path. PCM here is always signed
16-bit little-endian mono.
"""

from __future__ import annotations

import sys
from array import array
from functools import cache
from typing import Final


BYTES_PER_MS: Final = 8
FRAME_MS: Final = 20
FRAME_BYTES: Final = BYTES_PER_MS * FRAME_MS
ULAW_SILENCE: Final = 0xFF
"""µ-law for a sample of zero: what a silent line carries."""
ALAW_SILENCE: Final = 0xD5
"""A-law for a sample of zero."""


def _decode_ulaw(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 0x07)
    return 0x84 - magnitude if code & 0x80 else magnitude - 0x84


def _decode_alaw(code: int) -> int:
    code ^= 0x55
    segment = (code >> 4) & 0x07
    magnitude = ((code & 0x0F) << 4) + 8
    if segment:
        magnitude = (magnitude + 0x100) << (segment - 1)
    return magnitude if code & 0x80 else -magnitude


def _encode_ulaw(sample: int) -> int:
    """Encode one sample, through the 14 bits that µ-law codes (the two lowest of 16 are dropped)."""
    sample >>= 2
    mask = 0xFF
    if sample < 0:
        sample = -sample
        mask = 0x7F
    sample = min(sample, 8159) + 33
    segment = sample.bit_length() - 6
    if segment >= 8:
        return 0x7F ^ mask
    return ((segment << 4) | ((sample >> (segment + 1)) & 0x0F)) ^ mask


def _encode_alaw(sample: int) -> int:
    """Encode one sample, through the 13 bits that A-law codes."""
    sample >>= 3
    mask = 0xD5
    if sample < 0:
        sample = -sample - 1
        mask = 0x55
    segment = max(0, sample.bit_length() - 5)
    if segment >= 8:
        return 0x7F ^ mask
    shift = max(1, segment)
    return ((segment << 4) | ((sample >> shift) & 0x0F)) ^ mask


ULAW_TO_LINEAR: Final = array("h", (_decode_ulaw(code) for code in range(256)))
ALAW_TO_LINEAR: Final = array("h", (_decode_alaw(code) for code in range(256)))
_ULAW_TO_ALAW: Final = bytes(_encode_alaw(sample) for sample in ULAW_TO_LINEAR)
_ALAW_TO_ULAW: Final = bytes(_encode_ulaw(sample) for sample in ALAW_TO_LINEAR)


@cache
def _ulaw_codes() -> bytes:
    """The µ-law code of each 14-bit sample, indexed by the sample without its sign extension."""
    return bytes(_encode_ulaw(((i ^ 0x2000) - 0x2000) << 2) for i in range(0x4000))


@cache
def _alaw_codes() -> bytes:
    return bytes(_encode_alaw(((i ^ 0x1000) - 0x1000) << 3) for i in range(0x2000))


def ulaw_to_alaw(audio: bytes) -> bytes:
    """Transcode µ-law to A-law."""
    return audio.translate(_ULAW_TO_ALAW)


def alaw_to_ulaw(audio: bytes) -> bytes:
    """Transcode A-law to µ-law."""
    return audio.translate(_ALAW_TO_ULAW)


def ulaw_to_pcm16(audio: bytes) -> bytes:
    """Decode µ-law."""
    return _little_endian(array("h", map(ULAW_TO_LINEAR.__getitem__, audio)))


def alaw_to_pcm16(audio: bytes) -> bytes:
    """Decode A-law."""
    return _little_endian(array("h", map(ALAW_TO_LINEAR.__getitem__, audio)))


def pcm16_to_ulaw(pcm: bytes) -> bytes:
    """Encode as µ-law. Raises ValueError when `pcm` holds half a sample."""
    codes = _ulaw_codes()
    return bytes(codes[(sample >> 2) & 0x3FFF] for sample in _samples(pcm))


def pcm16_to_alaw(pcm: bytes) -> bytes:
    """Encode as A-law. Raises ValueError when `pcm` holds half a sample."""
    codes = _alaw_codes()
    return bytes(codes[(sample >> 3) & 0x1FFF] for sample in _samples(pcm))


def _samples(pcm: bytes) -> array[int]:
    samples = array("h")
    samples.frombytes(pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _little_endian(samples: array[int]) -> bytes:
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()
