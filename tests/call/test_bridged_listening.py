"""Listening to a transferred call: both sides are told first, then two sessions write down, and do nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.call import machine
from callflow.call.bridged_listening import FIRST, BridgedListening
from callflow.call.legs import Transfer
from callflow.call.stream_lease import StreamLease
from callflow.call.stream_tokens import StreamTokens
from callflow.contracts import events
from callflow.contracts.carrier import Carrier
from callflow.contracts.engine import SessionLost, SpeechStarted, Transcript, Usage
from callflow.contracts.errors import CarrierError, Refused
from callflow.contracts.events import LegIds
from callflow.journal import notes
from tests.agent.offline import CAN, FakeEngine
from tests.call.offline import FakeCarrier
from tests.in_loop import in_loop, settle


CALL = "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc"
NOTICE = "An assistant listens."
TOKENS = StreamTokens(bytes(32))


class Scene:
    """A call whose caller and person are about to be joined."""

    def __init__(self, *, was_listened: bool = False, notice: str = NOTICE, can: tuple[str, ...] = ()) -> None:
        asked = events.TransferRequested(target="sales", notice=notice)
        self.transfer = Transfer(asked, cast(Any, None), was_listened=was_listened)
        self.carrier = FakeCarrier(*can)
        self.facts: list[str] = []
        self.bills: list[Usage] = []
        self.notes: list[Any] = []
        self.engines: list[FakeEngine] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.is_paused = False
        self.lease = StreamLease(CALL, TOKENS, lambda: "https://phone.example")
        self.listening = BridgedListening(
            CALL,
            cast(Carrier, self.carrier),
            cast(Any, SimpleNamespace(transfer=self.transfer, human=LegIds("person"))),
            self.lease,
            make=self._make,
            media=cast(Any, None),
            ids=lambda: LegIds("caller"),
            is_ours=lambda started: True,
            is_paused=lambda: self.is_paused,
            learn=self.facts.append,
            bill=self.bills.append,
            note=self.notes.append,
            own=self._own,
            seconds=0.0,
        )

    def _make(self, context: Any, tell: Any) -> Any:
        self.engines.append(FakeEngine(context, tell, CAN))
        return self.engines[-1]

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work, name=name))

    def step(self, event: events.Event, before: str, after: str) -> None:
        step = machine.Step(event, before)
        step.after = after
        self.listening.after(step)

    async def joined(self) -> None:
        """Join the two, and let the carrier say that they were told."""
        self.step(events.CommandDone(command="join"), machine.TRANSFERRING, machine.BRIDGED)
        await settle()
        self.step(events.SpeakEnded(), machine.BRIDGED, machine.BRIDGED)
        await settle()

    async def listens(self) -> None:
        """Join the two, and open the stream."""
        await self.joined()
        self.listening.started("stream_1", "PCMU")
        await settle()
        for engine in self.engines:
            engine.take()

    def states(self) -> list[str]:
        return [note.state for note in self.notes if isinstance(note, notes.Listening)]


@in_loop
async def test_both_are_told_before_a_stream_is_asked_for() -> None:
    scene = Scene(can=("speaks_beside_stream",))
    scene.step(events.CommandDone(command="join"), machine.TRANSFERRING, machine.BRIDGED)
    await settle()
    (told,) = scene.carrier.executed
    assert (told.command.name, told.text, told.other.control) == ("announce", NOTICE, "person")
    with pytest.raises(Refused, match="not listened to"):
        scene.listening.claim(FIRST + 1)
    scene.step(events.SpeakEnded(), machine.BRIDGED, machine.BRIDGED)
    await settle()
    assert scene.carrier.names() == ["announce", "listen"]
    assert scene.carrier.executed[1].stream_url == scene.lease.url
    assert scene.lease.ordinal == FIRST + 1, "no other stream of the call has such a token"
    assert scene.listening.claim(FIRST + 1) is scene.listening


@in_loop
async def test_a_carrier_that_tells_them_in_its_own_document_is_only_waited_for() -> None:
    scene = Scene()
    await scene.joined()
    assert scene.carrier.names() == ["listen"]


@in_loop
async def test_who_was_told_by_the_process_before_is_told_nothing_again() -> None:
    scene = Scene(was_listened=True, can=("speaks_beside_stream",))
    scene.listening.restore(7)
    scene.step(events.CallRecovered(), machine.BRIDGED, machine.BRIDGED)
    await settle()
    assert scene.carrier.names() == ["listen"]
    assert scene.lease.ordinal == FIRST + 8, "its token is none of the process before"


@in_loop
async def test_without_a_notice_nobody_listens() -> None:
    scene = Scene(notice="", can=("speaks_beside_stream",))
    await scene.joined()
    assert (scene.carrier.names(), scene.states()) == ([], [])


@in_loop
async def test_a_carrier_that_refuses_the_stream_ends_it_and_nothing_else() -> None:
    scene = Scene()
    scene.carrier.error = CarrierError("no such call")
    await scene.joined()
    assert scene.states() == ["failed"]
    with pytest.raises(Refused):
        scene.listening.claim(FIRST + 1)
    scene.listening.started("stream_1", "PCMU")
    assert scene.engines == []


@in_loop
async def test_each_side_has_a_session_and_its_words_become_facts() -> None:
    scene = Scene()
    await scene.listens()
    caller, person = scene.engines
    assert (scene.states(), scene.transfer.was_listened) == (["began"], True)
    scene.listening.pass_caller_frame("frame", b"")
    assert (caller.take(), person.take()) == ([("append", "frame")], [])
    scene.listening._hear("person", "other")
    assert (caller.take(), person.take()) == ([], [("append", "other")])
    caller.tell(Transcript("caller", "item_1", " My number is 7. ", True))
    person.tell(Transcript("caller", "item_2", "Thank you.", True))
    person.tell(Transcript("caller", "item_3", "  ", True))
    assert [fact.partition("while")[0] for fact in scene.facts] == [
        "The caller said to sales ",
        "Sales said to the caller ",
    ]
    assert scene.facts[0].endswith("“My number is 7.”")
    usage = Usage("gpt-realtime", {"audio_in": 10}, 0.01)
    person.tell(usage)
    assert scene.bills == [usage], "it costs what it costs"


@in_loop
async def test_nothing_is_written_down_while_recording_is_paused() -> None:
    scene = Scene()
    await scene.listens()
    scene.is_paused = True
    scene.listening.pass_caller_frame("card", b"")
    assert scene.engines[0].take() == []


@in_loop
async def test_a_session_that_is_lost_leaves_a_gap_and_the_other_one_alone() -> None:
    scene = Scene()
    await scene.listens()
    caller, person = scene.engines
    caller.tell(SessionLost("it broke"))
    assert (scene.states(), scene.transfer.has_gaps) == (["began", "failed"], True)
    scene.listening.pass_caller_frame("frame", b"")
    scene.listening._hear("person", "other")
    assert [each for each in person.take() if each[0] == "append"] == [("append", "other")]


@in_loop
async def test_when_the_caller_comes_back_last_words_are_waited_for_and_the_sessions_closed() -> None:
    scene = Scene()
    await scene.listens()
    caller, person = scene.engines
    caller.tell(SpeechStarted())
    scene.step(events.CallHangup(leg=events.HUMAN), machine.BRIDGED, machine.RECOVERING)
    assert caller.take()[0] == ("wind_up", True)
    assert person.take()[0] == ("wind_up", False)
    await asyncio.gather(*scene.tasks)
    assert caller.take() == person.take() == [("close",)]
    with pytest.raises(Refused):
        scene.listening.claim(FIRST + 1)


@in_loop
async def test_a_talk_that_goes_on_for_hours_fills_no_memory() -> None:
    scene = Scene()
    await scene.listens()
    for number in range(1000):
        scene.engines[0].tell(Transcript("caller", f"item_{number}", "And another thing.", True))
    assert len(scene.facts) == 400
