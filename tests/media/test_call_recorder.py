"""A recording holds what was said and heard, where it was said and heard."""

from __future__ import annotations

import asyncio
import struct
import wave
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.media import call_recorder
from callflow.media.call_recorder import Tape, cues, header, interleaved
from callflow.media.g711 import ULAW_SILENCE, ulaw_to_pcm16


def frame(code: int, ms: int = 20) -> bytes:
    return bytes([code]) * (ms * 8)


def test_frames_of_the_caller_follow_one_another_whatever_the_clock_says() -> None:
    tape = Tape(100.0)
    for number, late in enumerate((0.0, 0.03, 0.06, 0.06, 0.0)):
        tape.caller(frame(number), 100.02 + number * 0.02 + late)
    left, right = tape.take(100.1)
    assert left == b"".join(frame(number) for number in range(5))
    assert right == bytes([ULAW_SILENCE]) * len(left)


def test_after_a_pause_the_caller_is_where_the_clock_is() -> None:
    tape = Tape(0.0)
    tape.caller(frame(1), 0.02)
    tape.caller(frame(2), 2.02)
    left, _ = tape.take(3.0)
    assert left[:160] == frame(1)
    assert left[16_000:16_160] == frame(2)
    assert set(left[160:16_000]) == {ULAW_SILENCE}


def test_what_was_cut_off_is_not_in_it() -> None:
    tape = Tape(0.0)
    tape.agent(frame(5, 400), 0.1)
    tape.agent(frame(6, 400), 0.5)
    tape.cut(0.3)
    tape.agent(frame(7), 1.0)
    _, right = tape.take(1.5)
    assert right[800:2400] == frame(5, 200)
    assert set(right[2400:8000]) == {ULAW_SILENCE}
    assert right[8000:8160] == frame(7)


@pytest.mark.parametrize("begins", [0.3, 0.305, 0.315, 0.4])
def test_what_was_to_begin_at_the_cut_or_behind_it_is_not_in_it(begins: float) -> None:
    tape = Tape(0.0)
    tape.agent(frame(5), begins)
    tape.cut(0.3)
    assert set(tape.take(1.0)[1]) == {ULAW_SILENCE}


def loud(audio: bytes) -> int:
    return len(audio) - audio.count(b"\xff")


def test_a_carrier_that_turns_out_to_be_less_far_behind_costs_no_audio() -> None:
    tape = Tape(0.0)
    tape.agent(b"a" * 800, 0.5)  # believed 400 ms behind
    tape.agent(b"b" * 800, 0.2)  # is 0 ms behind: what came before was heard earlier, too
    tape.agent(b"c" * 800, 0.3)
    _, right = tape.take(1.0)
    assert right.strip(b"\xff") == b"a" * 800 + b"b" * 800 + b"c" * 800
    assert right.index(b"a") == 800


def test_what_is_taken_stays_where_it_is_and_the_rest_follows_it() -> None:
    tape = Tape(0.0)
    tape.agent(b"z" * 400, 0.0)
    tape.agent(b"a" * 1600, 0.5)
    left, right = tape.take(0.6)
    tape.agent(b"b" * 800, 0.3)
    whole = right + tape.take(1.0)[1]
    assert whole.strip(b"\xff").replace(b"\xff", b"") == b"z" * 400 + b"a" * 1600 + b"b" * 800
    assert whole.index(b"a") == 4000
    assert len(left) == len(right)


@given(st.lists(st.tuples(st.floats(-0.6, 0.6), st.integers(1, 900), st.booleans()), max_size=30))
def test_whatever_is_believed_of_the_carrier_each_byte_is_in_it_once(steps: list[tuple[float, int, bool]]) -> None:
    tape, now, sent, got = Tape(0.0), 1.0, 0, b""
    for lag, size, takes in steps:
        tape.agent(b"a" * size, now + max(lag, 0.0))
        now += size / 8000
        sent += size
        if takes:
            got += tape.take(now - 0.75)[1]
    assert loud(got + tape.take(now + 10.0)[1]) == sent


def test_taken_in_pieces_it_is_the_same() -> None:
    whole, pieces = Tape(0.0), Tape(0.0)
    for tape in (whole, pieces):
        for number in range(50):
            tape.caller(frame(number), 0.02 * (number + 1))
            tape.agent(frame(number), 0.3 + 0.02 * number)
    left, right = b"", b""
    for end in (0.1, 0.333, 0.34, 0.9, 1.5):
        more = pieces.take(end)
        left, right = left + more[0], right + more[1]
    assert (left, right) == whole.take(1.5)


