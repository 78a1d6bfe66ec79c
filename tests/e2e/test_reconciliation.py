"""Calls that we believe alive and the carrier does not, and the reverse."""

from __future__ import annotations

import time
from typing import Any

import pytest

from callflow.contracts import events
from callflow.sandbox import telnyx, twilio
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.sandbox.telnyx.exchange import CONNECTION_ID
from callflow.switchboard import dedupe, reconciliation
from tests.e2e import product as products
from tests.e2e.product import product, until
from tests.e2e.talk import talk


CARRIERS = ("telnyx", "twilio")
SETTLED_SECONDS = reconciliation._SETTLED_SECONDS


@pytest.fixture(autouse=True)
def doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are doubted at once, and what has ended is forgotten at once."""
    monkeypatch.setattr(reconciliation, "_SETTLED_SECONDS", 0.0)
    monkeypatch.setattr(dedupe, "REMEMBERED_SECONDS", 0.01)


def model() -> Realtime:
    return Realtime(script=Script.tone(0.3), pace=Pace.instant())


def fault(action: str, **how: Any) -> Any:
    if products.usual == "twilio":
        return twilio.ApiFault({"get": "fetch", "hangup": "update"}[action], **how)
    return telnyx.ApiFault(action, **how)


def settings() -> dict[str, Any]:
    return {"telnyx_connection_id": CONNECTION_ID} if products.usual == "telnyx" else {}


async def test_a_call_that_the_carrier_has_no_more_is_let_go() -> None:
    async with product(realtime=model(), reconcile_seconds=0, **settings()) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        await the.app.recovery.reconciliation.run_once()
        assert the.app.switchboard.counts["lost_hangups"] == 0, "a healthy call was doubted"
        the.carrier.faults.api.append(fault("get", status=404))
        await the.app.recovery.reconciliation.run_once()
        await the.quiet()
        (ended,) = the.happened("ended")
        assert ended["cause"] == "not_at_carrier"
        the.carrier.faults.api.clear()


async def test_a_call_that_has_just_begun_is_not_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Carriers' lists lag behind their calls."""
    monkeypatch.setattr(reconciliation, "_SETTLED_SECONDS", SETTLED_SECONDS)
    async with product(realtime=model(), reconcile_seconds=0, **settings()) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        the.carrier.faults.api.append(fault("get", status=404, times=9))
        monkeypatch.setattr(the.app.history, "now", lambda: time.time() + 25)
        await the.app.recovery.reconciliation.run_once()
        assert the.app.switchboard.counts["lost_hangups"] == 0
        monkeypatch.setattr(the.app.history, "now", lambda: time.time() + 31)
        await the.app.recovery.reconciliation.run_once()
        assert the.app.switchboard.counts["lost_hangups"] == 1
        await the.quiet()
        the.carrier.faults.api.clear()


async def test_a_carrier_that_does_not_answer_is_no_reason_to_let_a_call_go() -> None:
    async with product(realtime=model(), reconcile_seconds=0, command_retries=0, **settings()) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        the.carrier.faults.api.append(fault("get", status=503, times=9))
        await the.app.recovery.reconciliation.run_once()
        the.carrier.faults.api.clear()
        one.phone.say(tone(300))
        await one.phone.hears(0.3)
        assert the.app.switchboard.calls


async def test_a_call_that_is_over_for_us_and_still_on_the_line_is_hung_up_once_more() -> None:
    async with product(realtime=model(), reconcile_seconds=0, **settings()) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        the.carrier.faults.api.append(fault("hangup", status=400))
        the.call.post(events.HangupRequested(reason="requested"))
        await the.quiet()
        await the.app.journal.flushed()
        (active,) = await the.app.carriers[0].active_calls()
        await until(lambda: not the.app.switchboard.knows(products.usual, active.ids), "the call to be forgotten")
        assert one.call.ended_at is None, "the fault was none"
        the.carrier.faults.api.clear()
        await the.app.recovery.reconciliation.run_once()
        await until(lambda: one.call.ended_at is not None, "the carrier to let go of the caller")
        assert the.app.switchboard.counts["orphans"] == 1


async def test_a_call_of_somebody_else_who_shares_the_account_is_left_alone() -> None:
    async with product(realtime=model(), reconcile_seconds=0, **settings()) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        row = await the.app.history.store.conversation(the.call.id)
        assert row is not None
        the.call.post(events.HangupRequested(reason="requested"))
        the.carrier.faults.api.append(fault("hangup", status=400))
        await the.quiet()
        await the.app.history.delete([row["id"]])
        the.carrier.faults.api.clear()
        await the.app.recovery.reconciliation.run_once()
        assert the.app.switchboard.counts["orphans"] == 0
        assert one.call.ended_at is None
