"""What the caller has heard, held against a carrier that is simulated by its own rules, one millisecond at a time."""

from __future__ import annotations

import itertools
import time
from collections import Counter, deque
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.contracts.media import Cut, Heard, SpeechSegmentId
from callflow.media.playout import MARK_SECONDS, Mark, Playout, Send
from tests.configs import make_playout


A, B, C = SpeechSegmentId("item_a"), SpeechSegmentId("item_b"), SpeechSegmentId("item_c")
FRAME = 160
SILENCE = 0xFF


def ms(count: int, value: int = 1) -> bytes:
    return bytes([value]) * (8 * count)


class Carrier:
    """Plays what it was sent at 8 bytes a millisecond. Knows nothing of the ledger."""

    def __init__(self, *, bytes_per_ms: int = 8, marks: str = "played") -> None:
        self.rate = bytes_per_ms
        self.marks_are = marks
        """played: as documented; immediate, never, or every second one lost."""
        self.queue: deque[int] = deque()
        self.marks: deque[tuple[str, int]] = deque()
        self.received = bytearray()
        self.played = bytearray()
        self.gaps = 0
        """Milliseconds without audio between audio."""
        self._silent = 0
        self._count = 0

    def audio(self, audio: bytes) -> None:
        assert audio
        assert len(audio) % FRAME == 0
        self.gaps += self._silent if self.played else 0
        self._silent = 0
        self.queue.extend(audio)
        self.received += audio

    def mark(self, name: str) -> None:
        self.marks.append((name, len(self.played) + len(self.queue)))

    def clear(self) -> list[str]:
        self.queue.clear()
        return [self.marks.popleft()[0] for _ in range(len(self.marks))]

    def tick(self) -> list[str]:
        """One millisecond. Returns the marks that are due."""
        if not self.queue:
            self._silent += 1
        for _ in range(min(self.rate, len(self.queue))):
            self.played.append(self.queue.popleft())
        back = []
        while self.marks and (self.marks_are == "immediate" or self.marks[0][1] <= len(self.played)):
            back.append(self.marks.popleft()[0])
        self._count += len(back)
        if self.marks_are == "never" or (self.marks_are == "half" and self._count % 2):
            return []
        return back


class Line:
    """Playout, carrier and the way between them, `link` milliseconds long in either direction."""

    def __init__(
        self,
        playout: Playout | None = None,
        carrier: Carrier | None = None,
        *,
        link: int = 0,
        late: int = 0,
        passes: bool = True,
    ) -> None:
        self.playout, self.carrier = playout or make_playout(), carrier or Carrier()
        self.is_passing = passes
        """Audio is offered to `passes` first, as the relay does it."""
        self.passed = 0
        self.link, self.late = link, late
        """`late`: by how many milliseconds a pump comes after the time that `wake_at` gave."""
        self.now = 0
        self.there: deque[tuple[int, Callable[[], None]]] = deque()
        self.back: deque[tuple[int, str]] = deque()
        self.sent: list[Send | Mark] = []
        self.heard: list[Heard] = []
        self.wake: float | None = None
        self.most_held = 0

    @property
    def clock(self) -> float:
        return 1000 + self.now / 1000

    def say(self, key: SpeechSegmentId, audio: bytes, response: str = "r1") -> bool:
        if self.is_passing and (wake := self.playout.passes(key, response, audio, self.clock)) is not None:
            self.passed += 1
            self._send(Send(audio))
            self._sleep(wake)
            return True
        taken = self.playout.add(key, response, audio)
        self.pump()
        return taken

    def finish(self, key: SpeechSegmentId) -> None:
        self.heard += self.playout.finish(key)
        self.pump()

    def pump(self) -> None:
        for out in self.playout.due(self.clock):
            self._send(out)
        self._sleep(self.playout.wake_at(self.clock))

    def _send(self, out: Send | Mark) -> None:
        self.sent.append(out)
        arrive = (
            partial(self.carrier.audio, out.audio) if isinstance(out, Send) else partial(self.carrier.mark, out.name)
        )
        self.there.append((self.now + self.link, arrive))

    def _sleep(self, wake: float | None) -> None:
        self.wake = None if wake is None else max(wake, self.clock + 0.001) + self.late / 1000

    def arrive(self) -> None:
        while self.there and self.there[0][0] <= self.now:
            self.there.popleft()[1]()
        self.most_held = max(self.most_held, len(self.carrier.queue))

    def run(self, milliseconds: int) -> None:
        for _ in range(milliseconds):
            self.arrive()
            names = self.carrier.tick()
            self.now += 1
            self.back.extend((self.now + self.link, name) for name in names)
            self.arrive()
            self.hear_back()
            if self.wake is not None and self.clock >= self.wake:
                self.pump()

    def hear_back(self) -> None:
        while self.back and self.back[0][0] <= self.now:
            self.heard += self.playout.mark(self.back.popleft()[1], self.clock)
            self.pump()

    def interrupt(self) -> tuple[list[Cut], bytes]:
        """The cuts, and what the carrier had really played when the clear came."""
        cuts = self.playout.interrupt(self.clock)
        self.wake = None
        played: list[bytes] = []

        def clear() -> None:
            played.append(bytes(self.carrier.played))
            self.back.extend((self.now + self.link, name) for name in self.carrier.clear())

        self.there.append((self.now + self.link, clear))
        if not self.link:
            self.arrive()
        self.run(self.link)
        return cuts, played[0]


