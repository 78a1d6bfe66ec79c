"""A call that another process had: what has to be done first, once; and when it ended, if nobody was there to see."""

from __future__ import annotations

import asyncio
import binascii
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from callflow.agent.conversation import Turn
from callflow.call import machine
from callflow.call.command_ids import CommandPlace
from callflow.call.handover import FirstSteps, ProcessHandover, StatusAtCarrier
from callflow.call.restore import RestoredCall
from callflow.contracts.events import CallRecovered, Dtmf, Event, LegIds
from callflow.contracts.media import HandoverInput


def restored(state: str = machine.STREAMING, **more: Any) -> RestoredCall:
    model = machine.Model()
    model.state = state
    return RestoredCall("c1", "telnyx", LegIds("control", "leg"), "", "", 100.0, model, 7, **{"at": 150.0, **more})


async def test_a_call_of_this_process_is_its_own_from_the_beginning() -> None:
    handover = ProcessHandover(None)
    assert not handover.awaits_return
    await asyncio.wait_for(handover.wait(), 1)
    assert handover.recover("answered") is None
    assert handover.ended_before("interrupted", 0) is None


async def test_a_restored_call_waits_until_it_is_recovered_and_is_so_once() -> None:
    handover = ProcessHandover(restored(handed_over=True))
    waiting = asyncio.create_task(handover.wait())
    await asyncio.sleep(0)
    assert (handover.awaits_return, waiting.done()) == (True, False)
    first = handover.recover("answered")
    assert first is not None
    assert first.recovered is not None
    assert first.recovered.mark
    assert first == FirstSteps(recovered=CallRecovered(found="answered", handed_over=True, mark=first.recovered.mark))
    await asyncio.wait_for(waiting, 1)
    assert (handover.awaits_return, handover.recover("gone")) == (False, None)


def hearer(hear: Callable[[str, bytes], None]) -> Any:
    return SimpleNamespace(caller_payload=hear, prompter=SimpleNamespace(heard_meanwhile=lambda: None))


def nothing(*_: object) -> None:
    pytest.fail("something is heard")


async def test_what_the_caller_said_last_to_the_process_before_is_heard_once_and_in_order() -> None:
    async def ask() -> HandoverInput:
        return HandoverInput(bytes(160) + b"\x01" * 160 + b"\x02" * 80, "1#")

    heard: list[bytes] = []
    posted: list[Event] = []

    def hear(payload: str, audio: bytes) -> None:
        assert binascii.a2b_base64(payload) == audio
        heard.append(audio)

    handover = ProcessHandover(restored(handover_input=ask, stream="stream-1"))
    handover.recover("answered")
    assert handover.stream_elsewhere() == "stream-1"
    for _ in range(2):
        await handover.hear_handover_input(hearer(hear), posted.append)
        assert handover.stream_elsewhere() is None
    assert heard == [bytes(160), b"\x01" * 160, b"\x02" * 80]
    assert posted == [Dtmf(digit="1", source="stream"), Dtmf(digit="#", source="stream")]


async def test_of_a_process_that_has_ended_nothing_is_heard() -> None:
    for handover in (ProcessHandover(None), ProcessHandover(restored())):
        handover.recover("answered")
        assert handover.stream_elsewhere() is None
        await handover.hear_handover_input(hearer(nothing), nothing)


async def test_a_process_that_cannot_be_asked_keeps_nobody_from_being_heard(caplog: pytest.LogCaptureFixture) -> None:
    async def ask() -> HandoverInput:
        raise RuntimeError("its client is closed")

    handover = ProcessHandover(restored(handover_input=ask))
    handover.recover("answered")
    await handover.hear_handover_input(hearer(nothing), nothing)
    assert "what the caller said before the move" in caplog.text


async def test_who_asks_for_a_stream_minutes_later_asks_no_process_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    handover = ProcessHandover(restored(handover_input=lambda: pytest.fail("it is asked")))
    handover.recover("answered")
    monkeypatch.setattr(handover, "_kept_until", time.monotonic() - 1)
    assert handover.stream_elsewhere() is None
    await handover.hear_handover_input(hearer(nothing), nothing)


@pytest.mark.parametrize("found", ["ringing", "answered", "asking", "gone"])
def test_how_the_carrier_has_the_call_is_the_machines_first_event(found: StatusAtCarrier) -> None:
    first = ProcessHandover(restored()).recover(found)
    assert first is not None
    assert first.recovered is not None
    assert first.recovered.found == found


def test_where_the_news_of_the_end_follows_there_is_nothing_to_do() -> None:
    assert ProcessHandover(restored(unanswered={"t1": {"tool": "look_up"}})).recover("over") == FirstSteps()


LAST = CommandPlace(4, 1)


@pytest.mark.parametrize(
    ("hangup", "found", "again"), [(LAST, "answered", LAST), (LAST, "gone", None), (None, "answered", None)]
)
def test_a_hang_up_that_perhaps_nobody_received_is_sent_again(
    hangup: CommandPlace | None, found: StatusAtCarrier, again: CommandPlace | None
) -> None:
    assert ProcessHandover(restored(machine.HANGUP, hangup=hangup)).recover(found) == FirstSteps(hangup=again)


def test_what_was_cut_off_and_which_tools_were_running_is_told() -> None:
    turn = Turn("agent", "item1", "one two three four", heard_ms=500, spoken_ms=1000)
    first = ProcessHandover(restored(cuts=[turn], unanswered={"t1": {"tool": "look_up"}})).recover("answered")
    assert first is not None
    (cut,), (tool,) = first.cut_off, first.tools
    assert (cut.item, cut.heard_text, cut.unheard_text) == ("item1", "one two", "three four")
    assert (tool.id, tool.tool, tool.ok) == ("t1", "look_up", False)
    assert "not known" in tool.output


@pytest.mark.parametrize(
    ("state", "cause", "steps", "ended"),
    [
        (machine.HANGUP, "hangup", 7, 150.0),
        (machine.STREAMING, "interrupted", 8, 150.0),
        (machine.STREAMING, "hangup", 8, None),
        (machine.STREAMING, "interrupted", 9, None),
    ],
)
def test_a_call_that_ended_without_a_process_ended_when_it_was_last_written_to(
    state: str, cause: str, steps: int, ended: float | None
) -> None:
    assert ProcessHandover(restored(state)).ended_before(cause, steps) == ended


def test_leaving_is_for_the_next_process() -> None:
    handover = ProcessHandover(None)
    assert not handover.is_leaving
    handover.leave()
    assert handover.is_leaving


def test_a_call_that_has_just_been_taken_over_arrives_until_the_conversation_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    call = restored(handover_input=lambda: pytest.fail("it is asked"))
    handover = ProcessHandover(call)
    arrives = [handover.is_arriving]  # nobody has taken it over yet
    handover.recover("answered")
    for state in (machine.STREAMING, machine.RECOVERING, machine.BRIDGED, machine.RINGING):
        call.model.state = state
        arrives.append(handover.is_arriving)
    assert arrives == [False, True, True, False, False]
    call.model.state = machine.RECOVERING
    now[0] += 6.0
    assert not handover.is_arriving, "a model that is away would keep it here"
