"""The line of a call whose audio never comes here: what its caller hears is known by word only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts import events
from callflow.media.remote_line import ENCODING, RemoteLine, RemoteLinePlayout
from tests.in_loop import in_loop, settle
from tests.media.offline import CLIPS, FRAME, Line


class Listener:
    """What stands for the turn manager: it writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.is_caller_speaking = False

    def __getattr__(self, name: str) -> object:
        return lambda *_, **__: self.told.append(name)

    def take(self) -> list[str]:
        told, self.told = self.told, []
        return told


class Remote:
    """A remote line, with a session beside the call if it is `attached`."""

    def __init__(self, *, attached: bool = True) -> None:
        self.scene = Line(RemoteLine)
        assert isinstance(self.scene.relay, RemoteLine)
        self.line, self.listener = self.scene.relay, Listener()
        self.line.listener = self.listener  # type: ignore[assignment]
        self.stopped: list[str] = []
        self.line.stop = self.stopped.append
        self.said: list[str] = []
        self.can_say = True
        self.line.say_last = self._say
        if attached:
            self.line.attach()
            self.scene.events.clear()
            self.listener.take()

    def _say(self, text: str) -> bool:
        self.said.append(text)
        return self.can_say

    @property
    def posted(self) -> list[events.Event]:
        posted, self.scene.events[:] = list(self.scene.events), []
        return posted

    def flows(self) -> bool:
        return self.line.is_flowing

    def is_unplayed(self) -> bool:
        return self.line.playout.is_unplayed(self.scene.now)


# The call's life


@in_loop
async def test_a_session_can_be_opened_once_the_call_is_answered_and_not_before() -> None:
    one, begun = Remote(attached=False), []
    one.line.when_answered(lambda: begun.append(1))
    one.line.when_answered(lambda: begun.append(2))
    assert begun == []
    one.line.answered()
    one.line.answered()
    assert begun == [1, 2]
    one.line.when_answered(lambda: begun.append(3))
    assert begun == [1, 2, 3]


@in_loop
async def test_a_call_that_ends_before_its_answer_opens_nothing() -> None:
    one, begun = Remote(attached=False), []
    one.line.when_answered(lambda: begun.append(1))
    await one.line.close()
    one.line.answered()
    assert begun == []


@in_loop
async def test_the_session_is_the_stream_and_begins_once() -> None:
    one = Remote(attached=False)
    assert not one.flows()
    one.line.attach()
    one.line.attach()
    assert one.flows()
    assert one.posted == [events.MediaStarted(encoding=ENCODING)]
    assert one.listener.take() == ["stream_started"]
    assert one.line.answered_at == one.scene.now
    assert one.line.remote == "control_1"


@in_loop
async def test_who_is_detached_hears_nothing_and_may_come_back() -> None:
    one = Remote()
    one.line.began("resp_1")
    one.line.detach()
    assert not one.flows()
    assert not one.is_unplayed()
    one.line.attach()
    assert one.posted == [events.MediaStarted(encoding=ENCODING)]


@in_loop
async def test_no_sound_of_ours_is_heard() -> None:
    one = Remote()
    assert not one.line.interject("one-moment")
    assert one.line.put_sound("beep", FRAME) == ""
    assert not one.line.send_at_once(FRAME, one.scene.now)
    one.line.pump()
    one.line.watch_caller()
    assert one.line.bytes_out == 0
    assert not one.is_unplayed()
    assert one.scene.notes == []


# What is played


@in_loop
async def test_a_response_is_heard_from_its_beginning_to_its_end_and_told_once() -> None:
    one = Remote()
    one.line.began("resp_1")
    assert one.is_unplayed()
    assert "began_to_be_heard" in one.listener.take()
    one.line.ended("resp_1", cut=False)
    assert not one.is_unplayed()
    assert one.listener.take() == ["played_out"]
    one.line.ended("resp_1", cut=False)
    assert one.listener.take() == [], "it had ended"


@in_loop
async def test_one_of_two_responses_that_ends_is_not_the_end() -> None:
    one = Remote()
    one.line.began("resp_1")
    one.line.began("resp_2")
    one.listener.take()
    one.line.ended("resp_1", cut=False)
    assert one.is_unplayed()
    assert one.listener.take() == []
    one.line.ended("resp_2", cut=False)
    assert one.listener.take() == ["played_out"]


@in_loop
async def test_speech_that_is_expected_and_never_begins_was_not_to_be() -> None:
    one = Remote()
    one.line.expect()
    assert one.is_unplayed()
    one.scene.now += 3.1
    assert not one.is_unplayed()
    one.line.check_played_out()
    assert one.listener.take() == ["played_out"]