# --- One thing at a time


def test_audio_goes_out_in_whole_frames_up_to_the_lead() -> None:
    playout = make_playout(lead_ms=400, mark_every_ms=200)
    playout.add(A, "r", ms(1000))
    out = list(playout.due(0.0))
    assert [len(each.audio) // 8 if isinstance(each, Send) else each.name for each in out] == [
        200,
        "item_a:0:1",
        200,
        "item_a:0:2",
    ]
    assert playout._clock.held(0.0) == 400 * 8
    assert playout.waiting_ms == 600
    assert playout.wake_at(0.0) == pytest.approx(0.1), "when 100 ms are free"
    assert list(playout.due(0.05)) == []


def test_odd_sizes_are_cut_into_frames_and_only_the_end_is_padded() -> None:
    playout = make_playout()
    sent = b""
    for size in (100, 59, 1, 161, 7):
        playout.add(A, "r", bytes([1]) * size)
        sent += b"".join(out.audio for out in playout.due(0.0) if isinstance(out, Send))
    assert sent == bytes([1]) * 320
    assert playout.wake_at(0.0) == pytest.approx(0.05), "only to learn how far the caller is"
    playout.finish(A)
    end, mark = playout.due(0.0)
    assert isinstance(end, Send)
    assert end.audio == bytes([1]) * 8 + bytes([SILENCE]) * 152
    assert mark == Mark("item_a:0:1")


def test_a_stretch_that_ends_on_a_frame_still_gets_its_mark() -> None:
    playout = make_playout()
    playout.add(A, "r", ms(40))
    assert list(playout.due(0.0)) == [Send(ms(40))]
    playout.finish(A)
    assert list(playout.due(0.0)) == [Mark("item_a:0:1")]
    assert playout.mark("item_a:0:1", 0.04) == [Heard(A, 40)]
    assert playout.wake_at(0.04) is None


def test_a_pause_of_the_engine_is_used_to_learn_where_the_caller_is() -> None:
    playout = make_playout()
    playout.add(A, "r", ms(40))
    list(playout.due(0.0))
    assert list(playout.due(0.045)) == [], "the engine is late by a moment"
    assert playout.wake_at(0.045) == pytest.approx(0.05)
    assert list(playout.due(0.051)) == [Mark("item_a:0:1")]
    assert playout.wake_at(0.051) is None


@pytest.mark.parametrize("mark_every", [20, 30, 190, 200, 1000])
def test_no_stretch_between_marks_is_longer_than_asked(mark_every: int) -> None:
    """Up to twice as much lay between two marks, where a batch began shortly before a mark was due."""
    playout = make_playout(mark_every_ms=mark_every)
    now, since, most = 0.0, 0, 0
    for _ in range(300):
        playout.add(A, "r", ms(11))
        for out in playout.due(now):
            since = since + len(out.audio) if isinstance(out, Send) else 0
            most = max(most, since)
        now += 0.007
    assert FRAME <= most <= max(mark_every * 8, FRAME)


