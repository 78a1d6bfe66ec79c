"""At which moments a call is moved to another node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.call.machine import AWAITS_BEEP, BRIDGED, CLIP, FAREWELL_BY_AGENT, MESSAGE
from callflow.call.mailbox import Mailbox
from callflow.cluster.carrier_keys import CarrierKeys
from callflow.cluster.nodes import Node as NodeRow
from callflow.cluster.nodes import State, View
from callflow.cluster.peers import Peer
from callflow.contracts.errors import Overloaded
from callflow.contracts.event import PART_OF
from callflow.contracts.events import Dtmf, LegIds
from callflow.history.handover_entries import HandoverEntry
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import CallerSpeaks, Note
from callflow.switchboard import moving as module
from callflow.switchboard.moving import Moving, QuietMoments, at_once
from tests.call.offline import until
from tests.in_loop import in_loop


def looks(moments: QuietMoments, quiet: str, began: float = 0.0) -> list[float]:
    """When a call may be moved, looked at every 0.1 s: `.` quiet, `x` somebody speaks, `b` two people talk."""
    states = {".": True, "x": False, "b": "bridged"}
    return [
        round(began + 0.1 * step, 1)
        for step, state in enumerate(quiet)
        if moments.ready({"c": states[state]}, began + 0.1 * step)  # type: ignore[dict-item]
    ]


def test_who_has_said_nothing_for_a_while_is_moved() -> None:
    assert looks(QuietMoments(0.0, 30.0), "xxx" + "." * 25)[0] == 2.3
    assert looks(QuietMoments(0.0, 30.0), "." * 25)[0] == 2.0


def test_pauses_in_a_conversation_are_not_taken_at_first() -> None:
    assert looks(QuietMoments(0.0, 30.0), "xxxxxxxx......xxxxxxxxxx......xxxx") == []


def test_later_a_pause_is_taken_at_its_very_beginning_only() -> None:
    """Within some tenths of a second the other one answers."""
    assert looks(QuietMoments(0.0, 10.0), "x" * 25 + "......" + "xxxx" + ".....") == [2.5, 3.5]


def test_of_a_pause_whose_beginning_nobody_has_seen_it_is_not_known_how_long_it_has_been() -> None:
    assert looks(QuietMoments(-5.0, 10.0), "....") == []


def test_when_two_people_talk_any_moment_will_do() -> None:
    assert looks(QuietMoments(0.0, 30.0), "xbb") == [0.1, 0.2]


def test_when_the_time_is_up_any_moment_will_do() -> None:
    assert looks(QuietMoments(0.0, 0.5), "xxxxxxx") == [0.5, 0.6]
    assert looks(QuietMoments(0.0, 0.0), "x") == [0.0]


def test_a_moment_lasts_as_long_as_nobody_is_likely_to_speak() -> None:
    moments = QuietMoments(0.0, 10.0)
    for at, quiet in ((2.9, False), (3.0, True), (3.02, True)):
        ready = moments.ready({"c": quiet, "b": "bridged"}, at)
    assert ready == ["c", "b"]
    assert moments.lasts("c", True, 3.2)
    assert not moments.lasts("c", True, 3.3), "the caller may be about to answer"
    assert not moments.lasts("c", False, 3.1)
    assert moments.lasts("c", True, 5.1), "nobody has spoken for a while"
    assert not moments.lasts("c", False, 5.1)
    assert moments.lasts("b", "bridged", 3.3)
    assert moments.lasts("c", False, 10.0), "the time is up"


def test_few_calls_are_between_the_nodes_at_the_same_moment_while_there_is_time() -> None:
    assert [at_once(40, seconds) for seconds in (30.0, 10.0, 5.0, 1.0, 0.0, -1.0)] == [2, 2, 4, 20, 40, 40]
    assert at_once(300, 20.0) == 8
    assert at_once(0, 30.0) == 2


def node(name: str, state: State = "up") -> NodeRow:
    return NodeRow(name=name, epoch=1, state=state, lease_until=99.0)


class Node:
    """This node, with one call, and another node, which takes it."""

    def __init__(self, *, is_quiet: bool = True) -> None:
        self.given: list[str] = []
        self.dropped: list[str] = []
        self.kept: list[str] = []
        self.noted: list[Note] = []
        """What the call has noted, after its hand-over."""
        self.database = asyncio.Event()
        """Set while it answers."""
        self.database.set()
        self.asked: list[HandoverEntry] = []
        self.full: list[str] = []
        """Nodes that take no calls, as the database says."""
        self.silent: list[str] = []
        """Nodes that do not take what they were given."""
        self.targets = ["w2"]
        self.keys = CarrierKeys()
        self.membership = SimpleNamespace(
            keys=self.keys,
            me="w1", is_leaving=True, takes_given=True, draining=asyncio.Event(), place_elsewhere=self._place,
            peer=lambda name: Peer(name, f"unix:/{name}"), reaches_database=True, trouble="",
            count_placed=lambda name, call: None, give=self._give, tell=self._tell, look_again=self._look_again,
            claims=SimpleNamespace(drop=self.dropped.extend, noted=lambda call: None, confirm_taken=lambda call: None),
            begin_to_leave=self._nothing, set_state=self._set_state, epoch=1,
            view=View(tuple(map(node, ("w1", "w2", "w3", "w4")))),
        )  # fmt: skip
        self.states: list[str] = []
        """What this node has said of itself."""
        self.board = SimpleNamespace(calls=[self.call("c", is_quiet=is_quiet)])
        self.journal = SimpleNamespace(
            trouble="", flushed=self._nothing, hand_over=self._hand_over, waiting_of=lambda call: [],
        )  # fmt: skip
        self.moving = Moving(*cast(Any, (self.membership, self.board, self.journal, self._keep)))

    def call(
        self, name: str, *, is_quiet: bool = True, awaits_return: bool = False, rests: bool = True, part: str = ""
    ) -> SimpleNamespace:
        """`rests`: it waits for its next event. `part`: the call whose other side it is."""
        made = SimpleNamespace(
            ids=LegIds(session=f"{PART_OF}{part}" if part else ""), carrier=SimpleNamespace(name="telnyx"),
            id=name, is_handed_over=False, is_quiet=is_quiet, awaits_return=awaits_return, is_noted=asyncio.Event(),
            is_arriving=False,
            model=SimpleNamespace(state=BRIDGED if is_quiet else "streaming", farewell=""), mailbox=Mailbox(),
            entry=lambda note: JournalEntry.of(note, call=name, at=1.0), note=self.noted.append,
            agent=SimpleNamespace(turns=SimpleNamespace(hears_speech=False)), handover_input=None, keeps=None,
        )  # fmt: skip

        def let_go(*, listens: bool) -> None:
            made.is_handed_over, made.handover_input = True, made.keeps
            made.mailbox.close()
            made.is_noted.set()
            self.board.calls.remove(made)

        made.let_go = let_go
        made.next = asyncio.ensure_future(made.mailbox.next()) if rests else None
        return made

    def _hand_over(self, last: JournalEntry, to: tuple[str, int], is_timely: Callable[[], bool]) -> HandoverEntry:
        one = HandoverEntry(last, to, asyncio.get_running_loop().create_future(), is_timely)
        self.asked.append(one)
        self.answering = asyncio.create_task(self._answer(one))
        return one

    async def _answer(self, one: HandoverEntry) -> None:
        await self.database.wait()
        if not one.given.done():
            one.given.set_result(one.is_timely() and one.to[0] not in self.full)
            if one.given.result():
                self.given.append(f"{one.entry.call}: w1 to {one.to[0]}")

    async def _nothing(self) -> None:
        pass

    async def _set_state(self, name: str, state: str, epoch: int) -> bool:
        self.states.append(f"{name} {state} {epoch}")
        return True

    def _place(self, carrier: str) -> str:
        targets = [name for name in self.targets if self.keys.serves(name, carrier)]
        return targets[0] if targets else ""

    async def _look_again(self) -> None:
        self.targets = [name for name in self.targets if name not in self.full]

    async def _give(self, call: str, to: str, of: tuple[str, int] | None = None) -> tuple[str, int]:
        if to in self.full:
            raise Overloaded(to)
        self.given.append(f"{call}: {of[0] if of else 'w1'} to {to}")
        return to, 1

    async def _tell(self, peer: Peer, calls: Sequence[str]) -> Collection[str] | None:
        if peer.name in self.silent:
            self.full.append(peer.name)
            return []
        return calls

    async def _keep(self, call: str) -> None:
        self.kept.append(call)


@in_loop
async def test_a_call_is_not_given_away_any_more_when_its_moment_has_passed_before_the_database_began() -> None:
    the = Node()
    call = the.board.calls[0]
    the.database.clear()
    moving = asyncio.create_task(the.moving.move_all(60.0))
    await until(lambda: the.asked)
    call.model.state, call.is_quiet = "streaming", False
    the.database.set()
    await until(lambda: not call.mailbox.is_held)
    assert (the.given, call.is_handed_over, moving.done()) == ([], False, False), "it goes on here"
    call.model.state = BRIDGED
    await asyncio.wait_for(moving, 5)
    assert the.given == ["c: w1 to w2"], "it is given away at the next good moment"


@pytest.mark.parametrize("speaks", [False, True])
@in_loop
async def test_whoever_begins_to_speak_while_the_database_is_asked_is_asked_again_by_the_next_node(
    speaks: bool,
) -> None:
    """The hand-over says that nobody spoke; a note behind it, that somebody does."""
    the = Node()
    call = the.board.calls[0]
    the.database.clear()
    moving = asyncio.create_task(the.moving.move_all(60.0))
    await until(lambda: the.asked)
    call.agent.turns.hears_speech = speaks
    the.database.set()
    await asyncio.wait_for(moving, 5)
    assert the.given == ["c: w1 to w2"]
    assert the.noted == [CallerSpeaks()] * speaks


@in_loop
async def test_a_process_does_not_end_before_the_last_words_of_its_callers_are_asked_for() -> None:
    the = Node()
    call = the.board.calls[0]
    taken, given_up = asyncio.Event(), []
    call.keeps = SimpleNamespace(over=taken.wait, give_up=lambda: given_up.append(1))
    moving = asyncio.create_task(the.moving.move_all(60.0))
    await until(lambda: the.moving.moved)
    done, _ = await asyncio.wait([moving], timeout=0.05)
    assert not done, "this process must not end before they are asked for"
    assert given_up == []
    taken.set()
    await asyncio.wait_for(moving, 5)


@in_loop
async def test_nobody_waits_long_for_a_node_that_does_not_ask_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ASKED_SECONDS", 0.02)
    the = Node()
    given_up: list[int] = []
    the.board.calls[0].keeps = SimpleNamespace(over=asyncio.Event().wait, give_up=lambda: given_up.append(1))
    await asyncio.wait_for(the.moving.move_all(60.0), 5)
    assert given_up, "who is told that nobody will ask ends the stream"


@in_loop
async def test_a_call_whose_carrier_no_other_node_has_the_keys_of_stays_and_holds_up_no_other() -> None:
    """It was given to a node that could not serve it, and was lost."""
    the = Node()
    the.keys.told("w2", ["twilio"])
    the.board.calls += [the.call(name) for name in ("d", "e", "f")]
    the.board.calls[-1].carrier.name = "twilio"
    moving = asyncio.create_task(the.moving.move_all(60.0))
    await until(lambda: the.moving.moved)
    assert the.given == ["f: w1 to w2"]
    the.keys.told("w2", ["twilio", "telnyx"])
    await until(lambda: the.moving.moved == 4)
    await asyncio.wait_for(moving, 5)


@in_loop
async def test_a_node_that_is_to_take_calls_again_moves_none_any_more() -> None:
    the = Node(is_quiet=False)
    the.membership.is_leaving = False
    the.membership.draining.set()
    moving = asyncio.create_task(the.moving.move_all(60.0))
    done, _ = await asyncio.wait([moving], timeout=0.1)
    assert not done, "it waits for a quiet moment"
    the.membership.draining.clear()
    await asyncio.wait_for(moving, 5)


@in_loop
@pytest.mark.parametrize("drained", [False, True])
async def test_a_node_that_ends_its_calls_with_a_goodbye_moves_them_only_if_it_was_told_to_drain_before(
    drained: bool,
) -> None:
    """That it takes no more calls, which it tells the others, was taken for an order to drain: it moved them all."""
    the = Node()
    the.membership.is_leaving = False
    if drained:
        the.membership.draining.set()

    async def begin_to_leave() -> None:
        the.membership.is_leaving = True
        the.membership.draining.set()

    the.membership.begin_to_leave = begin_to_leave
    await asyncio.wait_for(the.moving.leave(0), 5)
    await asyncio.wait_for(the.moving.move_all(0.0), 5)
    assert (the.given, len(the.board.calls)) == ((["c: w1 to w2"], 0) if drained else ([], 1))


@in_loop
async def test_a_node_that_ends_looks_for_quiet_moments_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It drains, too: looked after twice, its calls had the shorter patience, and twice as many were on their way."""
    the, made = Node(is_quiet=False), list[QuietMoments]()

    class Counted(QuietMoments):
        def __init__(self, began: float, seconds: float) -> None:
            super().__init__(began, seconds)
            made.append(self)

    async def drain() -> None:
        the.membership.draining.set()

    monkeypatch.setattr(module, "QuietMoments", Counted)
    the.membership.begin_to_leave = drain
    running, leaving = asyncio.create_task(the.moving.run()), asyncio.create_task(the.moving.leave(60.0))
    await until(lambda: made)
    await asyncio.sleep(0)
    assert the.membership.draining.is_set()
    assert len(made) == 1
    the.board.calls[0].model.state = BRIDGED
    await asyncio.wait_for(leaving, 5)
    assert (the.given, len(made)) == (["c: w1 to w2"], 1)
    running.cancel()


