"""The phone: what was said, what was heard, and when."""

from __future__ import annotations

import wave
from array import array
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.media.g711 import FRAME_BYTES, ULAW_TO_LINEAR
from callflow.sandbox.common.phone import SILENT_FRAME, Phone, is_loud, loud_bytes, tone
from callflow.sandbox.common.playout import Playout


SECOND = 8000


def test_a_playout_plays_8000_bytes_per_second_from_when_they_came() -> None:
    playout = Playout()
    playout.play(tone(1000), 10.0)
    assert playout.queued_ms(10.25) == pytest.approx(750)
    assert [playout.played(10.0 + t) for t in (0, 0.02, 0.5, 1.0, 9.0)] == [0, 160, 4000, 8000, 8000]


def test_audio_in_a_row_is_one_segment_and_a_gap_is_an_underrun() -> None:
    playout = Playout()
    playout.play(tone(20), 1.0)
    playout.play(tone(20), 1.01)
    playout.play(tone(20), 1.1)
    assert [(segment.at, segment.ms) for segment in playout.segments] == [(1.0, 40), (1.1, 20)]
    assert playout.underruns == 1
    assert playout.gaps_ms == [pytest.approx(60)]


def test_a_pause_between_utterances_is_no_underrun_and_neither_is_the_silence_after_a_clear() -> None:
    playout = Playout()
    playout.play(tone(20), 1.0)
    playout.play(tone(1000), 3.0)
    playout.clear(3.1)
    playout.play(tone(20), 3.2)
    assert playout.underruns == 0


def test_a_mark_is_due_when_the_audio_before_it_has_been_played() -> None:
    playout = Playout()
    playout.mark("at once", 1.0)
    assert playout.due(1.0) == ["at once"]
    playout.play(tone(100), 1.0)
    playout.mark("a", 1.0)
    playout.play(tone(100), 1.01)
    playout.mark("b", 1.02)
    assert playout.next_due == pytest.approx(1.1)
    assert playout.due(1.099) == []
    assert playout.due(1.1) == ["a"]
    assert playout.due(1.3) == ["b"]
    assert playout.next_due is None


def test_clear_flushes_to_the_byte_and_returns_the_pending_marks() -> None:
    playout = Playout()
    playout.play(tone(1000), 1.0)
    playout.mark("a", 1.0)
    playout.mark("b", 1.0)
    assert playout.clear(1.3) == ["a", "b"]
    assert (playout.received_bytes, playout.cleared_bytes, playout.played(5.0)) == (8000, 5600, 2400)
    assert playout.queued_ms(1.3) == 0
    playout.mark("after", 1.4)
    assert playout.due(1.4) == ["after"]


steps = st.lists(
    st.tuples(st.sampled_from(["play", "clear", "mark", "wait"]), st.integers(1, 4000)), min_size=1, max_size=40
)


@given(steps)
def test_every_byte_is_played_cleared_or_queued_and_every_mark_comes_back_once(todo: list[tuple[str, int]]) -> None:
    playout, now, sent, back = Playout(), 100.0, 0, 0
    for what, amount in todo:
        if what == "play":
            playout.play(bytes(amount), now)
        elif what == "clear":
            back += len(playout.clear(now))
        elif what == "mark":
            playout.mark(str(sent), now)
            sent += 1
        now += amount / 10000
        back += len(playout.due(now))
        queued = playout.received_bytes - playout.cleared_bytes - playout.played(now)
        assert abs(queued / 8 - playout.queued_ms(now)) < 0.3
    assert playout.played(now + 1000) == playout.received_bytes - playout.cleared_bytes
    assert back + len(playout.due(now + 1000)) == sent


def test_a_carrier_that_pauses_falls_behind_until_it_runs_empty() -> None:
    playout = Playout(pause_ms=120)
    playout.play(tone(1500), 10.0)
    playout.play(tone(1000), 10.2)
    playout.mark("end", 10.2)
    heard = [playout.played(10.0 + t) for t in (0.5, 1.0, 1.12, 1.62, 2.12, 2.2, 2.24, 2.74)]
    assert heard == [4000, 8000, 8000, 12000, 16000, 16000, 16000, 20000]
    assert playout.next_due == pytest.approx(12.74)
    playout.play(tone(100), 20.0)
    assert playout.played(20.05) == 20400
    assert playout.clear(20.05) == ["end"]
    assert playout.played(30.0) == 20400


