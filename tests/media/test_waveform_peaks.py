"""Peaks tell how loud a recording is: the same while it is made and from the file, and the file of a process that died
is made whole."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from callflow.contracts.errors import BrokenRecording
from callflow.history.store import remove_files
from callflow.media import waveform_peaks
from callflow.media.call_recorder import CallRecorder, header, interleaved
from callflow.media.g711 import ulaw_to_pcm16
from callflow.media.waveform_peaks import SLOT, PeakFile, PeakMaker


def noise(samples: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(samples)


def expected(left: bytes, right: bytes) -> bytes:
    """From the samples themselves, the slow way."""
    found = bytearray()
    for at in range(0, len(left), 400):
        for audio in (left, right):
            samples = array("h", ulaw_to_pcm16(audio[at : at + 400]))
            largest = max(abs(each) for each in samples)
            found.append(min((largest + 127) // 128, 255))
    return bytes(found)


def wav(path: Path, left: bytes, right: bytes) -> Path:
    path.write_bytes(header(len(left)) + interleaved(left, right))
    return path


def test_peaks_are_the_largest_samples_in_whatever_pieces_the_audio_comes() -> None:
    left, right = noise(4321, 1), b"\xff" * 2000 + noise(2321, 2)
    maker, found, at = PeakMaker(), b"", 0
    for size in (1, 399, 400, 401, 0, 3000, 120):
        found += maker.add(left[at : at + size], right[at : at + size])
        at += size
    assert len(found) == 2 * (4321 // 400)
    found += maker.rest()
    assert found == expected(left, right)
    assert found[1] == 0, "silence"
    assert max(found) == 251, "the loudest of µ-law"


def test_a_recorder_leaves_the_peaks_of_its_file(tmp_path: Path) -> None:
    path, now = tmp_path / "x.wav", 0.0
    left = noise(160 * 60, 3)

    async def main() -> None:
        nonlocal now
        one = CallRecorder(path, lambda: now, lambda reason: None)
        for number in range(60):
            now = 0.02 * (number + 1)
            one.caller(left[number * 160 : number * 160 + 160])
            if number == 40:
                await one._write(now - 0.75)
                here = waveform_peaks.read(path, grows=True)
                assert len(here.data) == 2 * (round(here.seconds * 8000) // SLOT), "whole ones only"
        await one.close()

    asyncio.run(main())
    kept = waveform_peaks.file_of(path)
    assert kept.read_bytes()[8:] == expected(left, b"\xff" * len(left))
    assert waveform_peaks.missing(path) == 0
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("left_out", [None, b"", b"CFPK\x01\x02\x14\x00\x05", b"another form that nobody knows"])
def test_what_is_missing_is_made_of_the_file_and_kept(tmp_path: Path, left_out: bytes | None) -> None:
    left, right = noise(9000, 4), noise(9000, 5)
    path = wav(tmp_path / "x.wav", left, right)
    if left_out is not None:
        waveform_peaks.file_of(path).write_bytes(left_out)
    assert waveform_peaks.read(path, grows=True).data == expected(left[:8800], right[:8800])
    assert waveform_peaks.file_of(path).exists() == (left_out is not None), "nothing is kept of what grows"
    found = waveform_peaks.read(path, grows=False)
    assert (found.seconds, found.data) == (1.125, expected(left, right))
    assert waveform_peaks.missing(path) == 0
    assert [each.name for each in sorted(tmp_path.iterdir())] == ["x.peaks", "x.wav"]


def test_what_the_header_does_not_tell_of_does_not_count(tmp_path: Path) -> None:
    left, right = noise(1000, 6), noise(1000, 7)
    path = tmp_path / "x.wav"
    path.write_bytes(header(600) + interleaved(left, right))
    assert waveform_peaks.read(path, grows=False).data == expected(left[:600], right[:600])
    for other in (b"second", header(600)[:20] + b"\x01\x00\x01\x00" + header(600)[24:]):
        path.write_bytes(other)
        with pytest.raises(BrokenRecording):
            waveform_peaks.read(path, grows=False)


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.media.test_waveform_peaks import noise, wav
from callflow.media.call_recorder import header, interleaved
from callflow.media.waveform_peaks import PeakFile
path = Path(sys.argv[1])
left, right = noise(20_000, 8), noise(20_000, 9)
file = PeakFile(path)
for end in (8_000, 15_900):
    begin = end - 8_000 if end == 8_000 else 8_000
    file.add(left[begin:end], right[begin:end], is_last=False)
path.write_bytes(header(20_000) + interleaved(left, right))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.process
def test_peaks_of_a_process_that_was_killed_are_made_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    done = subprocess.run([sys.executable, "-c", _KILLED, str(path)], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -9
    assert waveform_peaks.missing(path) == 50 - 39
    assert waveform_peaks.read(path, grows=False).data == expected(noise(20_000, 8), noise(20_000, 9))


def test_peaks_are_deleted_with_their_recording(tmp_path: Path) -> None:
    for name in ("x", "x-2", "y"):
        wav(tmp_path / f"{name}.wav", noise(800, 1), noise(800, 2))
        PeakFile(tmp_path / f"{name}.wav").add(noise(800, 1), noise(800, 2), is_last=True)
    remove_files(["x.wav,x-2.wav"], tmp_path)
    assert [each.name for each in sorted(tmp_path.iterdir())] == ["y.peaks", "y.wav"]