def test_what_was_heard_is_counted_by_the_clock_between_marks() -> None:
    playout = make_playout()
    playout.add(A, "r", ms(1000))
    list(playout.due(5.0))
    assert [playout.heard_ms(A, 5.0 + t) for t in (0, 0.0301, 0.2501, 0.4001, 9)] == [0, 30, 250, 400, 400]
    assert playout.heard_ms(B, 5.1) == 0


def test_an_interruption_cuts_what_is_heard_now_and_everything_behind_it_at_zero() -> None:
    playout = make_playout()
    for key in (A, B, C):
        playout.add(key, "r", ms(300))
    list(playout.due(0.0))
    assert playout.interrupt(0.1501) == [Cut(A, 150, 300), Cut(B, 0, 300), Cut(C, 0, 300)]
    assert not playout.is_unplayed(0.1501)
    assert list(playout.due(0.1501)) == []


def test_late_audio_of_what_was_interrupted_is_dropped_and_that_of_the_next_response_is_not() -> None:
    playout = make_playout()
    playout.add(A, "r1", ms(300))
    list(playout.due(0.0))
    playout.interrupt(0.1)
    assert not playout.add(A, "r1", ms(20))
    assert not playout.add(B, "r1", ms(20)), "another item of the same response"
    assert playout.add(C, "r2", ms(20))
    assert playout.late_bytes == 320


def test_a_response_can_be_dropped_before_anything_of_it_came() -> None:
    playout = make_playout()
    playout.discard_response("r1")
    assert not playout.add(A, "r1", ms(20))


def test_the_memory_of_dropped_responses_is_bounded() -> None:
    playout = make_playout()
    for number in range(1000):
        playout.discard_response(f"r{number}")
    assert playout.add(A, "r0", ms(20))
    assert not playout.add(B, "r999", ms(20))


def test_marks_that_a_clear_returns_never_count() -> None:
    playout = make_playout()
    playout.add(A, "r1", ms(400))
    names = [out.name for out in playout.due(0.0) if isinstance(out, Mark)]
    playout.interrupt(0.05)
    playout.add(B, "r2", ms(400))
    list(playout.due(0.06))
    assert [playout.mark(name, 0.06) for name in names] == [[], []]
    assert playout.stale_marks == 2
    assert playout.heard_ms(B, 0.0601) == 0


def test_a_sentence_that_was_cut_off_can_be_said_again() -> None:
    """It was taken for late audio of itself, and the caller heard nothing."""
    playout = make_playout()
    for second in (1, 2):
        assert playout.add(A, "clip", ms(300))
        playout.finish(A)
        list(playout.due(second))
        assert playout.interrupt(second + 0.1) == [Cut(A, 100, 300)]


def test_what_the_engine_has_begun_and_not_ended_is_not_played_yet() -> None:
    """An interruption in a pause of the engine found nothing to cut, and what came after the pause was dropped."""
    playout = make_playout()
    playout.add(A, "r", ms(100))
    list(playout.due(0.0))
    assert playout.is_unplayed(1.0)
    assert playout.interrupt(1.0) == [Cut(A, 100, 100)]
    assert not playout.add(A, "r", ms(100))


def test_what_was_played_by_the_clock_alone_may_still_be_shown_by_a_mark() -> None:
    """Another process, which reads what was shown, would take the end of it for cut off."""
    playout = make_playout()
    playout.add(A, "r", ms(100))
    playout.finish(A)
    names = [out.name for out in playout.due(0.0) if isinstance(out, Mark)]
    assert not playout.is_unplayed(0.11)
    assert playout.awaits_marks(0.11)
    assert not playout.awaits_marks(0.1 + MARK_SECONDS + 0.01), "the carrier returns no marks"
    playout.mark(names[-1], 0.12)
    assert not playout.awaits_marks(0.12)


def test_audio_that_comes_for_an_earlier_stretch_does_not_hold_up_the_later_one() -> None:
    """The earlier one counted as unfinished again, and the later one waited for an end that had been told already."""
    playout = make_playout(lead_ms=2000)
    playout.add(A, "r", ms(100, 1))
    playout.add(B, "r", ms(100, 2))
    playout.add(A, "r", ms(100, 1))
    sent = b"".join(out.audio for out in playout.due(0.0) if isinstance(out, Send))
    assert sent == ms(200, 1) + ms(100, 2)