def test_frames_that_a_network_held_up_are_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written away cannot change any more: so the newest is not."""
    monkeypatch.setattr(call_recorder, "_EVERY_SECONDS", 0.02)

    async def main() -> None:
        failures: list[str] = []
        one = call_recorder.CallRecorder(tmp_path / "x.wav", asyncio.get_running_loop().time, failures.append)
        one.caller(frame(1))
        await asyncio.sleep(0.2)  # the network's pause
        for number in range(2, 11):
            one.caller(frame(number))
        await one.close()
        assert failures == []

    asyncio.run(main())
    with wave.open(str(tmp_path / "x.wav")) as file:
        left = file.readframes(file.getnframes())
    stereo = array("h")
    stereo.frombytes(left)
    for number in range(1, 11):
        (sample,) = set(array("h", ulaw_to_pcm16(frame(number))))
        assert stereo[::2].count(sample) == 160, f"frame {number}"


def test_the_file_is_a_stereo_wav(tmp_path: Path) -> None:
    left, right = frame(10), frame(200)
    path = tmp_path / "x.wav"
    path.write_bytes(header(160) + interleaved(left, right))
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()) == (2, 2, 8000, 160)
        samples = file.readframes(160)
    assert samples[:4] == ulaw_to_pcm16(left)[:2] + ulaw_to_pcm16(right)[:2]


def test_the_file_is_there_at_once(tmp_path: Path) -> None:
    """The history names it from the first moment on. Of a process that died within a second there was none."""
    path = tmp_path / "x.wav"

    async def main() -> None:
        one = call_recorder.CallRecorder(path, lambda: 0.0, lambda reason: None)
        assert one._writing is not None
        await one._writing
        with wave.open(str(path)) as file:
            assert file.getnframes() == 0
        await one.close()

    asyncio.run(main())


def test_a_file_that_is_gone_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was frozen for long goes on when others have moved its part to the store: it put a hole there."""
    monkeypatch.setattr(call_recorder, "_EVERY_SECONDS", 0.01)
    path = tmp_path / "x.wav"

    async def main() -> None:
        failures: list[str] = []
        began = asyncio.get_running_loop().time()
        one = call_recorder.CallRecorder(
            path, lambda: asyncio.get_running_loop().time() * 100 - began * 99, failures.append
        )
        async with asyncio.timeout(10):
            while not path.exists() or path.stat().st_size < 45:  # noqa: ASYNC110 - the recorder's thread
                await asyncio.sleep(0.001)
            path.unlink()
            while not failures:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.001)
        await one.close()

    asyncio.run(main())
    assert not path.exists()


def test_a_pause_is_silence_on_both_sides_and_what_follows_has_its_place(tmp_path: Path) -> None:
    now = 0.0

    async def main() -> None:
        nonlocal now
        one = call_recorder.CallRecorder(tmp_path / "x.wav", lambda: now, lambda reason: None)
        for number in range(1, 31):
            now = number * 0.02
            if number in (11, 21):
                one.pause(on=number == 11)
            one.caller(frame(number))
            if number == 10:
                one.agent(frame(77, 100), now)  # 20 ms of it are heard before the pause
            if number == 15:
                one.agent(frame(88), now)
        one.agent(frame(99), now)
        now = 0.7
        await one.close()

    asyncio.run(main())
    with wave.open(str(tmp_path / "x.wav")) as file:
        stereo = array("h", file.readframes(file.getnframes()))

    def heard(side: int, number: int) -> int:
        (sample,) = set(array("h", ulaw_to_pcm16(frame(number))))
        return stereo[side::2].count(sample)

    assert [number for number in range(1, 31) if heard(0, number)] == [*range(1, 11), *range(21, 31)]
    assert stereo[::2].index(array("h", ulaw_to_pcm16(frame(21)))[0]) == 20 * 160, "it has moved"
    assert (heard(1, 77), heard(1, 88), heard(1, 99)) == (160, 0, 160)


def marks_in(wav: bytes) -> list[tuple[int, str]]:
    """The cues of a WAV file with their labels, read chunk by chunk to the end that its header tells."""
    (size,) = struct.unpack_from("<I", wav, 4)
    assert len(wav) >= 8 + size
    at, points, labels = 12, dict[int, int](), dict[int, str]()
    while at < 8 + size:
        name, length = struct.unpack_from("<4sI", wav, at)
        body = wav[at + 8 : at + 8 + length]
        if name == b"cue ":
            (count,) = struct.unpack_from("<I", body)
            for number in range(count):
                ident, position, chunk, _, _, sample = struct.unpack_from("<II4sIII", body, 4 + 24 * number)
                assert (chunk, position) == (b"data", sample)
                points[ident] = sample
        elif name == b"LIST":
            assert body[:4] == b"adtl"
            inner = 4
            while inner < len(body):
                kind, long, ident = struct.unpack_from("<4sII", body, inner)
                assert kind == b"labl"
                labels[ident] = body[inner + 12 : inner + 8 + long].rstrip(b"\0").decode()
                inner += 8 + long + long % 2
        at += 8 + length + length % 2
    assert at == 8 + size
    return [(sample, labels[ident]) for ident, sample in points.items()]


@pytest.mark.parametrize("marks", [[], [(80, "hold (console)")], [(0, "a"), (160, "Grüße"), (161, "abc")]])
def test_cues_stand_behind_the_audio(marks: list[tuple[int, str]]) -> None:
    behind = cues(marks)
    assert marks_in(header(160, len(behind)) + interleaved(frame(1), frame(2)) + behind) == marks


def test_marks_are_where_they_were_made_and_a_file_before_its_close_is_whole(tmp_path: Path) -> None:
    now = 0.0
    path = tmp_path / "x.wav"

    async def main() -> None:
        nonlocal now
        one = call_recorder.CallRecorder(path, lambda: now, lambda reason: None)
        for number in range(1, 101):
            now = number * 0.02
            one.caller(frame(number))
            if number == 50:
                one.mark("whisper (console): " + "x" * 300)
                await one._write(now - 0.75)
                assert marks_in(path.read_bytes()) == []
                with wave.open(str(path)) as file:
                    assert file.getnframes() == 2000
        await one.close()

    asyncio.run(main())
    ((sample, label),) = marks_in(path.read_bytes())
    assert (sample, len(label)) == (8000, 200)
    assert label.startswith("whisper (console): xx")
    with wave.open(str(path)) as file:
        assert file.getnframes() == 16_000