@pytest.mark.parametrize(("at", "heard"), [(0.5, 4000), (1.05, 8000), (1.2, 8640), (2.2, 16000), (2.5, 18080)])
def test_a_clear_in_a_pause_and_between_them_flushes_to_the_byte(at: float, heard: int) -> None:
    playout = Playout(pause_ms=120)
    playout.play(tone(3000), 10.0)
    playout.clear(10.0 + at)
    assert playout.played(99.0) == heard == playout.received_bytes - playout.cleared_bytes
    assert playout.queued_ms(10.0 + at) == 0
    playout.play(tone(20), 100.0)
    assert (playout.played(101.0), playout.underruns) == (heard + 160, 0)


def test_loudness() -> None:
    assert not is_loud(SILENT_FRAME)
    assert not is_loud(bytes([0x7F]) * 160)
    assert is_loud(tone(20))
    assert loud_bytes(SILENT_FRAME * 3 + tone(40) + SILENT_FRAME) == 320


async def test_the_mouth_gives_frames_of_20_ms_and_then_silence() -> None:
    phone = Phone()
    phone.say(tone(50))
    speaking = [phone.is_speaking]
    frames = [phone.next_frame(1.0 + 0.02 * i) for i in range(4)]
    assert [len(frame) for frame in frames] == [FRAME_BYTES] * 4
    assert b"".join(frames) == tone(50) + bytes([0xFF]) * 80 + SILENT_FRAME
    speaking.append(phone.is_speaking)
    assert speaking == [True, False]
    await phone.spoken(timeout=1)
    assert [(segment.at, segment.ms) for segment in phone.said] == [(1.0, 60)]
    phone.say(tone(1000))
    with pytest.raises(TimeoutError, match="1000 ms to say"):
        await phone.spoken(timeout=0.01)
    phone.stop_speaking()
    await phone.spoken(timeout=1)


def test_a_source_is_asked_for_every_frame() -> None:
    phone = Phone(source=lambda chunk: bytes([chunk]) * 160)
    assert [phone.next_frame(0.02 * i)[0] for i in range(3)] == [1, 2, 3]


async def test_hears_and_hears_silence() -> None:
    phone = Phone()
    phone.connect()
    with pytest.raises(TimeoutError, match=r"heard 0.00 s instead of 0.1 s"):
        await phone.hears(timeout=0.02)
    begin = monotonic()
    phone.line().play(SILENT_FRAME * 5 + tone(200), begin)
    await phone.hears(0.1, timeout=2)
    assert 0.18 <= monotonic() - begin < 0.4  # a frame counts once a tenth of it is loud
    with pytest.raises(TimeoutError, match="no 300 ms of silence"):
        await phone.hears_silence(300, timeout=0.01)
    await phone.hears_silence(100, timeout=2)
    assert monotonic() - begin >= 0.395
    assert phone.heard_ms == 300
    assert phone.loud_ms() == 200


def test_the_wav_has_the_caller_left_and_the_ear_right_on_the_calls_clock(tmp_path: Path) -> None:
    phone = Phone()
    phone.connect(100.0)
    phone.say(tone(40))
    for i in range(5):
        phone.next_frame(100.5 + i * 0.02)
    heard = tone(100, hz=900)
    phone.line("media").play(heard, 101.0)
    phone.line("carrier").play(heard, 101.05)
    phone.disconnect(102.0)
    phone.write_wav(tmp_path / "call.wav")
    with wave.open(str(tmp_path / "call.wav")) as wav:
        assert wav.getparams()[:4] == (2, 2, 8000, 2 * SECOND)
        samples = array("h", wav.readframes(wav.getnframes()))
    left, right = samples[0::2], samples[1::2]
    said = [ULAW_TO_LINEAR[code] for code in tone(40)]
    assert list(left) == [0] * 4000 + said + [0] * (16000 - 4000 - 320)
    linear = [ULAW_TO_LINEAR[code] for code in heard]
    assert list(right[8000:8400]) == linear[:400]
    assert list(right[8400:8800]) == [a + b for a, b in zip(linear[400:], linear[:400], strict=True)]
    assert list(right[8800:9200]) == linear[400:]
    assert not any(right[:8000])
    assert not any(right[9200:])


def test_what_is_queued_when_the_line_is_cut_is_never_heard() -> None:
    phone = Phone()
    begin = monotonic() - 1.0
    phone.connect(begin)
    phone.line().play(tone(900), begin)
    phone.disconnect(begin + 0.4)
    assert phone.heard_ms == 400
    assert [(segment.at, segment.ms) for segment in phone.heard] == [(begin, 400)]


def test_what_was_heard_before_a_gap_comes_first() -> None:
    phone = Phone()
    first, second = tone(40, 300), tone(40, 900)
    line = phone.line()
    line.play(first, 10.0)
    line.play(second, 12.0)
    assert phone.heard_between(9.0, 15.0) == first + second
    assert phone.heard_between(11.0, 15.0) == second
