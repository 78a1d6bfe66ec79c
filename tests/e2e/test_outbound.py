"""Outbound calls: dialled, rung, answered, greeted; and every way in which nobody answers."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from callflow.sandbox.openai_realtime import Faults as RealtimeFaults
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.sandbox.telnyx import ApiFault
from callflow.sandbox.twilio import ApiFault as TwilioApiFault
from tests.e2e import product as products
from tests.e2e.outbound import OURS, THEIRS, ask, callee, dial, dialled, dialling, dials
from tests.e2e.product import until
from tests.web.console.test_image_uploads import picture


CARRIERS = ("telnyx", "twilio")
SAMPLED = True


async def test_a_call_is_dialled_and_the_agent_speaks_first() -> None:
    async with dialling() as the:
        told = await dialled(the)
        call = the.carrier_call()
        assert (told["carrier"], told["callSid"]) == (products.usual, the.call.ids.control)
        assert (call.from_number, call.to_number) == (OURS, THEIRS)
        await call.wait_streaming()
        await call.phone.hears(0.3)
        await call.hang_up()
        await the.quiet()
        # Telnyx opens the media socket while it rings, so its stream may start before the webhook about the answer.
        assert the.timeline()[-1] == "streaming>hangup"
        (session,) = the.realtime.sessions
        assert session.violations == []
        assert call.stream is None
        assert len(dials(the)) == 1
        assert the.carrier.failures == []


async def test_the_model_is_connected_while_it_rings() -> None:
    async with dialling() as the:
        the.carrier.exchange.timing.ring_s = 1.0
        await dialled(the)
        await the.realtime.wait_session(1)
        await until(lambda: the.call.model.engine == "ready", "the engine")
        assert the.call.model.state == "ringing"
        call = the.carrier_call()
        await call.wait_streaming()
        await call.phone.hears(0.2)
        assert len(the.realtime.sessions) == 1
        await call.hang_up()
        await the.quiet()


async def test_a_picture_that_is_posted_as_soon_as_the_call_is_dialled_is_seen_before_the_first_word() -> None:
    async with dialling() as the:
        the.carrier.exchange.timing.ring_s = 30.0
        made = await dialled(the, session={"audio": {"input": {"noise_reduction": None}}})
        url = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
        told = await ask(the, "POST", f"/api/calls/{made['id']}/images", {"url": url, "text": "Our menu."})
        assert told.status_code == 202, told.text
        call = the.carrier_call()
        call.pick_up()
        session = await the.realtime.wait_session()
        await session.wait_for("response.create")
        kinds = [one.event["type"] for one in session.received]
        assert kinds.index("conversation.item.create") < kinds.index("response.create")
        item = next(one.event["item"] for one in session.received if one.event["type"] == "conversation.item.create")
        assert [part["type"] for part in item["content"]] == ["input_image", "input_text"]
        assert session.config["audio"]["input"]["noise_reduction"] is None, "null in the session of the call is off"
        await call.hang_up()


@pytest.mark.parametrize(
    ("what", "causes"),
    [("busy", {"user_busy"}), ("no_answer", {"timeout", "no_answer"}), ("rejects", {"call_rejected", "user_busy"})],
)
async def test_nobody_answers_and_the_call_is_over(what: str, causes: set[str]) -> None:
    async with dialling() as the:
        the.carrier.exchange.timing.no_answer_s = 0.2
        callee(the, what)
        await dialled(the)
        await the.quiet()
        (ended,) = the.happened("ended")
        assert ended["cause"] in causes
        assert the.timeline() == ["ringing>hangup"]
        assert the.actions("hangup") == []


async def test_a_call_that_is_ended_while_it_rings_is_cancelled_at_the_carrier() -> None:
    async with dialling() as the:
        the.carrier.exchange.timing.ring_s = 30
        await dialled(the)
        call = the.carrier_call()
        the.call.hang_up("now", "operator")
        await call.wait_ended()
        await the.quiet()
        assert call.ended_by == "product"
        assert call.answered_at is None


async def test_a_call_that_is_ended_while_it_is_being_dialled_is_cancelled_as_soon_as_it_has_a_name() -> None:
    async with dialling() as the:
        the.carrier.exchange.timing.ring_s = 30
        fault = TwilioApiFault if products.usual == "twilio" else ApiFault
        action = "create" if products.usual == "twilio" else "dial"
        the.carrier.faults.api.append(fault(action, slow_s=0.6))
        asked = asyncio.create_task(dial(the))
        await until(lambda: the.app.switchboard.calls, "the call")
        the.call.hang_up("now", "operator")
        await the.quiet()
        await asked
        await until(lambda: the.carrier.calls, "the leg")
        await the.carrier_call().wait_ended()
        assert the.carrier_call().ended_by == "product"


async def test_a_model_that_is_away_ends_a_call_before_anybody_picks_up() -> None:
    realtime = Realtime(script=Script.tone(0.4), pace=Pace.instant(), faults=RealtimeFaults(refuse_next=99))
    async with dialling(realtime=realtime, engine_seconds=0.5) as the:
        the.carrier.exchange.timing.ring_s = 30
        await dialled(the)
        call = the.carrier_call()
        await call.wait_ended()
        await the.quiet()
        assert (call.ended_by, call.answered_at) == ("product", None)


async def test_one_key_makes_one_call_whatever_becomes_of_it() -> None:
    async with dialling() as the:
        callee(the, "busy")
        first, second = await asyncio.gather(dial(the, key="order-1"), dial(the, key="order-1"))
        assert {first.status_code, second.status_code} == {201, 200}
        assert first.json()["id"] == second.json()["id"]
        await the.quiet()
        await the.app.journal.flushed()
        third = await dial(the, key="order-1")
        assert (third.status_code, third.json()["id"]) == (200, first.json()["id"])
        other = await dial(the, key="order-1", toNumber="+15550100008")
        assert other.status_code == 422, other.text
        assert len(dials(the)) == 1
        assert len(the.carrier.calls) == 1


async def test_a_carrier_that_refuses_to_dial_says_so_to_whoever_asked() -> None:
    async with dialling() as the:
        status = 400 if products.usual == "twilio" else 422
        fault = TwilioApiFault if products.usual == "twilio" else ApiFault
        action = "create" if products.usual == "twilio" else "dial"
        the.carrier.faults.api.append(fault(action, status=status))
        answer = await dial(the)
        assert answer.status_code == status, answer.text
        assert "not dialled" in answer.json()["error"]
        await the.quiet()
        (ended,) = the.happened("ended")
        assert ended["cause"] == "dial_failed"
        assert the.actions("hangup") == []


async def test_an_answer_that_is_lost_dials_nobody_twice_and_the_call_goes_on() -> None:
    async with dialling(command_seconds=0.5) as the:
        the.carrier.exchange.timing.ring_s = 1.5
        fault = TwilioApiFault if products.usual == "twilio" else ApiFault
        action = "create" if products.usual == "twilio" else "dial"
        the.carrier.faults.api.append(fault(action, lose_response=True))
        answer = await dial(the)
        assert answer.status_code in (201, 202), answer.text
        call = the.carrier_call()
        await call.wait_streaming()
        await call.phone.hears(0.2)
        await call.hang_up()
        await the.quiet()
        assert len(the.carrier.calls) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"toNumber": "0155"}, "E.164"),
        ({"toNumber": 7}, "text"),
        ({"from": "Bob"}, "E.164"),
        ({"carrier": "nobody"}, "carrier must be"),
        ({"profile": "nobody"}, "no profile"),
        ({"tonumber": "+15550100001"}, "tonumber"),
        ({"session": {"speed": "fast"}}, "speed"),
        ({"session": {"profile_daily_minutes": 0}}, "profile_daily_minutes belongs to a profile"),
        ({"session": {"max_call_seconds": 80000}}, "max_call_seconds can only go down: its profile has 3300"),
        ({"record": "yes"}, "record"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_a_reason(body: dict[str, Any], words: str) -> None:
    async with dialling() as the:
        answer = await dial(the, **body)
        assert answer.status_code == 400, answer.text
        assert words in " ".join(answer.json().get("problems", [answer.json()["error"]]))
        assert dials(the) == []
        assert the.app.journal.calls() == []


async def test_what_cannot_be_written_down_is_not_dialled() -> None:
    """A restart would not know of it, and might dial again."""
    async with dialling() as the:
        held = sqlite3.connect(Path(the.app.settings.data_dir) / "callflow.db", isolation_level=None)
        held.execute("BEGIN EXCLUSIVE")
        try:
            answer = await dial(the)
        finally:
            held.execute("ROLLBACK")
            held.close()
        assert answer.status_code == 503, answer.text
        assert "written down" in answer.json()["error"]
        await the.quiet(10)
        assert (dials(the), the.actions("hangup")) == ([], [])


CALLBACKS = (
    "call.initiated", "call.answered", "call.hangup", "streaming.started", "streaming.stopped",
    "voice", "status", "stream", "status:initiated", "status:ringing", "status:answered", "status:completed",
)  # fmt: skip
ODD: dict[str, dict[str, Any]] = {
    "each twice": {"webhook_duplicates": dict.fromkeys(CALLBACKS, 1)},
    "each again under another id": {
        "webhook_new_ids": dict.fromkeys(CALLBACKS, 1),
        "webhook_new_tokens": dict.fromkeys(CALLBACKS, 1),
    },
    "the first ones late": {
        "webhook_delay_s": {
            "call.initiated": 1.0,
            "status:initiated": 1.0,
            "status:ringing": 1.2,
            "status:answered": 1.0,
        }
    },
    "those about ringing and answer lost": {
        "webhook_drop": ["call.initiated", "call.answered", "status:initiated", "status:ringing", "status:answered"]
    },
}


@pytest.mark.parametrize("odd", ODD)
async def test_callbacks_in_any_order_and_number_give_one_conversation(odd: str) -> None:
    async with dialling() as the:
        known = {name for name in ODD[odd] if hasattr(the.carrier.faults, name)}
        for name in known:
            setattr(the.carrier.faults, name, ODD[odd][name])
        await dialled(the)
        call = the.carrier_call()
        await call.wait_streaming()
        await call.phone.hears(0.3)
        await call.hang_up()
        await the.quiet(10)
        assert (len(the.carrier.calls), len(dials(the)), len(the.realtime.sessions)) == (1, 1, 1)
        greeted = [one for one in the.realtime.sessions[0].received if one.event["type"] == "response.create"]
        assert len(greeted) == 1
