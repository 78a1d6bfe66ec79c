"""Several businesses on one server: calls, lists of calls and opt-outs of each, over real sockets."""

from __future__ import annotations

from typing import Any

import httpx

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.openai_realtime import Pace, Realtime, Say, Script, Turn
from callflow.sandbox.openai_realtime.script import Call as ToolCall
from callflow.web.console.business_scope import ROUTES
from tests.e2e.campaigns import NUMBERS, SHORT, make, reaches
from tests.e2e.outbound import OURS, THEIRS, ask, dial, dialling
from tests.e2e.product import Product, until
from tests.e2e.talk import noise


TAXIS, BAKERY = "the-token-of-the-taxis-5678", "the-token-of-the-bakery-5678"
BREAD = "+15550100003"
SETTINGS: dict[str, Any] = {
    "console_tokens": f"desk:configure:taxis:{TAXIS},oven:configure:bakery:{BAKERY}",
    "profiles": {
        "cabs": {"numbers": [OURS], "business": "taxis"},
        "bread": {"numbers": [BREAD], "business": "bakery"},
    },
}


async def as_(the: Product, token: str, method: str, path: str, body: Any = None) -> httpx.Response:
    return await ask(the, method, path, body, Authorization=f"Bearer {token}")


async def test_a_call_is_of_its_business_and_the_tokens_of_others_do_not_see_it() -> None:
    async with dialling(**SETTINGS) as the:
        rules = {rule.rule for rule in the.app.console().url_map.iter_rules()}
        assert {rule for _, rule in ROUTES} <= rules, "a name in there is misspelt"
        for body in (
            {"profile": "bread"}, {"profile": "nobody"}, {"from": BREAD}, {"from": BREAD, "profile": "cabs"},
            {"from": "+15550100009"},
        ):  # fmt: skip
            answer = await as_(the, TAXIS, "POST", "/api/calls", {"toNumber": THEIRS, **body})
            assert (answer.status_code, "bread" in answer.text) == (404, False), body
        assert (await as_(the, BAKERY, "POST", "/api/calls", {"toNumber": THEIRS})).status_code == 404
        for token in (TAXIS, BAKERY):
            asked = {"toNumber": THEIRS, "session": {"business": "bakery"}}
            assert (await as_(the, token, "POST", "/api/calls", asked)).status_code == 400
        made = await as_(the, TAXIS, "POST", "/api/calls", {"toNumber": THEIRS})
        assert made.status_code == 201, made.text
        call = made.json()["id"]
        await until(lambda: the.app.switchboard.calls[0].model.state == "streaming", "the conversation")
        inbound = await the.telnyx.ring(to_number=BREAD)
        await until(lambda: len(the.app.switchboard.calls) == 2, "another call")
        (other,) = (one.id for one in the.app.switchboard.calls if one.id != call)

        for token, own, foreign in ((TAXIS, call, other), (BAKERY, other, call)):
            (live,) = (await as_(the, token, "GET", "/api/calls/live")).json()["live"]
            assert live["id"] == own
            assert [one["id"] for one in (await as_(the, token, "GET", "/api/calls")).json()] == [own]
            assert (await as_(the, token, "GET", f"/api/calls/{own}")).status_code == 200
            for path in (
                "",
                "/hangup",
                "/transfer",
                "/say",
                "/session",
                "/hold",
                "/record",
                "/whisper",
                "/tools/c",
                "/acts",
            ):
                method = "GET" if path in ("", "/acts") else "POST"
                answer = await as_(the, token, method, f"/api/calls/{foreign}{path}", {"to": "x", "text": "x"})
                assert answer.status_code == 404, path
        assert len((await ask(the, "GET", "/api/calls/live")).json()["live"]) == 2
        answer = await as_(the, BAKERY, "POST", f"/api/calls/{other}/hangup", {"when": "now"})
        assert answer.json()["by"] == "token oven"
        await inbound.wait_ended()
        await as_(the, TAXIS, "POST", f"/api/calls/{call}/hangup", {"when": "now"})
        await the.quiet()
        row = await the.app.history.store.conversation(other)
        assert row is not None
        assert row["business"] == "bakery"
        assert (await as_(the, TAXIS, "GET", f"/api/calls/{other}")).status_code == 404


