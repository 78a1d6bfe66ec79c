"""Any recording as telephone audio."""

from __future__ import annotations

from pathlib import Path

from callflow.media.g711 import pcm16_to_ulaw


_RATE = 8000


class UnreadableRecording(Exception):
    """Says which file, why, and what would do instead."""


def load(path: Path, *, seconds: float = 20.0) -> bytes:
    """The first `seconds` of a sound file, of any rate and any number of channels, as µ-law at 8 kHz.

    Raises UnreadableRecording.
    """
    import soundfile  # here, because it brings numpy along, which nothing else needs at start-up
    import soxr

    try:
        with soundfile.SoundFile(path) as file:
            sound, rate = file.read(int(seconds * file.samplerate), dtype="float32", always_2d=True), file.samplerate
    except (OSError, soundfile.LibsndfileError) as error:
        raise UnreadableRecording(f"{path}: {error}. Give a sound file, such as a .wav.") from None
    mono = sound.mean(axis=1)
    if not len(mono):
        raise UnreadableRecording(f"{path} holds no sound.")
    at_phone = soxr.resample(mono, rate, _RATE).clip(-1.0, 1.0)
    return pcm16_to_ulaw((at_phone * 32767).astype("<i2").tobytes())