def test_nothing_is_asked_of_the_clock_when_there_is_nothing_to_do() -> None:
    playout = make_playout()
    assert playout.wake_at(0.0) is None
    assert list(playout.due(0.0)) == []
    assert playout.interrupt(0.0) == []
    assert playout.finish(A) == []
    assert playout.mark("never:0:1", 0.0) == []
    assert not playout.is_unplayed(0.0)


# --- With a carrier


@pytest.mark.parametrize("link", [0, 50])
def test_the_second_reply_is_interrupted_at_700_ms(link: int) -> None:
    line = Line(link=link)
    line.say(A, ms(1500, 1), "r1")
    line.finish(A)
    line.run(3000)
    assert line.heard == [Heard(A, 1500)]
    line.say(B, ms(2000, 2), "r2")
    line.finish(B)
    line.run(700)
    [cut], played = line.interrupt()
    assert cut.key == B
    assert abs(cut.heard_ms - 700) <= 40
    assert abs(cut.heard_ms - played.count(2) / 8) <= 40


@pytest.mark.parametrize("link", [0, 50])
def test_an_interruption_after_the_last_word_cuts_nothing(link: int) -> None:
    line = Line(link=link)
    line.say(A, ms(505))
    line.finish(A)
    line.run(1000)
    assert not line.playout.is_unplayed(line.clock)
    assert line.interrupt()[0] == []


def test_an_end_that_was_heard_but_not_yet_confirmed_is_no_cut() -> None:
    line = Line(carrier=Carrier(marks="never"))
    line.say(A, ms(500))
    line.finish(A)
    line.run(600)
    assert line.heard == []
    assert line.interrupt()[0] == []


@pytest.mark.parametrize("late", [0, 5, 20])
@pytest.mark.parametrize("lead", [100, 200, 400, 1000])
def test_the_carrier_never_runs_dry_and_never_holds_more_than_the_lead(lead: int, late: int) -> None:
    line = Line(make_playout(lead_ms=lead), late=late)
    line.say(A, ms(6010))
    line.finish(A)
    line.run(6100)
    assert len(line.carrier.played) == 6020 * 8
    assert line.carrier.gaps == 0
    assert line.most_held <= lead * 8 + FRAME
    assert line.heard == [Heard(A, 6010)]


def test_a_full_carrier_is_fed_in_batches_and_not_frame_by_frame() -> None:
    line = Line()
    line.say(A, ms(10_000))
    line.finish(A)
    line.run(10_100)
    assert len([out for out in line.sent if isinstance(out, Send)]) <= 110


@pytest.mark.parametrize("link", [0, 50])
def test_a_carrier_that_plays_slower_is_caught_by_its_marks(link: int) -> None:
    line = Line(carrier=Carrier(bytes_per_ms=7), link=link)
    line.say(A, ms(6000))
    line.run(3000)
    [cut], played = line.interrupt()
    assert abs(cut.heard_ms - len(played) / 8) <= 80
    assert line.most_held <= (400 + 80) * 8


def test_a_carrier_that_fell_behind_has_caught_up_after_a_pause() -> None:
    """What it was behind at the end of one reply was taken off the beginning of the next."""
    line = Line(carrier=Carrier(bytes_per_ms=6))
    line.say(A, ms(3000))
    line.finish(A)
    line.run(6000)
    line.carrier.rate = 8
    line.say(B, ms(1000, 2), "r2")
    line.run(150)
    [cut], played = line.interrupt()
    assert abs(cut.heard_ms - played.count(2) / 8) <= 40


@pytest.mark.parametrize("marks", ["half", "never"])
def test_a_carrier_that_loses_marks(marks: str) -> None:
    line = Line(carrier=Carrier(marks=marks), link=50)
    line.say(A, ms(3000))
    line.run(1234)
    [cut], played = line.interrupt()
    assert abs(cut.heard_ms - len(played) / 8) <= 40
    assert line.most_held <= 400 * 8 + FRAME


def test_a_carrier_that_echoes_marks_at_once_is_not_believed() -> None:
    """Each of them made room, so that all of a long answer lay at the carrier at once, and counted as heard."""
    line = Line(carrier=Carrier(marks="immediate"), link=10)
    line.say(A, ms(5000))
    line.finish(A)
    line.run(2000)
    assert line.most_held <= 400 * 8 + FRAME
    assert line.playout.early_marks > 0
    assert line.heard == []
    assert abs(line.playout.heard_ms(A, line.clock) - 2000) <= 40
    line.run(3200)
    assert line.heard == [Heard(A, 5000)]
    assert line.playout.wake_at(line.clock) is None