async def test_keys_of_two_businesses_are_two_keys() -> None:
    async with dialling(**{**SETTINGS, "profiles": {"cabs": SETTINGS["profiles"]["cabs"]}}) as the:
        mine = await ask(
            the, "POST", "/api/calls", {"toNumber": THEIRS}, Authorization=f"Bearer {TAXIS}", Idempotency_Key="one"
        )
        again = await ask(
            the, "POST", "/api/calls", {"toNumber": THEIRS}, Authorization=f"Bearer {TAXIS}", Idempotency_Key="one"
        )
        theirs = await dial(the, "one", toNumber=NUMBERS[0])
        assert (mine.status_code, again.status_code, theirs.status_code) == (201, 200, 201)
        assert mine.json()["id"] == again.json()["id"] != theirs.json()["id"]


async def test_a_list_of_calls_is_of_its_business() -> None:
    async with dialling(**SETTINGS) as the:
        the.carrier.exchange.callee = SHORT
        await as_(the, TAXIS, "POST", "/api/do-not-call", {"number": NUMBERS[1]})
        await as_(the, BAKERY, "POST", "/api/do-not-call", {"number": NUMBERS[0]})
        made = await make(the, *NUMBERS[:2], attempts=1, start="paused", profile="cabs")
        assert (made["business"], made["skipped"]["rows"]) == ("taxis", 1)
        for path in ("", "/rows"):
            assert (await as_(the, BAKERY, "GET", f"{made['url']}{path}")).status_code == 404
        for way in ("resume", "cancel"):
            assert (await as_(the, BAKERY, "POST", f"{made['url']}/{way}")).status_code == 404
        assert (await as_(the, BAKERY, "GET", "/api/campaigns")).json() == []
        assert [one["id"] for one in (await as_(the, TAXIS, "GET", "/api/campaigns")).json()] == [made["id"]]
        assert (await as_(the, TAXIS, "POST", f"{made['url']}/resume")).status_code == 200
        told = await reaches(the, made)
        assert told["by_state"] == {"done": 1, "skipped": 1}
        body = {"rows": [{"number": NUMBERS[2], "timezone": "UTC"}], "profile": "cabs"}
        assert (await as_(the, BAKERY, "POST", "/api/campaigns", body)).status_code == 404
        mine = await as_(the, TAXIS, "POST", "/api/campaigns", {**body, "start": "paused"})
        assert (mine.status_code, mine.json()["by"]) == (201, "token desk")
        await the.quiet()


async def test_who_opts_out_is_called_no_more_by_that_business() -> None:
    bye = Turn((Say("I have noted it.", noise(300, 1)), ToolCall("opt_out", {})))
    realtime = Realtime(script=Script.of(bye, otherwise=Turn((Say("Bye.", noise(100, 2)),))), pace=Pace.instant())
    async with dialling(realtime=realtime, **SETTINGS) as the:
        the.carrier.exchange.callee = Callee("answers", hangs_up_after_s=1.5)
        await reaches(the, await make(the, NUMBERS[0], attempts=1, profile="cabs"))
        path = f"/api/do-not-call/{NUMBERS[0]}"
        entry = (await as_(the, TAXIS, "GET", path)).json()
        assert (entry["business"], entry["added_by"]) == ("taxis", "agent")
        assert (await as_(the, BAKERY, "GET", path)).status_code == 404
        assert (await dial(the, toNumber=NUMBERS[0], profile="cabs")).status_code == 403
        by_another = await dial(the, toNumber=NUMBERS[0], profile="bread", **{"from": BREAD})
        assert by_another.status_code == 201, by_another.text
        await the.quiet()