@in_loop
async def test_speech_that_begins_is_no_longer_expected() -> None:
    one = Remote()
    one.line.expect()
    assert one.line._timers_here.is_running("expected")
    one.line.began("resp_1")
    assert not one.line._timers_here.is_running("expected")


@pytest.mark.parametrize("cut", [True, False])
def test_whether_anything_was_played_is_known_until_it_is_cut_off(cut: bool) -> None:
    playout = RemoteLinePlayout()
    assert playout.position(1.0) == 0
    playout.began("resp_1")
    playout.ended("resp_1", cut=cut)
    assert playout.position(1.0) == (0 if cut else 1)


@in_loop
async def test_what_is_expected_while_something_plays_is_part_of_that() -> None:
    one = Remote()
    one.line.began("resp_1")
    one.line.expect()
    one.line.ended("resp_1", cut=False)
    assert not one.is_unplayed()


@in_loop
async def test_an_interruption_stops_all_that_plays_and_knows_nothing_of_how_much_was_heard() -> None:
    one = Remote()
    one.line.began("resp_1")
    one.line.began("resp_2")
    assert one.line.interrupt(one.scene.now) == []
    assert one.stopped == ["resp_1", "resp_2"]
    assert one.is_unplayed(), "until the engine tells that it has stopped"
    one.line.ended("resp_1", cut=True)
    one.line.ended("resp_2", cut=True)
    assert not one.is_unplayed()


@in_loop
async def test_an_interruption_in_silence_stops_nothing() -> None:
    one = Remote()
    one.line.expect()
    assert one.line.interrupt(one.scene.now) == []
    assert one.stopped == []
    assert not one.is_unplayed()
    one.line.check_played_out()
    assert one.listener.take() == [], "whoever interrupts knows"


# The last sentence


@in_loop
async def test_the_last_sentence_is_over_when_its_response_has_ended_and_no_other() -> None:
    one = Remote()
    one.line.play_clip("sorry")
    assert one.said == [CLIPS["sorry"].text]
    assert one.posted == []
    one.line.began("last")
    one.line.began("another")
    one.line.ended("another", cut=False)
    assert one.posted == []
    one.line.ended("last", cut=True)
    assert one.posted == [events.ClipPlayed(clip="sorry")]


@in_loop
async def test_what_was_playing_before_is_stopped_and_its_end_is_not_that_of_the_last_sentence() -> None:
    one = Remote()
    one.line.began("resp_1")
    one.line.play_clip("sorry")
    assert one.stopped == ["resp_1"]
    one.line.ended("resp_1", cut=True)
    assert one.posted == []
    assert "agent_silenced" in one.listener.take()
    one.line.began("last")
    one.line.ended("last", cut=False)
    assert one.posted == [events.ClipPlayed(clip="sorry")]


@pytest.mark.parametrize("why", ["no such clip", "no session", "the agent cannot"])
@in_loop
async def test_a_last_sentence_that_nobody_can_say_counts_as_said(why: str) -> None:
    one = Remote(attached=why != "no session")
    one.can_say = why != "the agent cannot"
    one.line.play_clip("no such clip" if why == "no such clip" else "sorry")
    assert len(one.posted) == 1
    one.line.began("resp_1")
    one.line.ended("resp_1", cut=False)
    assert one.posted == [], "and that once"


@in_loop
async def test_after_the_end_nothing_is_waited_for() -> None:
    one = Remote()
    one.line.expect()
    await one.line.close()
    await settle()
    assert not one.line._timers_here.is_running("expected")
    one.line.expect()
    assert not one.line._timers_here.is_running("expected")


# In any order


ACTS = st.tuples(st.sampled_from(["began", "ended", "cut", "interrupt", "forget", "expect"]), st.sampled_from("abc"))


@given(st.lists(ACTS, max_size=15))
def test_whatever_the_engine_tells_speech_is_unplayed_while_it_plays_and_never_for_long_without(
    acts: list[tuple[str, str]],
) -> None:
    playout, playing, now = RemoteLinePlayout(), set[str](), 0.0
    for act, response in acts:
        now += 1.0
        match act:
            case "began":
                playout.began(response)
                playing.add(response)
            case "ended" | "cut":
                playout.ended(response, cut=act == "cut")
                playing.discard(response)
            case "interrupt":
                assert playout.interrupt(now) == []
            case "forget":
                playout.forget()
                playing.clear()
            case "expect":
                playout.due_by = now + 3.0
        assert set(playout.playing) == playing
        assert playout.is_unplayed(now + 100) == bool(playing)
        assert not playing or playout.is_unplayed(now)
        assert playout.position(now) in (0, 1)
        assert not playing or playout.position(now) == 1
        assert playout.ends_at(now) == now
