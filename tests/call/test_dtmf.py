"""The caller's keypad: each key once, however often and in whatever order the carrier tells it."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.call.dtmf import MASK, DtmfCollector, KeyBuffer, Source, key_rate_limit
from callflow.contracts.events import CarrierNotice, Dtmf, Event
from callflow.contracts.rate_limit import RateLimit


def told(keypad: KeyBuffer, *presses: tuple[str, Source]) -> list[bool]:
    return [keypad.press(digit, source, at * 0.1) for at, (digit, source) in enumerate(presses)]


def test_a_key_that_both_sides_tell_counts_once() -> None:
    keypad = KeyBuffer()
    assert told(keypad, ("1", "stream"), ("1", ""), ("2", ""), ("2", "stream")) == [True, False, True, False]
    assert keypad.take() == "12"


def test_the_same_key_pressed_twice_counts_twice() -> None:
    for order in set(itertools.permutations(("stream", "stream", "", ""))):
        keypad = KeyBuffer()
        told(keypad, *(("7", source) for source in order))  # type: ignore[arg-type]
        assert keypad.take() == "77", order


@pytest.mark.parametrize("source", ["stream", ""])
def test_one_side_alone_is_enough(source: Source) -> None:
    keypad = KeyBuffer()
    told(keypad, *((digit, source) for digit in "4711"))
    assert keypad.take() == "4711"


def test_the_letters_of_a_keypad_are_the_same_in_any_case() -> None:
    keypad = KeyBuffer()
    assert told(keypad, ("a", "stream"), ("A", ""), ("D", ""), ("d", "stream")) == [True, False, True, False]
    assert keypad.take() == "AD"


def test_a_key_told_much_later_by_the_other_side_is_another_press() -> None:
    keypad = KeyBuffer()
    keypad.press("5", "stream", 0.0)
    assert keypad.press("5", "", 60.0)


def test_a_webhook_that_comes_again_is_no_press_whatever_came_between() -> None:
    """The stream's report of the same press answers for one webhook only, and the next process knows no delivery."""
    keypad = KeyBuffer()
    keypad.press("5", "stream", 0.0)
    assert not keypad.press("5", "", 0.1, "w1")
    next_one = KeyBuffer()
    next_one.restore(keypad, 0.0)
    for pad in (keypad, next_one):
        assert not pad.press("5", "", 0.2, "w1")
        assert pad.press("5", "", 0.3, "w2")
        assert pad.take() == "55"


def test_of_two_reports_the_one_that_tells_the_same_key_is_the_other_half() -> None:
    keypad = KeyBuffer()
    keypad.count(MASK, "stream", 0.0)
    keypad.count("7", "stream", 0.1)
    assert [keypad.press(digit, "", 0.2) for digit in "75"] == [False, False]
    assert keypad.take() == "57"


@pytest.mark.parametrize(("masked", "entry"), [(1, "45"), (2, f"4{MASK}{MASK}")])
def test_a_key_that_the_journal_may_not_have_is_known_by_the_other_report_of_it(masked: int, entry: str) -> None:
    """If there are several, nobody knows which of them this is: webhooks come in any order."""
    keypad = KeyBuffer()
    keypad.count("4", "stream", 0.0)
    for _ in range(masked):
        keypad.count(MASK, "stream", 0.1)
    keypad.repeat("4", "", 0.1)
    assert not keypad.press("5", "", 0.2)
    assert keypad.take() == entry


@given(st.text("0123456789*#", max_size=12), st.randoms())
def test_frames_in_order_and_webhooks_in_any_order_make_one_entry(digits: str, shuffle: object) -> None:
    keypad = KeyBuffer(end="")
    late = list(digits)
    shuffle.shuffle(late)  # type: ignore[attr-defined]
    for digit in digits:
        keypad.press(digit, "stream", 0.0)
    assert not any(keypad.press(digit, "", 1.0) for digit in late)
    assert keypad.take() == digits


def test_the_end_key_completes_an_entry_and_is_no_part_of_it() -> None:
    keypad = KeyBuffer(end="#")
    told(keypad, *((digit, "stream") for digit in "123#"))
    assert keypad.is_complete
    assert keypad.take() == "123"
    assert keypad.take() == ""


def test_the_end_key_alone_is_an_entry() -> None:
    keypad = KeyBuffer(end="#")
    keypad.press("#", "stream", 0.0)
    assert keypad.take() == "#"


