"""The no-input ladder: asked, asked again, goodbye; and what counts as input."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from callflow.agent.no_input import NoInputTimer
from callflow.contracts.events import NoInput
from callflow.timers import Timers


class Clock:
    """`call_later` on a clock that the test turns."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Any] = []

    def call_later(self, seconds: float, then: Callable[..., None], *args: Any, **_: Any) -> Any:
        timer = Timer(self.now + seconds, lambda: then(*args))
        self.timers.append(timer)
        return timer

    def turn(self, seconds: float) -> None:
        self.now += seconds
        while due := [timer for timer in self.timers if timer.at <= self.now]:
            first = min(due, key=lambda timer: timer.at)
            self.timers.remove(first)
            if not first.cancelled:
                first.then()


class Timer:
    def __init__(self, at: float, then: Callable[[], None]) -> None:
        self.at, self.then, self.cancelled = at, then, False

    def cancel(self) -> None:
        self.cancelled = True


def silence(**knobs: Any) -> tuple[NoInputTimer, Clock, list[NoInput]]:
    clock, told = Clock(), []  # type: ignore[var-annotated]
    chosen = {"seconds": 10.0, "asks": 2, "noise_seconds": 60.0} | knobs
    return NoInputTimer(timers=Timers(cast(asyncio.AbstractEventLoop, clock)), tell=told.append, **chosen), clock, told


def stay_silent(one: NoInputTimer, clock: Clock, seconds: float = 10.0) -> None:
    one.count_silence()
    clock.turn(seconds)


def test_asked_once_asked_twice_goodbye() -> None:
    one, clock, told = silence()
    for _ in range(3):
        stay_silent(one, clock)
    assert [(event.time, event.last) for event in told] == [(1, False), (2, False), (3, True)]


def test_whoever_types_is_there() -> None:
    one, clock, told = silence()
    stay_silent(one, clock)
    one.count_silence()
    for _ in range(20):
        clock.turn(9.0)
        one.key_pressed()
    clock.turn(9.0)
    assert len(told) == 1, "asked while keys came"
    clock.turn(1.0)
    assert [event.time for event in told] == [1, 1], "a key begins the ladder anew"
    one.key_pressed()
    clock.turn(100.0)
    assert len(told) == 2, "it is not the caller's turn"


def test_nothing_is_counted_as_long_as_anything_holds_that_explains_the_silence() -> None:
    one, clock, told = silence()
    one.count_silence()
    one.pause(True, "transfer")
    one.pause(True, "line")
    one.pause(False, "line")
    stay_silent(one, clock, 100.0)
    assert told == []
    one.pause(False, "transfer")
    stay_silent(one, clock)
    assert len(told) == 1


def test_a_word_begins_the_ladder_anew() -> None:
    one, clock, told = silence()
    stay_silent(one, clock)
    stay_silent(one, clock)
    one.noise_began()
    one.noise_ended()
    one.heard_words(True)
    stay_silent(one, clock)
    assert [event.time for event in told] == [1, 2, 1]


def test_speech_that_is_never_written_down_is_speech() -> None:
    one, clock, told = silence()
    stay_silent(one, clock)
    one.noise_began()
    one.noise_ended()
    stay_silent(one, clock)
    assert [event.time for event in told] == [1, 1]


def test_a_sound_without_a_word_does_not_begin_it_anew() -> None:
    one, clock, told = silence()
    stay_silent(one, clock)
    one.noise_began()
    one.noise_ended()
    one.heard_words(False)
    stay_silent(one, clock)
    assert [event.time for event in told] == [1, 2]


def test_many_sounds_without_a_word_are_no_input() -> None:
    one, _, told = silence()
    for _ in range(9):
        one.noise_began()
        one.noise_ended()
        one.heard_words(False)
    assert [(event.time, event.last, event.why) for event in told] == [
        (1, False, "wordless"), (2, False, "wordless"), (3, True, "wordless"),
    ]  # fmt: skip


def announcements(one: NoInputTimer, clock: Clock, told: list[NoInput], seconds: float) -> None:
    texts = ("Your call is important to us, please hold.", "All our agents are busy. Thank you for your patience!")
    for number in range(round(seconds / 10)):
        clock.turn(10)
        one.noise_began()
        one.noise_ended()
        one.heard_text(texts[number % 2].upper() if number % 4 < 2 else texts[number % 2], sounds_like_speech=True)
        if told and told[-1].last:
            break


def test_an_announcement_that_plays_over_and_over_ends_the_call() -> None:
    one, clock, told = silence()
    announcements(one, clock, told, 150)
    assert told == [], "people repeat themselves, too"
    announcements(one, clock, told, 100)
    assert [(event.time, event.last, event.why) for event in told] == [
        (1, False, "wordless"), (2, False, "wordless"), (3, True, "wordless"),
    ]  # fmt: skip


def test_whoever_says_something_else_in_between_is_a_person() -> None:
    one, clock, told = silence()
    for number in range(30):
        clock.turn(10)
        one.noise_began()
        one.noise_ended()
        one.heard_text(
            "I want to speak with somebody else." if number % 3 else f"No, {number}.", sounds_like_speech=True
        )
    for short in range(9):
        one.heard_text("Yes, please." if short else "Hello?", sounds_like_speech=True)
    assert told == []


def test_hold_music_ends_the_call_too() -> None:
    one, clock, told = silence()
    one.noise_began()
    for _ in range(3):
        clock.turn(60)
    assert [(event.time, event.last, event.why) for event in told] == [
        (1, False, "noise"), (2, False, "noise"), (3, True, "noise"),
    ]  # fmt: skip


def test_resting_may_be_said_often_and_counts_from_the_first() -> None:
    one, clock, told = silence()
    one.count_silence()
    clock.turn(9)
    one.count_silence()
    clock.turn(1)
    assert len(told) == 1


def test_stopped_is_stopped() -> None:
    one, clock, told = silence()
    one.count_silence()
    one.noise_began()
    one.close()
    clock.turn(1000)
    assert told == []


def test_it_can_be_switched_off() -> None:
    one, clock, told = silence(seconds=0.0, noise_seconds=0.0)
    one.noise_began()
    stay_silent(one, clock, 10_000)
    assert told == []