@pytest.mark.parametrize("link", [0, 1, 10])
def test_a_carrier_that_echoes_marks_at_once_is_not_sent_one_for_each(link: int) -> None:
    """Behind a finished stretch every early mark was followed by another one at once: hundreds in the last 0.4 s."""
    line = Line(carrier=Carrier(marks="immediate"), link=link)
    for key in (A, B):
        line.say(key, ms(2000), "r")
        line.finish(key)
    line.run(5000)
    assert {heard.key for heard in line.heard} == {A, B}
    assert sum(isinstance(out, Mark) for out in line.sent) <= 4000 // 100 + 6


def test_a_carrier_that_hands_audio_on_a_little_early_is_not_flooded() -> None:
    """Every mark that came 60 ms early moved the pacer's clock by as much, for good."""
    playout = make_playout()
    playout.add(A, "r", ms(30_000))
    now, most = 0.0, 0.0
    marks: list[tuple[float, str]] = []
    for _ in range(2500):
        marks += [
            (now + playout._clock.held(now) / 8000 - 0.06, out.name)
            for out in playout.due(now)
            if isinstance(out, Mark)
        ]
        while marks and marks[0][0] <= now:
            playout.mark(marks.pop(0)[1], now)
        now += 0.01
        sent_ms = 30_000 - playout.waiting_ms
        most = max(most, sent_ms - now * 1000)
    assert most <= 400 + 100


# --- With any carrier, any speech, at any moment


Delta = tuple[int, int]
"""Bytes, and milliseconds until the next."""
deltas = st.lists(st.tuples(st.integers(1, 6000), st.sampled_from([0, 0, 0, 3, 20, 90, 300])), min_size=1, max_size=6)
speeches = st.lists(deltas, min_size=1, max_size=4)


def keys() -> list[SpeechSegmentId]:
    return [SpeechSegmentId("m1", 0), SpeechSegmentId("m1", 1), SpeechSegmentId("m2", 0), SpeechSegmentId("m3", 0)]


def test_late_audio_of_many_interrupted_responses_is_known_and_not_of_endlessly_many() -> None:
    playout = make_playout()
    for number in range(1000):
        playout.discard_response(f"r{number}")
        playout.discard_item(SpeechSegmentId(f"i{number}"))
    assert not playout.add(SpeechSegmentId("new"), "r900", ms(20))
    assert not playout.add(SpeechSegmentId("i900"), "new", ms(20))
    assert len(playout._discarded_responses) == len(playout._discarded_items) == 256


