"""Silence is made up only where a leg that sends no frames would leave the engine waiting."""

from __future__ import annotations

import base64
from collections.abc import Callable
from unittest import mock

from callflow.media.silence_filler import SilenceFiller


class Clock:
    """A loop's, whose time passes at once."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, then: Callable[..., None], *given: object, **_: object) -> mock.Mock:
        self.due.append((self.now + seconds, lambda: then(*given)))
        return mock.Mock()

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.due and min(self.due)[0] <= end:
            at, then = self.due.pop(self.due.index(min(self.due, key=lambda each: each[0])))
            self.now = at
            then()
        self.now = end


def heard(seconds: float, *, frames_for: float = 0.0, speaks_for: float = 99.0) -> list[bytes]:
    """What is made up in that time, in which frames come every 20 ms for `frames_for` seconds."""
    made: list[bytes] = []
    clock = Clock()
    began = clock.now

    def append(payload: str, audio: bytes, *, made_up: bool) -> None:
        assert made_up
        assert base64.b64decode(payload) == audio
        made.append(audio)

    with mock.patch("asyncio.get_running_loop", return_value=clock):
        one = SilenceFiller(lambda: clock.now - began < speaks_for, append)
    one.watch()
    while clock.now - began < seconds:
        if clock.now - began < frames_for:
            one.frame()
        clock.run(0.02)
    one.stop()
    return made


def test_how_long_a_gap_is_borne_and_how_much_of_it_is_filled() -> None:
    """No network holds frames up for longer; and an engine that has not noticed an end in ten seconds never will."""
    clock, made = Clock(), bytearray()
    with mock.patch("asyncio.get_running_loop", return_value=clock):
        one = SilenceFiller(lambda: True, lambda payload, audio, *, made_up: made.extend(audio))
    one.watch()
    clock.run(0.5)
    assert not made
    clock.run(0.5)
    assert 4000 <= len(made) <= 8000
    clock.run(60)
    assert 10 <= len(made) / 8000 <= 10.3


def test_frames_that_come_need_no_silence() -> None:
    assert heard(3, frames_for=3) == []


def test_a_gap_is_filled_from_its_beginning_on() -> None:
    made = heard(2)
    assert len(made) > 3
    assert 1.8 <= sum(map(len, made)) / 8000 <= 2
    assert set(b"".join(made)) == {0xFF}


def test_a_caller_who_has_stopped_is_not_helped() -> None:
    assert heard(2, frames_for=0.5, speaks_for=0.6) == []


def test_it_does_not_go_on_for_ever() -> None:
    assert sum(map(len, heard(80))) / 8000 < 10.5
