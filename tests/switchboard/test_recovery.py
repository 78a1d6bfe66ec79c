"""The start of a process: which requests wait for the calls of the process before, and how those are taken back."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.cluster.claims import Claims
from callflow.contracts import events
from callflow.contracts.events import LegIds, WebhookEvent
from callflow.history.history import History
from callflow.switchboard import recovery as module
from callflow.switchboard import webhook_gate
from callflow.switchboard.recovery import Recovery


IDS = LegIds("control", "leg")
NOW = 1000.0


def made(*, live: bool = False) -> Recovery:
    database = SimpleNamespace(is_sqlite=True)
    recovery = Recovery(
        cast(
            History, SimpleNamespace(is_readable=False, database=database, journal=SimpleNamespace(), now=lambda: NOW)
        ),
        reconcile_seconds=0,
    )
    recovery._switchboard = cast(Any, SimpleNamespace(has=lambda signal: live))
    return recovery


def signal(event: events.Event) -> WebhookEvent:
    return WebhookEvent("fake", "d1", IDS, event)


RESUMED, RINGS = signal(events.CallResumed()), signal(events.CallInitiated())


async def is_held(recovery: Recovery, asked: WebhookEvent | None, seconds: float) -> bool:
    """Whether a request still waits after so long."""
    try:
        async with asyncio.timeout(seconds):
            await recovery.hold(asked)
    except TimeoutError:
        return True
    return False


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_gate, "_HOLD_SECONDS", 0.05)
    monkeypatch.setattr(webhook_gate, "_RESUME_SECONDS", 0.5)
    monkeypatch.setattr(module, "_LOST_LEG_SECONDS", 0.5)


async def test_new_calls_are_better_sent_elsewhere_until_the_history_is_open_and_while_it_cannot_be_written() -> None:
    recovery = made()
    journal = cast(Any, recovery._history.journal)
    journal.trouble = ""
    assert recovery.lacks() == "starting"
    recovery.opened.set()
    assert recovery.lacks() == ""
    journal.trouble = "the disk is full"
    assert recovery.lacks() == "database"
    journal.trouble = ""
    node = SimpleNamespace(is_draining=False, trouble="no connection", has_room_beside=True)
    recovery._membership = cast(Any, node)
    assert recovery.lacks() == "database"
    node.is_draining = True
    assert recovery.lacks() == "draining"
    assert recovery.has_room_beside()


@pytest.mark.parametrize("asked", [None, RINGS, RESUMED])
async def test_a_request_waits_until_the_calls_of_the_process_before_are_known(asked: WebhookEvent | None) -> None:
    recovery = made()
    assert await is_held(recovery, asked, 0.02)
    recovery.opened.set()
    assert not await is_held(recovery, asked, 0.02)


@pytest.mark.parametrize(("asked", "still"), [(None, False), (RINGS, False), (RESUMED, True)])
async def test_a_caller_with_nobody_to_speak_to_waits_longest(asked: WebhookEvent | None, still: bool) -> None:
    assert await is_held(made(), asked, 0.2) is still


async def test_what_is_about_a_live_call_never_waits() -> None:
    assert not await is_held(made(live=True), RINGS, 0.02)
    assert await is_held(made(live=True), None, 0.02), "whose a media socket is, only its token says"


async def test_waiting_for_the_history_is_bounded() -> None:
    recovery = made()
    assert not await recovery.is_open(0.01)
    recovery.opened.set()
    assert await recovery.is_open(0.01)


async def test_a_webhook_waits_while_its_call_is_being_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    recovery, claims = made(), Claims()
    recovery.opened.set()
    recovery._switchboard = cast(Any, SimpleNamespace(has=lambda signal: False, name_of=lambda signal: "c1"))
    known = asyncio.Event()
    recovery._membership = cast(Any, SimpleNamespace(claims=claims, known=known.wait))
    answered = signal(events.CallAnswered())
    assert await is_held(recovery, answered, 0.1), "the other nodes do not know this one yet"
    known.set()
    assert not await is_held(recovery, answered, 0.1)
    claims.hold(["c1"], ("me", 1))
    held = asyncio.create_task(recovery.hold(answered))
    await asyncio.sleep(0.05)
    assert not held.done()
    claims.arrived("c1")
    async with asyncio.timeout(1):
        await held
    claims.hold(["c1"], ("me", 1))
    monkeypatch.setattr(webhook_gate, "_RESTORED_SECONDS", 0.05)
    assert not await is_held(recovery, answered, 1), "and not for ever"
    claims.drop(["c1"])
    assert not claims.is_coming("c1"), "another node has it meanwhile"
