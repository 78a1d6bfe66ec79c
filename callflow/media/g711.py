"""G.711: µ-law and A-law, the two codecs of the telephone network (ITU-T G.711).

One byte is one sample of 8 kHz audio, so 8 bytes are 1 ms and 160 bytes are one 20 ms frame. Decoding and
transcoding are table look-ups (`bytes.translate`), cheap enough for the audio path. PCM here is always signed
16-bit little-endian mono.
"""

from __future__ import annotations

import sys
from array import array
from typing import Final


BYTES_PER_MS: Final = 8
FRAME_MS: Final = 20
FRAME_BYTES: Final = BYTES_PER_MS * FRAME_MS
ULAW_SILENCE: Final = 0xFF
"""µ-law for a sample of zero: what a silent line carries."""


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


def _xor(mask: int) -> bytes:
    return bytes(code ^ mask for code in range(256))


def _ulaw_codes() -> bytes:
    """Return the µ-law code of each 14-bit sample (the two lowest of 16 are dropped), indexed by the sample without its
    sign extension."""
    biased = b"".join(bytes([code]) * (2 << (code >> 4)) for code in range(128))  # of 32 and more; the bias is 33
    magnitudes = biased[1:] + b"\x7f" * 34  # up to 8192
    return magnitudes[:-1].translate(_xor(0xFF)) + magnitudes[:0:-1].translate(_xor(0x7F))


def _alaw_codes() -> bytes:
    """Return the same for A-law, of each 13-bit sample."""
    magnitudes = b"".join(bytes([code]) * max(2, 1 << (code >> 4)) for code in range(128))
    return magnitudes.translate(_xor(0xD5)) + magnitudes[::-1].translate(_xor(0x55))


_ULAW_CODES: Final = _ulaw_codes()
_ALAW_CODES: Final = _alaw_codes()
ULAW_TO_LINEAR: Final = array("h", (_decode_ulaw(code) for code in range(256)))
ALAW_TO_LINEAR: Final = array("h", (_decode_alaw(code) for code in range(256)))
_ULAW_TO_ALAW: Final = bytes(_ALAW_CODES[(sample >> 3) & 0x1FFF] for sample in ULAW_TO_LINEAR)
_ALAW_TO_ULAW: Final = bytes(_ULAW_CODES[(sample >> 2) & 0x3FFF] for sample in ALAW_TO_LINEAR)


def ulaw_to_alaw(audio: bytes) -> bytes:
    """Transcode µ-law to A-law."""
    return audio.translate(_ULAW_TO_ALAW)


def alaw_to_ulaw(audio: bytes) -> bytes:
    """Transcode A-law to µ-law."""
    return audio.translate(_ALAW_TO_ULAW)


def ulaw_to_pcm16(audio: bytes) -> bytes:
    """Decode µ-law."""
    samples = array("h", map(ULAW_TO_LINEAR.__getitem__, audio))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()


def pcm16_to_ulaw(pcm: bytes) -> bytes:
    """Encode as µ-law. Raises ValueError when `pcm` holds half a sample."""
    samples = array("h")
    samples.frombytes(pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    return bytes(_ULAW_CODES[(sample >> 2) & 0x3FFF] for sample in samples)