def test_without_an_end_key_every_key_belongs_to_the_entry() -> None:
    keypad = KeyBuffer(end="")
    told(keypad, *((digit, "stream") for digit in "12#"))
    assert not keypad.is_complete
    assert keypad.take() == "12#"


@pytest.mark.parametrize("digit", ["", "x", "12", "é", " "])
def test_what_is_no_key_is_not_taken(digit: str) -> None:
    assert not KeyBuffer().press(digit, "stream", 0.0)


def test_an_entry_is_bounded() -> None:
    keypad = KeyBuffer(end="")
    for at in range(1000):
        keypad.press("1", "stream", float(at))
    assert len(keypad.take()) == 64


# How fast


def taken(keys: RateLimit, *times: float) -> int:
    return sum(keys.take(at) for at in times)


def test_whoever_types_quickly_loses_no_key() -> None:
    """Twelve keys a second, each told twice, for a minute."""
    times = [100 + number / 12 for number in range(720) for _ in "12"]
    assert taken(key_rate_limit(), *times) == len(times)


def test_keys_that_a_carrier_tells_late_and_together_are_taken() -> None:
    assert taken(key_rate_limit(), *[5.0] * 40) == 40


def test_a_flood_is_cut_to_what_a_telephone_can_send() -> None:
    times = [100 + number / 7500 for number in range(75_000)]
    assert 300 <= taken(key_rate_limit(), *times) <= 360 + 1


def test_after_a_flood_keys_are_taken_again() -> None:
    keys = key_rate_limit()
    taken(keys, *[1.0] * 1000)
    assert not keys.take(1.0)
    assert keys.take(1.1)


# What the caller of a call types


class Typing:
    """A collector, whose timers are a loop's."""

    def __init__(self, *, end: str = "#", pause_seconds: float = 60.0, sensitive: bool = False) -> None:
        self.entries: list[str] = []
        self.pressed: list[int] = []
        self.dropped = 0
        self.collector = DtmfCollector(
            "c1",
            end=end,
            pause_seconds=pause_seconds,
            sensitive=sensitive,
            entered=self.entries.append,
            pressed=lambda: self.pressed.append(len(self.entries)),
            dropped=self.drop,
        )

    def drop(self) -> None:
        self.dropped += 1

    def press(self, digits: str, source: Source = "stream", *, over: bool = False) -> list[Event | None]:
        return [self.collector.receive(Dtmf(digit=digit, source=source), over=over) for digit in digits]


async def test_the_end_key_ends_an_entry_at_once_and_a_pause_ends_one_without_it() -> None:
    typing = Typing()
    typing.press("12#")
    assert typing.entries == [], "not within the same tick"
    await asyncio.sleep(0.001)
    assert typing.entries == ["12"]
    typing = Typing(pause_seconds=0.02)
    typing.press("34")
    await asyncio.sleep(0.001)
    assert typing.entries == []
    await asyncio.sleep(0.05)
    assert typing.entries == ["34"]


@pytest.mark.e2e
async def test_each_key_begins_the_pause_anew() -> None:
    typing = Typing(pause_seconds=0.3)
    for digit in "123":
        typing.press(digit)
        await asyncio.sleep(0.08)
    assert typing.entries == [], "a pause was counted from the key before"
    await asyncio.sleep(0.5)
    assert typing.entries == ["123"]


async def test_what_may_be_written_down_of_a_key() -> None:
    assert Typing().press("7") == [Dtmf(digit="7", source="stream")]
    assert Typing(sensitive=True).press("7") == [Dtmf(digit=MASK, source="stream")]
    assert Typing().press("7", over=True) == [Dtmf(digit=MASK, source="stream")]
    typing = Typing()
    typing.press("7")
    (second,) = typing.press("7", "")
    assert isinstance(second, CarrierNotice), "the same press, from the other source"
    typing.press("8")
    (late,) = typing.press("8", "", over=True)
    assert isinstance(late, CarrierNotice), "the same press, told again when the call was over"


def test_keys_that_come_too_fast_are_dropped_and_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        typing = Typing()
        seen = typing.press("1" * 200)
        assert seen[:60] == [Dtmf(digit="1", source="stream")] * 60
        assert (seen[-1], typing.dropped) == (None, seen.count(None))

    asyncio.run(main())
    assert sum("faster than anybody can type" in record.getMessage() for record in caplog.records) == 1


async def test_after_closing_no_entry_is_told() -> None:
    typing = Typing(pause_seconds=0.0)
    typing.press("1")
    typing.collector.close()
    typing.press("2#")
    await asyncio.sleep(0.005)
    assert typing.entries == []
