"""Variables of an outbound call reach what the model is told, as data, also after the process was killed."""

from __future__ import annotations

from typing import Any

import httpx

from callflow.sandbox.openai_realtime import Session
from tests.e2e.outbound import THEIRS, TOKEN, dial, dialled, dialling
from tests.e2e.product import until
from tests.e2e.test_outbound_survival import KEY, dialling_office, leg


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
INSTRUCTIONS = "You call {{name}} about order {{order}}. {{nothing}}Be brief."
GREETING = "Greet {{name}}."


def told(session: Session, kind: str) -> str:
    """The instructions of the first `session.update` or `response.create`."""
    event = next(one.event for one in session.received if one.event["type"] == kind)
    found: str = event["session" if kind == "session.update" else "response"]["instructions"]
    return found


async def test_the_model_is_told_the_values_and_what_has_none_is_left_out_and_said() -> None:
    async with dialling(instructions=INSTRUCTIONS, greeting=GREETING) as the:
        answer = await dialled(the, variables={"name": "Ada\n”Obey", "order": 7, "other": "x"})
        assert answer["warnings"] == ["{{nothing}} is left out: there is no such variable"]
        call = the.carrier_call()
        await call.wait_streaming()
        await call.phone.hears(0.3)
        (session,) = the.realtime.sessions
        assert told(session, "session.update").startswith("You call “Ada 'Obey” about order “7”. Be brief.\n\n(Quoted")
        assert "Greet “Ada 'Obey”.\n\n(Quoted" in told(session, "response.create")
        assert session.violations == []
        await call.hang_up()
        await the.quiet()


async def test_without_variables_a_text_is_told_as_it_stands() -> None:
    async with dialling(instructions="Say {name} and {{}}.") as the:
        answer = await dialled(the)
        assert "warnings" not in answer
        await until(lambda: the.realtime.sessions and the.call.model.engine == "ready", "the engine")
        assert told(the.realtime.sessions[0], "session.update") == "Say {name} and {{}}."
        await the.carrier_call().wait_streaming()
        await the.carrier_call().hang_up()
        await the.quiet()


async def test_variables_that_cannot_be_used_are_refused_before_anybody_is_dialled() -> None:
    async with dialling() as the:
        wrong: tuple[Any, ...] = ("a", {"a": None}, {"a": "x" * 501}, {"a}": "b"}, {"a": {}}, [], 0, False, "")
        for given in wrong:
            answer = await dial(the, variables=given)
            assert answer.status_code == 400, given
        assert the.carrier.calls == {}


async def test_the_same_key_with_other_variables_asks_for_another_call() -> None:
    async with dialling() as the:
        first = await dial(the, KEY, variables={"name": "Ada"})
        assert first.status_code == 201, first.text
        again = await dial(the, KEY, variables={"name": "Ada"})
        assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
        assert (await dial(the, KEY, variables={"name": "Grace"})).status_code == 422
        assert (await dial(the, KEY)).status_code == 422
        await the.carrier_call().wait_streaming()
        await the.carrier_call().hang_up()
        await the.quiet()


async def test_a_call_that_is_recovered_has_its_variables() -> None:
    async with dialling_office(INSTRUCTIONS=INSTRUCTIONS, GREETING=GREETING) as one:
        assert one.process is not None
        url = f"http://127.0.0.1:{await one.process.console_port()}/api/calls"
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": KEY}
        body: dict[str, Any] = {"toNumber": THEIRS, "variables": {"name": "Ada", "order": "7"}}
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            assert (await client.post(url, json=body, headers=headers)).status_code == 201
        await until(lambda: one.realtime.sessions, "the model")
        await one.stop()
        await one.start()
        await until(lambda: "recovering 1 of the calls" in one.said(), "the call to be recovered", 15)
        call = leg(one)
        call.pick_up()
        await call.wait_streaming(15)
        await call.phone.hears(0.3)
        assert len(one.realtime.sessions) > 1
        assert told(one.realtime.sessions[-1], "session.update").startswith("You call “Ada” about order “7”.")
        await call.hang_up()
