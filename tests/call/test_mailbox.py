"""The mailbox of a call: first come, first served, but for the end of the call."""

from __future__ import annotations

import asyncio

import pytest

from callflow.call import mailbox
from callflow.call.mailbox import Mailbox
from callflow.contracts import events
from callflow.contracts.events import Event


ENDS = (events.CallHangup(), events.HangupRequested())


def order(box: Mailbox) -> list[Event]:
    return [one.event for one in box.take_rest()]


async def test_events_are_taken_in_the_order_of_their_arrival() -> None:
    box, given = Mailbox(), [events.Dtmf(digit=digit) for digit in "123"]
    for event in given:
        box.put(event)
    taken = [await box.next() for _ in given]
    assert [one.event for one in taken if one] == given


@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_the_call_goes_before_all_that_waits(end: Event) -> None:
    box = Mailbox()
    box.put(events.Dtmf(digit="1"))
    box.put(end)
    box.put(events.Dtmf(digit="2"))
    assert order(box) == [end, events.Dtmf(digit="1"), events.Dtmf(digit="2")]


@pytest.mark.parametrize("end", ENDS)
def test_an_answer_that_waits_goes_before_the_end_of_its_leg(end: Event) -> None:
    """Else who answers and soon hangs up counts as never reached while the database is slow, and is called again."""
    box, others = Mailbox(), [events.Dtmf(digit="1"), events.CallAnswered(leg=events.HUMAN)]
    for event in (*others, events.CallAnswered()):
        box.put(event)
    box.put(end)
    assert order(box) == [events.CallAnswered(), end, *others]


def test_what_is_put_first_is_taken_first() -> None:
    box = Mailbox()
    box.put(events.Dtmf(digit="1"))
    box.put(events.CallRecovered(), first=True)
    assert order(box) == [events.CallRecovered(), events.Dtmf(digit="1")]
    assert order(box) == [], "they were taken"


async def test_a_reply_stays_with_its_event() -> None:
    box = Mailbox()
    reply = asyncio.get_running_loop().create_future()
    box.put(events.CallAnswered(), reply)
    taken = await box.next()
    assert taken is not None
    assert taken.reply is reply


def test_a_full_mailbox_still_takes_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "_MOST", 2)
    box = Mailbox()
    for _ in range(2):
        assert not box.is_full_for(events.Dtmf())
        box.put(events.Dtmf())
    assert box.is_full_for(events.Dtmf())
    assert not any(box.is_full_for(end) for end in ENDS)


def test_has_tells_kinds_apart() -> None:
    box = Mailbox()
    box.put(events.GoodbyeRequested())
    assert box.has(events.GoodbyeRequested)
    assert not box.has(events.HangupRequested)


async def test_next_waits_for_an_event_and_until_the_mailbox_is_closed() -> None:
    box = Mailbox()
    waiting = asyncio.create_task(box.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    box.put(events.CallAnswered())
    first = await waiting
    assert first is not None
    assert first.event == events.CallAnswered()
    waiting = asyncio.create_task(box.next())
    await asyncio.sleep(0)
    box.close()
    assert await waiting is None
    box.put(events.Dtmf())
    assert await box.next() is None, "who has let go of a call takes no step of it"
    box.put(events.CallHangup())
    last = await box.next()
    assert last is not None
    assert last.event == events.CallHangup(), "but for its end"
    assert order(box) == [events.Dtmf()], "what came after closing is not lost"


def test_an_event_may_take_the_place_of_a_queued_one() -> None:
    box, rings = Mailbox(), events.CallInitiated()
    for event in (rings, events.Dtmf(digit="1")):
        box.put(event)
    assert box.first is not None
    assert box.first.event is rings
    box.exchange(rings, events.CallRefused())
    assert order(box) == [events.CallRefused(), events.Dtmf(digit="1")]


@pytest.mark.parametrize("end", [*ENDS, None], ids=["over", "asked to end", "closed"])
async def test_the_end_of_the_call_can_be_waited_for_while_events_stay_queued(end: Event | None) -> None:
    box = Mailbox()
    box.put(events.CallInitiated())
    waiting = asyncio.create_task(box.ends())
    await asyncio.sleep(0)
    box.put(events.Dtmf(digit="1"))
    await asyncio.sleep(0)
    assert not waiting.done()
    if end is None:
        box.close()
    else:
        box.put(end)
    async with asyncio.timeout(1):
        await waiting
    taken = await box.next()
    assert taken == (None if end is None else (end, None))


def test_what_waits_of_one_leg_becomes_that_of_another() -> None:
    box = Mailbox()
    for leg in ("caller", "human", "human"):
        box.put(events.Dtmf(digit="1", leg=leg))
    box.relabel("human", "former")
    assert [event.leg for event in order(box)] == ["caller", "former", "former"]


async def test_it_is_held_when_all_that_waits_was_taken_and_what_comes_then_waits() -> None:
    box = Mailbox()
    box.put(events.Dtmf(digit="1"))
    holding = asyncio.create_task(box.hold(5))
    await asyncio.sleep(0)
    assert not box.is_held, "a step is to be taken"
    assert await box.next() is not None
    assert not box.is_held, "it is being taken"
    taking = asyncio.create_task(box.next())
    assert await asyncio.wait_for(holding, 1)
    box.put(events.CallHangup())
    opened = asyncio.create_task(box.opened())
    await asyncio.sleep(0)
    assert (taking.done(), opened.done()) == (False, False)
    box.go_on()
    taken = await asyncio.wait_for(taking, 1)
    assert taken is not None
    assert taken.event == events.CallHangup()
    await asyncio.wait_for(opened, 1)


async def test_it_is_not_held_while_an_operators_request_is_served_nor_for_ever_waited_for() -> None:
    box = Mailbox()
    taking = asyncio.create_task(box.next())
    with box.serving():
        assert not await box.hold(0.01)
        holding = asyncio.create_task(box.hold(5))
        await asyncio.sleep(0)
        assert not box.is_held
    assert await asyncio.wait_for(holding, 1)
    box.put(events.Dtmf(digit="1"))
    box.close()
    box.go_on()
    assert await asyncio.wait_for(taking, 1) is None, "who has let go of a call takes no step of it"
    assert order(box) == [events.Dtmf(digit="1")]


async def test_one_that_is_closed_is_not_held() -> None:
    box = Mailbox()
    holding = asyncio.create_task(box.hold(5))
    await asyncio.sleep(0)
    box.close()
    assert not await asyncio.wait_for(holding, 1)
    assert not await box.hold(5)