Act = tuple[str, int]
acts = st.lists(
    st.one_of(
        st.tuples(st.just("frames"), st.integers(1, 12)),
        st.tuples(st.just("say"), st.sampled_from([160, 320, 1600, 80])),
        st.tuples(st.just("run"), st.sampled_from([1, 19, 20, 21, 60, 400])),
        st.tuples(st.just("talk"), st.integers(1, 12)),
        st.tuples(st.sampled_from(["finish", "next", "interrupt", "end", "drop response", "drop item"]), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(acts, st.sampled_from([100, 400]), st.sampled_from([20, 200]), st.sampled_from([0, 15]))
@pytest.mark.exhaustive
def test_what_passes_is_what_would_have_been_added_and_sent(
    acts: list[Act], lead: int, mark_every: int, late: int
) -> None:
    lines = [
        Line(make_playout(lead_ms=lead, mark_every_ms=mark_every), late=late, passes=passes) for passes in (True, False)
    ]
    told = [_acted(line, acts) for line in lines]
    assert told[0] == told[1]
    assert lines[0].sent == lines[1].sent
    assert lines[0].heard == lines[1].heard


def _acted(line: Line, acts: list[Act]) -> list[object]:
    """Returns all that the ledger says after each act."""
    number, told = 1, list[object]()
    for act, size in acts:
        key, response = SpeechSegmentId(f"m{number // 2}", number % 2), f"r{number // 4}"
        match act:
            case "say":
                told.append(line.say(key, ms(size // 8, number % 200), response))
            case "frames":
                told += [line.say(key, ms(20, number % 200), response) for _ in range(size)]
            case "talk":
                for _ in range(size):
                    told.append(line.say(key, ms(20, number % 200), response))
                    line.run(20)
            case "run":
                line.run(size)
            case "drop response":
                line.playout.discard_response(response)
            case "drop item":
                line.playout.discard_item(key)
            case "finish":
                line.finish(key)
            case "next":
                number += 1
            case "interrupt":
                told.append(line.interrupt())
            case "end":
                line.heard += line.playout.finish_response(response)
                line.pump()
        playout, now = line.playout, line.clock
        told.append((
            playout.late_bytes, playout.position(now), playout.ends_at(now), playout.hearing(now), playout.waiting_ms,
            playout.sending, playout.is_unplayed(now), playout.awaits_marks(now), playout.wake_at(now), line.wake,
        ))  # fmt: skip
    return told


@pytest.mark.parametrize("drops", [lambda one: one.discard_item(A), lambda one: one.discard_response("r1")])
def test_dropped_audio_does_not_pass(drops: Callable[[Playout], None]) -> None:
    line = Line(make_playout(mark_every_ms=200))
    for _ in range(3):
        assert line.say(A, ms(20))
    assert line.passed
    drops(line.playout)
    assert not line.say(A, ms(20))


def test_a_model_that_speaks_no_faster_than_we_play_passes_nearly_all_its_audio() -> None:
    line = Line(make_playout(mark_every_ms=200))
    for _ in range(100):
        line.say(A, ms(20))
        line.run(20)
    assert line.passed >= 85  # every tenth frame has a mark behind it


@settings(max_examples=60, deadline=None)
@given(
    speeches,
    st.sampled_from([0, 50]),
    st.sampled_from([100, 400]),
    st.sampled_from([20, 200]),
    st.sampled_from([0, 15]),
)
@pytest.mark.exhaustive
def test_every_byte_arrives_once_in_order_and_is_heard(
    speech: list[list[Delta]], link: int, lead: int, mark_every: int, late: int
) -> None:
    line = Line(make_playout(lead_ms=lead, mark_every_ms=mark_every), link=link, late=late)
    byte = itertools.cycle(range(SILENCE))
    said = b""
    lengths = {}
    for key, stretch in zip(keys(), speech, strict=False):
        length = 0
        for size, wait in stretch:
            audio = bytes(next(byte) for _ in range(size))
            said += audio
            length += size
            assert line.say(key, audio)
            line.run(wait)
        lengths[key] = length
        line.finish(key)
    line.run(len(said) // 8 + 1000)
    assert bytes(line.carrier.received.replace(b"\xff", b"")) == said
    assert line.carrier.played == line.carrier.received
    assert line.heard == [Heard(key, length // 8) for key, length in lengths.items()]
    assert line.most_held <= (lead + (0 if not link else late)) * 8 + FRAME
    check_frames_and_marks(line.sent, lengths, max(mark_every * 8, FRAME))
    assert line.playout.wake_at(line.clock) is None
    assert not line.playout.is_unplayed(line.clock)


def check_frames_and_marks(sent: list[Send | Mark], lengths: dict[SpeechSegmentId, int], mark_every: int) -> None:
    names = [out.name for out in sent if isinstance(out, Mark)]
    assert len(set(names)) == len(names)
    ends = itertools.accumulate(-(-length // FRAME) * FRAME for length in lengths.values())
    padded = dict(zip(ends, lengths.items(), strict=True))
    marked = {0: ""}
    position = 0
    for out in sent:
        if isinstance(out, Mark):
            item, content, number = out.name.split(":")
            assert SpeechSegmentId(item, int(content)) in lengths
            assert number.isdigit()
            marked[position] = out.name
            continue
        position += len(out.audio)
        assert position - max(marked) <= mark_every
        padding = len(out.audio) - len(out.audio.rstrip(b"\xff"))
        if padding:
            assert padding == -padded[position][1] % FRAME, "padding is at an end only"
    assert set(padded) <= set(marked), "every end has its mark"
    for end, (key, _) in padded.items():
        assert marked[end].startswith(f"{key.item}:{key.content}:")


@settings(max_examples=120, deadline=None)
@given(
    speeches,
    st.integers(0, 4000),
    st.sampled_from([0, 50]),
    st.booleans(),
    st.sampled_from(["played", "played", "half", "never"]),
    st.integers(0, 3),
)
@pytest.mark.exhaustive
def test_an_interruption_at_any_moment_tells_what_was_heard(
    speech: list[list[Delta]], moment: int, link: int, told_ends: bool, marks: str, before: int
) -> None:
    """Also the second, third and fourth in one call."""
    line = Line(carrier=Carrier(marks=marks), link=link)
    for turn in range(before + 1):
        line.carrier.played.clear()
        received: Counter[SpeechSegmentId] = Counter()
        numbers = {
            SpeechSegmentId(f"{key.item}.{turn}", key.content): number for number, key in enumerate(keys(), start=1)
        }
        response = f"r{turn}"
        began = line.now
        finished = True
        for key, stretch in zip(numbers, speech, strict=False):
            for size, wait in stretch:
                finished = False
                if line.now - began <= moment:
                    line.say(key, bytes([numbers[key]]) * size, response)
                    received[key] += size
                    line.run(min(wait, moment + 1 - (line.now - began)))
            if told_ends and line.now - began <= moment:
                line.finish(key)
                finished = True
        line.run(max(0, moment - (line.now - began)))
        cuts, played = line.interrupt()
        check_cuts(cuts, played, received, numbers)
        assert all(isinstance(cut.heard_ms, int) for cut in cuts)
        if not finished:
            assert not line.say(next(iter(numbers)), ms(20), response), "late audio"
        stale = line.playout.stale_marks
        outstanding = len(line.back)
        line.run(link + 1)
        assert line.playout.stale_marks == stale + outstanding, "what the clear returned proves nothing"
    assert all(len(out.audio) % FRAME == 0 for out in line.sent if isinstance(out, Send))


def check_cuts(
    cuts: list[Cut], played: bytes, received: Counter[SpeechSegmentId], numbers: dict[SpeechSegmentId, int]
) -> None:
    by_key = {cut.key: cut for cut in cuts}
    assert len(by_key) == len(cuts)
    assert [key for key in received if key in by_key] == [cut.key for cut in cuts], "in order"
    for key, size in received.items():
        really = played.count(numbers[key]) / 8
        cut = by_key.get(key)
        if cut is None:
            assert size / 8 - really <= 40, "heard in full"
        else:
            assert cut.received_ms == size // 8
            assert 0 <= cut.heard_ms <= cut.received_ms
            assert abs(cut.heard_ms - really) <= 40
    partly = [cut for cut in cuts if cut.heard_ms < cut.received_ms]
    assert all(cut.heard_ms == 0 for cut in partly[1:])


# --- What it costs


def test_a_long_queue_costs_no_more_than_a_short_one() -> None:
    """All that waited was counted again for each frame."""

    def seconds(queued: int) -> float:
        playout = make_playout()
        for _ in range(queued * 50):
            playout.add(A, "r", ms(20))
        now = 0.0
        began = time.process_time()
        for _ in range(400):
            playout.add(A, "r", ms(20))
            for _ in playout.due(now):
                pass
            playout.wake_at(now)
            now += 0.02
        return time.process_time() - began

    short, long = (min(seconds(queued) for _ in range(5)) for queued in (1, 60))
    assert long < 8 * short  # sixty times as much is queued


def test_an_engine_that_names_no_responses_is_heard_again_after_an_interruption() -> None:
    playout = make_playout()
    playout.add(A, "", ms(1000))
    list(playout.due(0.0))
    playout.interrupt(0.2)
    assert not playout.add(A, "", ms(100)), "more of what was interrupted"
    assert playout.add(B, "", ms(100)), "something new"


@pytest.mark.parametrize("finished", [True, False])
def test_a_mark_that_goes_out_alone_shows_when_a_short_answer_began(*, finished: bool) -> None:
    """Its audio was sent before it was known to be all."""
    playout = make_playout()
    playout.add(A, "r", ms(60))
    assert [type(each) for each in playout.due(10.0)] == [Send]
    if finished:
        playout.finish(A)
    (mark,) = playout.due(10.0 if finished else 10.08)
    assert isinstance(mark, Mark)
    assert playout.began(mark.name) == (A, 0.06)
    assert playout.began(mark.name) is None
