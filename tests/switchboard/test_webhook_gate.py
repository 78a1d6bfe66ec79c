"""What waits at the gate of webhooks and media sockets, and for how long."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.cluster.claims import Claims
from callflow.contracts import events
from callflow.contracts.errors import Overloaded
from callflow.contracts.events import LegIds, WebhookEvent
from callflow.history.database import url_of
from callflow.history.history import History
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.switchboard import webhook_gate as module
from callflow.switchboard.webhook_gate import WebhookGate
from tests.call.offline import FakeCarrier, as_carrier
from tests.switchboard.test_switchboard import IDS as THE_IDS
from tests.switchboard.test_switchboard import NAME, stage


IDS = LegIds("control", "leg")


class Opening:
    """Of a history."""

    def __init__(self) -> None:
        self.opened, self.began = asyncio.Event(), asyncio.get_running_loop().time()

    async def is_open(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.opened.wait()
        except TimeoutError:
            return False
        return True


def made(opening: Opening, *, live: bool = False, membership: Any = None) -> WebhookGate:
    """The gate of a process without a history that can be read."""
    admission = SimpleNamespace(callers=SimpleNamespace(are_set=False))
    board: Any = SimpleNamespace(has=lambda signal: live, name_of=lambda signal: "c1", live=lambda name: None)
    board.admission, board.is_live = admission, lambda name: False
    return WebhookGate(opening, cast(Any, SimpleNamespace(is_readable=False)), membership, board, {})


def signal(event: events.Event) -> WebhookEvent:
    return WebhookEvent("fake", "d1", IDS, event)


RESUMED, RINGS = signal(events.CallResumed()), signal(events.CallInitiated())


async def passes(gate: WebhookGate, asked: WebhookEvent | None, coming: str = "") -> None:
    await gate.begun(asked)
    if asked is not None:
        await gate.hold(asked, coming=coming)
        await gate.look_up(asked)


async def is_held(gate: WebhookGate, asked: WebhookEvent | None, seconds: float, coming: str = "") -> bool:
    """Whether a request still waits after so long."""
    try:
        async with asyncio.timeout(seconds):
            await passes(gate, asked, coming)
    except TimeoutError:
        return True
    return False


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HOLD_SECONDS", 0.05)
    monkeypatch.setattr(module, "_RESUME_SECONDS", 0.5)


@pytest.mark.parametrize("asked", [None, RINGS, RESUMED])
async def test_a_request_waits_until_the_calls_of_the_process_before_are_known(asked: WebhookEvent | None) -> None:
    opening = Opening()
    gate = made(opening)
    assert await is_held(gate, asked, 0.02)
    opening.opened.set()
    assert not await is_held(gate, asked, 0.02)


@pytest.mark.parametrize(("asked", "still"), [(None, False), (RINGS, False), (RESUMED, True)])
async def test_a_caller_with_nobody_to_speak_to_waits_longest(asked: WebhookEvent | None, still: bool) -> None:
    assert await is_held(made(Opening()), asked, 0.2) is still


async def test_what_is_about_a_live_call_never_waits() -> None:
    assert not await is_held(made(Opening(), live=True), RINGS, 0.02)
    assert await is_held(made(Opening(), live=True), None, 0.02), "whose a media socket is, only its token says"


async def test_what_was_known_before_a_wait_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KNOWN_SECONDS", 0.05)
    opening, known = Opening(), asyncio.Event()

    async def joins() -> bool:
        return not known.is_set() and await known.wait()

    gate = made(opening, membership=SimpleNamespace(known=joins))
    asyncio.get_running_loop().call_later(0.01, opening.opened.set)
    asyncio.get_running_loop().call_later(0.02, known.set)
    assert await gate.begun(RINGS)
    assert not await gate.begun(RINGS)
    known.clear()
    assert await gate.begun(RINGS), "also one that was not known in time"
    closed = Opening()
    late = made(closed)
    assert await late.begun(None)
    closed.began -= 0.1  # a timer may be some microseconds early
    assert not await late.begun(None), "and not for ever"
    claims = Claims()
    gate = made(opening, membership=SimpleNamespace(claims=claims))
    assert not await gate.hold(RINGS)
    claims.hold(["c1"], ("me", 1))
    asyncio.get_running_loop().call_later(0.01, claims.drop_all)
    assert await gate.hold(RINGS)
    assert not await made(Opening(), live=True).begun(RINGS)


async def test_a_webhook_waits_while_its_call_is_being_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    opening, claims, known = Opening(), Claims(), asyncio.Event()
    opening.opened.set()
    gate = made(opening, membership=SimpleNamespace(claims=claims, known=known.wait))
    answered = signal(events.CallAnswered())
    assert await is_held(gate, answered, 0.1), "the other nodes do not know this one yet"
    known.set()
    assert not await is_held(gate, answered, 0.1)
    claims.hold(["c1"], ("me", 1))
    held = asyncio.create_task(passes(gate, answered))
    await asyncio.sleep(0.05)
    assert not held.done()
    claims.arrived("c1")
    async with asyncio.timeout(1):
        await held
    claims.hold(["c1"], ("me", 1))
    monkeypatch.setattr(module, "_RESTORED_SECONDS", 0.05)
    assert not await is_held(gate, answered, 1), "and not for ever"
    claims.drop(["c1"])
    assert not claims.is_coming("c1"), "another node has it meanwhile"
    assert not await is_held(gate, answered, 0.02)
    monkeypatch.setattr(module, "_RESTORED_SECONDS", 5)
    assert await is_held(gate, answered, 0.05, "c1"), "it was given to this node, which has not been told yet"
    claims.gave("c1")
    assert await is_held(gate, answered, 0.05), "nor the other one of what this node gave"
    claims.confirm_taken("c1")
    assert not await is_held(gate, answered, 0.02)
    claims.hold(["c1"], ("me", 1))
    monkeypatch.setattr(module, "_RESTORED_SECONDS", 0.05)
    gate._carriers = {"fake": as_carrier(FakeCarrier())}
    with pytest.raises(Overloaded):
        await passes(gate, answered)  # the carrier sends it again


async def test_the_other_side_of_a_call_that_was_dialled_waits_while_that_one_is_being_taken_over() -> None:
    opening, claims, known = Opening(), Claims(), asyncio.Event()
    opening.opened.set()
    known.set()
    gate = made(opening, membership=SimpleNamespace(claims=claims, known=known.wait))
    claims.hold(["dialled"], ("me", 1))
    assert await is_held(gate, signal(events.CallInitiated(linked="call:dialled")), 0.05)
    assert not await is_held(gate, signal(events.CallInitiated(linked="twilio:CA0")), 0.05)
    claims.arrived("dialled")
    begins = signal(events.CallInitiated(linked="call:dialled"))
    assert not await is_held(gate, begins, 0.05)
    assert await is_held(gate, begins, 0.05, "dialled"), "it was given to this node, which has not been told yet"


@pytest.mark.parametrize("in_cluster", [True, False])
@pytest.mark.parametrize("call", ["", NAME, "of another call"])
async def test_a_late_webhook_that_names_its_call_does_not_open_it_again(
    tmp_path: Path, call: str, in_cluster: bool
) -> None:
    """One that brought back what we had sent with the answer was not looked up in the history; at a node that had not
    had the call, or after a restart, nothing else says that it is over."""
    history = History(url_of("", str(tmp_path)), recordings=tmp_path / "recordings", retention_days=0, country="US")
    await history.open()
    opening, lost = Opening(), []
    opening.opened.set()
    for note in (notes.Began(carrier="fake", direction="inbound"), notes.Ended(cause="caller")):
        history.journal.note(JournalEntry.of(note, call=NAME, at=history.now()))
    await history.journal.flushed()
    member: Any = SimpleNamespace(
        claims=Claims(), known=opening.opened.wait, ask=lambda reading: history.database.soon(reading, 10.0),
    )  # fmt: skip
    async with stage() as the:
        the.board.on_lost_leg = lambda carrier, leg: lost.append(leg.call)
        gate = WebhookGate(opening, history, member if in_cluster else None, the.board, {})
        late = WebhookEvent("fake", "d1", THE_IDS, events.CallAnswered(), call=call)
        await passes(gate, late)
        await the.board.dispatch(as_carrier(the.carrier), late)
        assert the.board.calls == []
        assert lost == (["of another call"] if call == "of another call" else []), "its leg rings for nobody"
    await history.journal.close()
    await history.close()
