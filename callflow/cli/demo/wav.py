"""Reads a recording of a voice as telephone audio."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from callflow.contracts.errors import UnreadableRecording
from callflow.media.g711 import FRAME_BYTES, pcm16_to_ulaw
from callflow.sandbox.common.phone import is_loud
from callflow.sandbox.openai_realtime.vad import Vad


SECONDS: Final = 20.0
"""So much of a recording is used at most, from its first word on."""
_SEARCHED_SECONDS: Final = 600
"""The first word must come within that time."""
_RATE: Final = 8000
_MARGIN: Final = _RATE // 5
"""Bytes that are kept before the first and behind the last sound."""
_VAD: Final = {"type": "server_vad", "silence_duration_ms": 500, "prefix_padding_ms": 300, "threshold": 0.5}
_CANCELLED: Final = 0.1
"""Channels whose mean has less than this share of the louder one's power cancel each other out."""


def load(path: Path) -> bytes:
    """Load the voice in a sound file of any rate and any number of channels, as µ-law at 8 kHz: up to 20 s from its
    first word on, without silence before and behind it.

    Raises UnreadableRecording.
    """
    _look_at(path)
    if find_spec("soundfile") is None:
        raise UnreadableRecording(
            f"{path} cannot be read: the package soundfile is not installed. Run `scripts/setup wav` once, then start"
            " this again."
        )
    heard = bytearray()
    try:
        with _stderr_hidden():
            for second in _seconds(path):
                if heard or any(map(is_loud, _frames(second))):
                    heard += second
                if len(heard) >= SECONDS * _RATE + FRAME_BYTES:
                    break
    except UnreadableRecording:
        raise
    except Exception as error:  # a damaged file may raise anything in the decoder
        reason = f" ({_reason(error)})" if isinstance(error, OSError) else ""
        raise UnreadableRecording(
            f"{path} is damaged, or no sound file{reason}: give a .wav, .flac, .ogg or .mp3 file."
        ) from None
    voice = _trimmed(bytes(heard))
    if not any(edge.edge == "started" for edge in Vad(dict(_VAD), "audio/pcmu").feed(voice)):
        raise UnreadableRecording(
            f"{path} holds no voice that could be heard on a telephone: it is silent, too quiet or too short;"
            " give a recording of somebody who speaks at a usual loudness."
        )
    return voice


def _look_at(path: Path) -> None:
    advice = "give a sound file, such as a .wav"
    try:
        if not path.exists():
            raise UnreadableRecording(f"{path} does not exist: {advice}.")
        if path.is_dir():
            raise UnreadableRecording(f"{path} is a folder: {advice} in it.")
        if not path.is_file():
            raise UnreadableRecording(f"{path} is not a file: {advice}.")
        with path.open("rb") as file:
            if not file.read(1):
                raise UnreadableRecording(f"{path} is empty: {advice}.")
    except OSError as error:
        raise UnreadableRecording(f"{path} cannot be read ({_reason(error)}): {advice}.") from None


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


def _seconds(path: Path) -> Iterator[bytes]:
    """The recording, about a second at a time."""
    import soundfile  # an optional package; it and soxr load numpy, which nothing else needs
    import soxr

    with soundfile.SoundFile(path) as file:
        stream = soxr.ResampleStream(file.samplerate, _RATE, 1, dtype="float32")
        for _ in range(_SEARCHED_SECONDS + int(SECONDS)):
            block = file.read(file.samplerate, dtype="float32", always_2d=True)
            yield _ulaw(stream.resample_chunk(_mono(block), last=len(block) < file.samplerate))
            if len(block) < file.samplerate:
                return


def _mono(block: Any) -> Any:
    """The mean of the channels; the loudest of them where they cancel each other out."""
    import numpy

    block = numpy.nan_to_num(block, posinf=1.0, neginf=-1.0)
    mean = block.mean(axis=1)
    if block.shape[1] > 1 and len(block):
        powers = (block**2).mean(axis=0)
        loudest = int(powers.argmax())
        if (mean**2).mean() < _CANCELLED * powers[loudest] / block.shape[1]:
            return block[:, loudest]
    return mean


def _ulaw(sound: Any) -> bytes:
    return pcm16_to_ulaw((sound.clip(-1.0, 1.0) * 32767).astype("<i2").tobytes())


def _frames(audio: bytes) -> Iterator[bytes]:
    return (audio[start : start + FRAME_BYTES] for start in range(0, len(audio), FRAME_BYTES))


def _trimmed(audio: bytes) -> bytes:
    loud = [number for number, frame in enumerate(_frames(audio)) if is_loud(frame)]
    if not loud:
        return b""
    start = max(0, loud[0] * FRAME_BYTES - _MARGIN)
    return audio[start : min((loud[-1] + 1) * FRAME_BYTES + _MARGIN, start + int(SECONDS * _RATE))]


@contextlib.contextmanager
def _stderr_hidden() -> Iterator[None]:
    """Hide what libraries in C write to standard error."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
