"""A node that begins beside another one: what carriers send it before it knows whose the calls are."""

from __future__ import annotations

import asyncio
from typing import cast

import httpx
import pytest

from callflow import app
from callflow.history.history import History
from callflow.sandbox.telnyx import Telnyx
from tests.e2e.product import until
from tests.e2e.scenes import webhook
from tests.e2e.several_nodes import cluster, member


@pytest.mark.carrier("telnyx")
async def test_a_hang_up_that_comes_before_its_history_is_open_ends_the_call_at_the_other_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was refused, and had to be sent again."""
    asked, may_open, open_history = asyncio.Event(), asyncio.Event(), History.open

    async def opens_late(history: History) -> None:
        await may_open.wait()
        await open_history(history)

    async with cluster() as the:
        first = await the.begin()
        call, _ = await the.answered()
        telnyx = cast(Telnyx, the.carrier)
        monkeypatch.setattr(History, "open", opens_late)
        monkeypatch.setattr(app, "_OPEN_SECONDS", 0.0)
        second = await the.begin()
        hold = second.recovery.begun

        async def asks(*given: object) -> bool:
            asked.set()
            return await hold(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(second.recovery, "begun", asks)
        body = webhook(
            "call.hangup",
            {
                "call_control_id": call.control_id,
                "call_leg_id": call.leg_id,
                "call_session_id": call.session_id,
                "hangup_cause": "normal_clearing",
                "hangup_source": "caller",
            },
        )
        async with httpx.AsyncClient(trust_env=False) as client:
            url = f"http://127.0.0.1:{second.public_at[1]}/webhooks"
            sending = asyncio.create_task(client.post(url, content=body, headers=telnyx.sign(body)))
            waiting = asyncio.create_task(asked.wait())
            await asyncio.wait([sending, waiting], return_when=asyncio.FIRST_COMPLETED)
            may_open.set()
            answer = await sending
            assert answer.status_code == 200, answer.text
            await waiting
        await until(lambda: not first.switchboard.calls, "the end of the call")
        assert second.switchboard.counts["strays"] == 0
        await the.hang_up()


@pytest.mark.carrier("telnyx")
async def test_workers_that_began_without_the_database_make_a_call_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first webhook was sent again, and came to the other worker: that one answered the caller, too."""

    async def stays_away(history: History) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(History, "open", stays_away)
    monkeypatch.setattr(app, "_OPEN_SECONDS", 0.0)
    async with cluster() as the:
        names = ("w1", "w2")
        first, second = [await the.begin(beside=names) for _ in names]
        call, _ = await the.answered()
        assert first.switchboard.calls
        assert not any(member(node).epoch for node in the.nodes)
        telnyx = cast(Telnyx, the.carrier)
        begins = next(each for each in telnyx.deliveries if each.event_type == "call.initiated")
        body = webhook("call.initiated", dict(begins.payload))
        async with httpx.AsyncClient(trust_env=False) as client:
            url = f"http://127.0.0.1:{second.public_at[1]}/webhooks"
            answer = await client.post(url, content=body, headers=telnyx.sign(body))
        assert answer.status_code == 200, answer.text
        assert not second.switchboard.calls, "both workers have the call"
        assert call.ended_at is None
