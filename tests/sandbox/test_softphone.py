"""A person's own voice at an emulated line: how a microphone is levelled out, and what is heard in each 20 ms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from callflow.media.g711 import FRAME_BYTES, ulaw_to_pcm16
from callflow.sandbox.common.phone import SILENT_FRAME, Phone, tone
from callflow.sandbox.common.softphone import Microphone, SoftphoneCall, heard_frame


def test_a_microphone_waits_for_three_frames_and_then_gives_each_in_order() -> None:
    voice, microphone = tone(80), Microphone()
    microphone.feed(voice[: 2 * FRAME_BYTES])
    assert microphone.frame(1) == SILENT_FRAME
    microphone.feed(voice[2 * FRAME_BYTES :])
    assert b"".join(microphone.frame(number) for number in range(4)) == voice
    assert microphone.frame(6) == SILENT_FRAME


def test_of_a_microphone_that_is_faster_than_the_line_the_oldest_is_lost() -> None:
    microphone = Microphone()
    microphone.feed(tone(2000))
    microphone.feed(voice := tone(60, 880.0))
    assert b"".join(microphone.frame(number) for number in range(6))[-len(voice) :] == voice


def test_each_20_ms_is_heard_once_and_what_was_cleared_is_not() -> None:
    phone, voice = Phone(), tone(100)
    phone.line().play(voice, 10.0)
    heard = [heard_frame(phone, 10.0 - 0.01 + 0.02 * number) for number in range(4)]
    assert b"".join(heard) == SILENT_FRAME[:80] + voice[: 4 * FRAME_BYTES - 80]
    phone.line().clear(10.05)
    assert heard_frame(phone, 10.04) == voice[320:400] + SILENT_FRAME[:80]
    assert heard_frame(phone, 10.06) == SILENT_FRAME


def test_two_lines_are_heard_together() -> None:
    phone, voice = Phone(), tone(20, level=0.2)
    for name in ("media", "music"):
        phone.line(name).play(voice, 1.0)
    loudest = max(memoryview(ulaw_to_pcm16(heard_frame(phone, 1.0))).cast("h"))
    assert loudest > 1.8 * max(memoryview(ulaw_to_pcm16(voice)).cast("h"))


def test_what_was_said_and_heard_some_time_ago_is_not_kept_for_hours() -> None:
    phone, voice = Phone(), tone(100)
    call = SoftphoneCall(cast(Any, SimpleNamespace(streams=[])), phone, Microphone(), "", "")
    for at in (1.0, 5.0, 9.0):
        phone.line().play(voice, at)
    phone.next_frame(9.0)
    call._forget_before(8.0)
    (line,) = phone.lines.values()
    assert ([segment.at for segment in line.segments], phone.said) == ([9.0], [])
    assert heard_frame(phone, 9.0) == voice[:FRAME_BYTES]
    assert line.played(10.0) == 3 * len(voice)