@in_loop
async def test_nothing_is_moved_while_the_database_does_not_answer() -> None:
    """The other node could not take it, and here it would be given up already."""
    the = Node()
    the.membership.reaches_database = False
    moving = asyncio.create_task(the.moving.move_all(0.0))
    done, _ = await asyncio.wait([moving], timeout=0.1)
    assert not done, "it may answer in a moment"
    the.membership.trouble = "TimeoutError"
    await asyncio.wait_for(moving, 5)
    assert (the.given, the.moving.is_possible, len(the.board.calls)) == ([], False, 1)
    the.membership.reaches_database, the.membership.trouble = True, ""
    await asyncio.wait_for(the.moving.move_all(0.0), 5)
    assert (the.given, the.dropped, the.moving.moved) == (["c: w1 to w2"], [], 1)


@in_loop
async def test_a_worker_whose_main_process_has_died_goes_on_until_one_of_the_next_takes_calls(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next one's could not start, and the calls of the healthy ones were ended after 20 s."""
    monkeypatch.setattr(module, "_SUCCESSOR_SECONDS", 0.0)
    monkeypatch.setattr(module, "_WATCH_SECONDS", 0.005)
    the, left = Node(), asyncio.Event()
    the.moving.leave_later(left.set)
    await until(lambda: "no worker of the next main process" in caplog.text)
    for also in (node("w5", "draining"), node("elsewhere-w1")):
        the.membership.view = View((*the.membership.view.nodes, also))
        await asyncio.sleep(0.02)
    assert (left.is_set(), the.states, caplog.text.count("no worker")) == (False, [], 1)
    the.moving.leave_later(left.set)  # a second one asks
    the.membership.view = View((*the.membership.view.nodes, node("w6")))
    await asyncio.wait_for(left.wait(), 5)
    assert the.states == ["w1 draining 1"]


@in_loop
async def test_a_call_stays_with_its_audio_until_the_database_agrees_and_goes_on_if_it_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was left first: while the database hung, neither node had it, and a Telnyx caller heard nothing."""
    monkeypatch.setattr(module, "_GIVEN_SECONDS", 0.05)
    monkeypatch.setattr(module, "_LATE_SECONDS", 0.2)
    the = Node()
    (call,) = the.board.calls
    the.database.clear()
    moving = asyncio.create_task(the.moving.move_all(0.0))
    await until(lambda: call.mailbox.is_held)
    assert (the.board.calls, call.is_handed_over) == ([call], False), "nothing is left before the database agrees"
    call.mailbox.put(Dtmf(digit="7"))
    assert not call.next.done(), "its events wait meanwhile"
    await until(call.next.done)
    assert (call.next.result().event.digit, call.mailbox.is_held, call.is_handed_over) == ("7", False, False)
    await asyncio.wait_for(moving, 5)
    assert (the.given, the.board.calls, the.kept, the.dropped, the.moving.moved) == ([], [call], [], [], 0)
    assert [(one.is_wanted, one.given.cancelled()) for one in the.asked] == [(False, True)] * len(the.asked)


@in_loop
async def test_a_call_that_was_given_although_nobody_was_told_in_time_is_left_when_that_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_GIVEN_SECONDS", 0.02)
    the = Node()
    (call,) = the.board.calls
    the.database.clear()
    moving = asyncio.create_task(the.moving.move_all(0.0))
    await until(lambda: the.asked and not the.asked[0].is_wanted)
    assert (call.is_handed_over, call.mailbox.is_held) == (False, False)
    the.database.set()
    await asyncio.wait_for(moving, 5)
    assert (the.given, call.is_handed_over, the.moving.moved, len(the.asked)) == (["c: w1 to w2"], True, 1, 1)


@in_loop
async def test_a_call_that_ends_when_it_is_to_be_moved_is_given_to_nobody() -> None:
    the = Node(is_quiet=False)
    the.board.calls[:] = [call := the.call("c", rests=False)]
    moving = asyncio.create_task(the.moving.move_all(0.0))
    await asyncio.wait([moving], timeout=0.05)
    call.mailbox.close()
    the.board.calls.clear()
    await asyncio.wait_for(moving, 5)
    assert (the.asked, the.moving.moved, call.is_handed_over) == ([], 0, False)


@in_loop
async def test_a_process_ends_although_one_of_its_calls_is_never_recovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was looked at fifty times a second, for ever."""
    monkeypatch.setattr(module, "_LATE_SECONDS", 0.1)
    the = Node()
    the.board.calls[0].awaits_return = True
    await asyncio.wait_for(the.moving.move_all(0.0), 5)
    assert (the.given, len(the.board.calls)) == ([], 1)


@in_loop
async def test_a_call_that_is_recovered_when_the_time_is_up_is_moved_all_the_same() -> None:
    the = Node()
    the.board.calls[0].awaits_return = True
    moving = asyncio.create_task(the.moving.move_all(0.0))
    done, _ = await asyncio.wait([moving], timeout=0.1)
    assert not done
    the.board.calls[0].awaits_return = False
    await asyncio.wait_for(moving, 5)
    assert the.given == ["c: w1 to w2"]


@in_loop
async def test_calls_that_are_being_recovered_keep_no_other_one_from_being_moved() -> None:
    """They stood first, and there were as many as may be between the nodes at the same moment."""
    the = Node()
    the.board.calls[:0] = [the.call(name, awaits_return=True) for name in ("a", "b")]
    moving = asyncio.create_task(the.moving.move_all(60.0))
    await until(lambda: the.given)
    the.board.calls.clear()
    await asyncio.wait_for(moving, 5)
    assert the.given == ["c: w1 to w2"]


@in_loop
async def test_a_call_that_has_just_come_is_moved_on_when_it_has_all_that_its_caller_said() -> None:
    """A node that drained at once gave it on before, and nobody asked the first one for the caller's words."""
    the = Node()
    (call,) = the.board.calls
    call.is_arriving = True
    moving = asyncio.create_task(the.moving.move_all(0.0))
    await asyncio.sleep(0.05)
    assert not the.given
    call.is_arriving = False
    await asyncio.wait_for(moving, 5)
    assert the.given == ["c: w1 to w2"]


@in_loop
@pytest.mark.parametrize("farewell", [CLIP, FAREWELL_BY_AGENT, MESSAGE])
async def test_a_call_whose_last_sentence_is_said_ends_where_it_is(farewell: str) -> None:
    """The goodbye was cut, and said once more by the next node; a message on a machine was cut."""
    the = Node()
    (last,) = the.board.calls
    last.model.farewell = farewell
    the.board.calls.append(other := the.call("d"))
    other.model.farewell = AWAITS_BEEP
    moving = asyncio.create_task(the.moving.move_all(0.0))
    await until(lambda: the.given)
    await asyncio.sleep(0.05)
    assert the.given == ["d: w1 to w2"]
    the.board.calls.clear()
    await asyncio.wait_for(moving, 5)


@in_loop
async def test_a_call_that_a_node_does_not_take_any_more_goes_to_the_next_one_or_stays() -> None:
    """The first one may have begun to leave half a second ago, which is not known here yet."""
    the = Node()
    the.targets, the.full, the.silent = ["w2", "w3", "w4"], ["w2"], ["w3"]
    await asyncio.wait_for(the.moving.move_all(0.0), 5)
    assert (the.given, the.kept, the.moving.moved) == (["c: w1 to w3", "c: w3 to w4"], [], 1)
    the = Node()
    the.targets, the.full, the.silent = ["w2", "w3"], ["w2"], ["w3"]
    await asyncio.wait_for(the.moving.move_all(0.0), 5)
    assert (the.given, the.kept, the.moving.moved) == (["c: w1 to w3", "c: w3 to w1"], ["c"], 0)
    the = Node()
    the.full = ["w2"]
    await asyncio.wait_for(the.moving.leave(1.0), 5)
    assert (the.given, the.kept, the.dropped, the.moving.moved, len(the.board.calls)) == ([], [], [], 0, 1)
    assert not the.membership.takes_given, "its last calls are let go of now"


@pytest.mark.parametrize("takes_more", [True, False], ids=["up", "it has begun to leave"])
@in_loop
async def test_both_sides_of_a_call_go_to_the_same_node(takes_more: bool) -> None:
    """What the one knows of the conversation tells the other whether a machine has answered."""
    the = Node()
    if not takes_more:
        the.membership.view = View((*map(node, ("w1", "w3")), node("w2", "draining")))
    calls = [the.call("side", part="dialled"), the.call("another"), the.call("dialled")]
    the.board.calls[:] = calls
    went = []
    for call, place in zip(calls, ("w2", "w3", "w4"), strict=True):
        the.targets = [place]
        target = the.moving._target_of(cast(Any, call))
        assert target is not None
        went.append(target.name)
        the.board.calls.remove(call)
    assert went == ["w2", "w3", "w2" if takes_more else "w4"]
    the.board.calls.append(last := the.call("last"))
    the.moving._target_of(cast(Any, last))
    assert the.moving._went_to == {}, "nothing is remembered of calls that are gone"


@in_loop
async def test_the_other_side_of_a_call_follows_to_the_node_that_has_taken_the_first_in_the_end() -> None:
    the = Node()
    the.targets, the.silent = ["w3", "w4"], ["w3"]
    side, dialled = the.call("side", part="dialled"), the.call("dialled")
    the.board.calls[:] = [side, dialled]
    await asyncio.wait_for(the.moving._move(cast(Any, side), lambda: True), 5)
    assert the.given == ["side: w1 to w3", "side: w3 to w4"]
    the.targets = ["w2"]
    target = the.moving._target_of(cast(Any, dialled))
    assert target is not None
    assert target.name == "w4"


@in_loop
async def test_a_call_whose_caller_is_being_looked_up_is_moved_once_and_keeps_no_other_one_waiting() -> None:
    """A move of it began at every look, until no other call had room."""
    the, begun = Node(), 0
    the.board.calls[:] = [call := the.call("c", rests=False)]
    hold = call.mailbox.hold

    async def counted(seconds: float) -> bool:
        nonlocal begun
        begun += 1
        return bool(await hold(seconds))

    call.mailbox.hold = counted
    moving = asyncio.create_task(the.moving.move_all(60.0))
    await until(lambda: begun)
    await asyncio.wait([moving], timeout=0.1)  # some looks later
    the.board.calls.append(the.call("d"))
    await until(lambda: the.given)
    taking = asyncio.create_task(call.mailbox.next())
    await asyncio.wait_for(moving, 5)
    assert (the.given, begun, the.moving.moved) == (["d: w1 to w2", "c: w1 to w2"], 1, 2)
    assert await taking is None
