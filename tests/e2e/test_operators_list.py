"""The list of calls of a running server, while a call rings, is going on and is over, with both carriers."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

import pytest

from callflow.sandbox.telnyx import Call as TelnyxCall
from tests.e2e import product as products
from tests.e2e.operators_port import JSON, Port
from tests.e2e.outbound import OURS, THEIRS, TOKEN, callee, dialled, dialling
from tests.e2e.product import product
from tests.e2e.talk import talk


@pytest.mark.parametrize("carrier", ["telnyx", "twilio"])
async def test_a_call_is_listed_from_its_first_moment_to_its_end(carrier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "usual", carrier)
    async with product(no_input_seconds=0) as the:
        it = Port(the.app.console_at[1], token="")
        assert (await it.ask("GET", "/api/calls")).json() == []
        one = await talk(the)
        await one.phone.hears(0.2)
        name = the.call.id
        sid = one.call.control_id if isinstance(one.call, TelnyxCall) else one.call.sid
        (live,) = (await it.ask("GET", "/api/calls")).json()
        usual = {"sid": sid, "id": name, "carrier": carrier, "direction": "inbound", "from": one.call.from_number}
        assert {**live, **usual, "status": "in-progress", "endTime": None, "duration": None, "cause": None} == live
        for asked in (sid, name):
            assert (await it.ask("GET", f"/api/calls?sid={quote(asked)}")).json() == live
        await one.call.hang_up()
        await the.quiet()
        await the.app.journal.flushed()
        (over,) = (await it.ask("GET", "/api/calls")).json()
        assert {**over, **usual, "to": live["to"], "status": "completed"} == over
        started = [datetime.fromisoformat(each["startTime"]).timestamp() for each in (live, over)]
        assert started[0] == pytest.approx(started[1], abs=0.05)
        assert over["endTime"] > over["startTime"]
        assert isinstance(over["duration"], int)
        assert over["causeText"].startswith("it was hung up in the ordinary way")
        for asked in (sid, name):
            assert (await it.ask("GET", f"/api/calls?sid={quote(asked)}")).json() == over


@pytest.mark.parametrize("carrier", ["telnyx", "twilio"])
async def test_a_call_that_is_dialled_is_listed_while_it_rings_and_as_it_ended(
    carrier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "usual", carrier)
    async with dialling() as the:
        it = Port(the.app.console_at[1], TOKEN)
        the.carrier.exchange.timing.ring_s = 30
        rings = await dialled(the)
        (live,) = (await it.ask("GET", "/api/calls")).json()
        usual = {
            "sid": rings["callSid"], "id": rings["id"], "carrier": carrier, "direction": "outbound", "from": OURS,
            "to": THEIRS,
        }  # fmt: skip
        assert {**live, **usual, "status": "ringing", "endTime": None, "duration": None} == live
        await it.ask("POST", f"/api/calls/{rings['id']}/hangup", headers=[JSON], body=b'{"when": "now"}')
        await the.quiet()
        await the.app.journal.flushed()
        (over,) = (await it.ask("GET", "/api/calls")).json()
        assert {**over, **usual, "status": "canceled", "duration": None, "cause": "operator"} == over
        assert over["endTime"] is not None
        the.carrier.exchange.timing.ring_s = 0.05
        callee(the, "busy")
        second = await dialled(the)
        await the.quiet()
        await the.app.journal.flushed()
        engaged = (await it.ask("GET", f"/api/calls?sid={quote(second['callSid'])}")).json()
        assert (engaged["status"], engaged["causeText"]) == ("busy", "the line was busy")
        assert [call["id"] for call in (await it.ask("GET", "/api/calls")).json()] == [second["id"], rings["id"]]
