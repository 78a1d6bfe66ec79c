"""Lists of calls: who is called, when, how often and how many at once; paused, resumed, cancelled, taken off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import Pace, Realtime, Say, Script, Turn
from callflow.sandbox.openai_realtime.script import Call as ToolCall
from tests.e2e.campaigns import ALWAYS, NUMBERS, SHORT, called, make, progress, reaches, rows, send_csv
from tests.e2e.outbound import OURS, ask, dialling
from tests.e2e.product import Product, until
from tests.e2e.talk import noise


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
DO_NOT_CALL = "/api/do-not-call"


async def test_everybody_is_called_once_and_it_is_told_what_became_of_them() -> None:
    async with dialling() as the:
        the.carrier.exchange.callee = SHORT
        the.carrier.exchange.callees[NUMBERS[1]] = Callee("busy")
        made = await make(the, *NUMBERS[:4], attempts=1, name="spring")
        assert (made["rows"], made["called"], made["skipped"]["rows"], made["state"]) == (4, 4, 0, "running")
        told = await reaches(the, made)
        assert sorted(called(the)) == NUMBERS[:4]
        assert told["by_state"] == {"done": 3, "given_up": 1}
        assert told["by_outcome"] == {"answered": 3, "busy": 1}
        (listed,) = (await ask(the, "GET", "/api/campaigns")).json()
        assert (listed["id"], listed["name"], listed["state"]) == (made["id"], "spring", "finished")
        one, two = (await ask(the, "GET", f"{made['url']}/rows?limit=2")).json()
        assert (one["outcome"], two["outcome"], one["variables"]) == ("answered", "busy", {"name": "N10"})
        call = (await ask(the, "GET", f"/api/calls?sid={one['call']}")).json()
        assert (call["to"], call["direction"]) == (NUMBERS[0], "outbound")
        await the.quiet()


async def test_who_is_busy_or_does_not_answer_is_called_again_so_many_times() -> None:
    async with dialling() as the:
        the.carrier.exchange.timing.no_answer_s = 0.2
        the.carrier.exchange.callees[NUMBERS[0]] = Callee("busy")
        the.carrier.exchange.callees[NUMBERS[1]] = Callee("no_answer")
        told = await reaches(the, await make(the, *NUMBERS[:2], attempts=2))
        assert sorted(called(the)) == sorted(NUMBERS[:2] * 2)
        assert (told["by_state"], told["by_outcome"]) == ({"given_up": 2}, {"busy": 1, "no_answer": 1})
        found = (await ask(the, "GET", f"{told['url']}/rows?state=given_up")).json()
        assert [row["calls"] for row in found] == [2, 2]
        await the.quiet()


async def test_a_message_that_was_left_is_not_left_again() -> None:
    async with dialling() as the:
        the.carrier.exchange.callee = Callee("voicemail", speaks_s=0.3)
        words = {"machineDetection": True, "voicemailMessage": "Please call us back."}
        told = await reaches(the, await make(the, NUMBERS[0], attempts=2, pauses={"machine": 0.1}, **words))
        assert (told["by_state"], told["by_outcome"]) == ({"done": 1}, {"message_left": 1})
        assert len(the.happened("message_left")) == len(called(the)) == 1
        # whoever leaves none calls again
        del words["voicemailMessage"]
        told = await reaches(the, await make(the, NUMBERS[1], attempts=2, pauses={"machine": 0.1}, **words))
        assert (told["by_state"], told["by_outcome"]) == ({"given_up": 1}, {"machine": 1})
        assert called(the).count(NUMBERS[1]) == 2
        await the.quiet()


async def test_nobody_is_called_outside_the_hours_of_their_number() -> None:
    async with dialling() as the:
        the.carrier.exchange.callee = SHORT
        now = the.app.history.now
        the.app.history.now = lambda: 1_795_865_400.0  # Saturday 2026-11-28, 11:30 in UTC
        given = rows(*NUMBERS[:3])
        for row, zone in zip(given, ("UTC", "Asia/Tokyo", "America/New_York"), strict=True):
            row["timezone"] = zone
        made = await make(the, rows=given, hours="9-18", weekdays="sat", attempts=1)
        await until(lambda: len(called(the)) == 1, "the one that may be called")
        the.app.history.now = lambda: 1_795_865_400.0 + 3.5 * 3600  # 10:00 in New York, midnight in Tokyo
        await until(lambda: len(called(the)) == 2, "the second one")
        assert called(the) == [NUMBERS[0], NUMBERS[2]]
        told = await progress(the, made)
        assert (told["state"], told["by_state"].get("waiting"), told["next"]) == (
            "running", 1, "2026-12-05T00:00:00.000Z",
        )  # fmt: skip
        the.app.history.now = now
        await the.quiet()


async def test_what_is_skipped_is_told_before_anybody_is_called() -> None:
    async with dialling(dial_deny="+1555020") as the:
        await ask(the, "POST", DO_NOT_CALL, {"number": NUMBERS[2]})
        body = (
            f"\ufeffnumber;name;timezone\r\n{NUMBERS[0]};Ann;UTC\r\n{NUMBERS[1]};Bob;\r\n{NUMBERS[0]};Ann;UTC\r\n"
            f"{NUMBERS[2]};Cid;UTC\r\n+15550200001;Dan;UTC\r\nnobody;Eve;UTC\r\n"
        ).encode()
        for query, status in (("?dry_run=true", 200), ("?start=paused", 201)):
            answer = await send_csv(the, body, query)
            assert answer.status_code == status, answer.text
            told = answer.json()
            assert (told["rows"], told["called"], told["skipped"]["rows"]) == (6, 1, 5)
            found = {each["line"]: each["reason"] for each in told["skipped"]["first"]}
            words = {3: "time zone", 4: "earlier row", 5: "do-not-call", 6: "DIAL_DENY", 7: "E.164"}
            assert all(word in found[line] for line, word in words.items()), found
        assert told["state"] == "paused"
        assert len((await ask(the, "GET", "/api/campaigns")).json()) == 1
        assert called(the) == []


async def test_paused_resumed_and_cancelled() -> None:
    async with dialling() as the:
        the.carrier.exchange.callee = SHORT
        made = await make(the, *NUMBERS[:8], at_once=1, attempts=1)
        await until(lambda: called(the), "the first call")
        paused = (await ask(the, "POST", f"{made['url']}/pause")).json()
        assert paused["state"] == "paused"
        await the.quiet()
        before = called(the)
        assert len(before) < 8
        assert (await ask(the, "POST", f"{made['url']}/resume")).json()["state"] == "running"
        await until(lambda: len(called(the)) > len(before), "another call")
        cancelled = await ask(the, "POST", f"{made['url']}/cancel")
        assert cancelled.json()["state"] == "cancelled"
        await the.quiet()
        await the.app.journal.flushed()
        for way in ("pause", "resume", "cancel"):
            refused = await ask(the, "POST", f"{made['url']}/{way}")
            assert (refused.status_code, "is cancelled" in refused.json()["error"]) == (409, True)
        told = await progress(the, made)
        assert told["by_state"]["cancelled"] == 8 - len(called(the))
        assert len(set(called(the))) == len(called(the))


@pytest.mark.carrier("telnyx")
async def test_a_cancel_is_done_to_its_end_although_whoever_asked_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callflow.history.campaign_store._MANY_CHANGES", 1)
    monkeypatch.setattr("callflow.history.campaign_store._PAUSE", 0.03)
    async with dialling() as the:
        made = await make(the, *NUMBERS, start="paused")
        asking = asyncio.create_task(ask(the, "POST", f"{made['url']}/cancel"))
        told = made
        while told["state"] != "cancelled":
            told = await progress(the, made)
        asking.cancel()  # closes the connection
        assert told["by_state"].get("waiting"), "it was over before anybody could go"
        async with asyncio.timeout(10):
            while told["by_state"] != {"cancelled": len(NUMBERS)}:
                told = await progress(the, made)


async def test_a_number_that_is_taken_off_while_the_campaign_runs_is_not_called() -> None:
    async with dialling() as the:
        the.carrier.exchange.callee = SHORT
        made = await make(the, *NUMBERS[:3], attempts=1, start="paused")
        await ask(the, "POST", DO_NOT_CALL, {"number": NUMBERS[1]})
        await ask(the, "POST", f"{made['url']}/resume")
        told = await reaches(the, made)
        assert sorted(called(the)) == [NUMBERS[0], NUMBERS[2]]
        assert told["by_state"] == {"done": 2, "skipped": 1}
        assert "do-not-call" in next(iter(told["skipped"]["reasons"]))
        await the.quiet()


async def test_who_asks_the_agent_not_to_be_called_again_is_never_called_again() -> None:
    bye = Turn((Say("I have noted it.", noise(300, 1)), ToolCall("opt_out", {})))
    realtime = Realtime(script=Script.of(bye, otherwise=Turn((Say("Bye.", noise(100, 2)),))), pace=Pace.instant())
    async with dialling(realtime=realtime) as the:
        the.carrier.exchange.callee = Callee("answers", hangs_up_after_s=1.5)
        told = await reaches(the, await make(the, NUMBERS[0], attempts=1))
        assert told["by_outcome"] == {"answered": 1}
        entry = (await ask(the, "GET", f"{DO_NOT_CALL}/{NUMBERS[0]}")).json()
        assert (entry["number"], entry["added_by"]) == (NUMBERS[0], "agent")
        again = await make(the, NUMBERS[0], dry_run=True)
        assert (again["called"], again["skipped"]["rows"]) == (0, 1)
        refused = await ask(the, "POST", "/api/calls", {"toNumber": NUMBERS[0]})
        assert refused.status_code == 403
        await the.quiet()


async def test_who_calls_us_cannot_take_a_number_off() -> None:
    async with dialling() as the:
        await the.carrier.ring(from_number=NUMBERS[0], phone=Phone())
        session = await the.realtime.wait_session(1)
        await until(lambda: session.received, "the session's settings")
        assert "opt_out" not in str([one.event for one in session.received])
        await the.carrier_call().hang_up()
        await the.quiet()


@pytest.mark.one_node("each node has room of its own")
async def test_campaigns_leave_places_for_callers() -> None:
    async with dialling(max_concurrent_calls=4, campaign_share=0.5, admission_lag_ms=0) as the:
        the.carrier.exchange.callee = Callee("answers")
        made = await make(the, *NUMBERS[:6], attempts=1)
        other = await make(the, *NUMBERS[6:9], attempts=1)
        await until(lambda: len(the.app.switchboard.calls) == 2, "the campaigns' share")
        for number in (1, 2):
            caller = await the.carrier.ring(from_number=f"+1555010090{number}", phone=Phone())
            await caller.wait_streaming()
        assert len(called(the)) == 2 + 2
        for each in (made, other):
            await ask(the, "POST", f"{each['url']}/cancel")
        legs: list[Any] = list(the.carrier.calls.values())
        for leg in legs:
            await leg.hang_up()
        await the.quiet()


async def most_at_once(the: Product, *, calls: int) -> int:
    """Wait until so many calls have been made and are over; return how many were live at the same time."""
    most = 0

    def look() -> bool:
        nonlocal most
        most = max(most, len(the.app.switchboard.calls))
        return len(called(the)) == calls and not the.app.switchboard.calls

    await until(look, "all calls", 20)
    return most


async def test_no_more_at_once_and_no_faster_than_it_may() -> None:
    async with dialling() as the:
        the.carrier.exchange.callee = SHORT
        await make(the, *NUMBERS[:6], at_once=2, attempts=1)
        assert await most_at_once(the, calls=6) == 2
        made = await make(the, *NUMBERS[10:14], calls_per_second=4, at_once=50, attempts=1)
        await reaches(the, made)
        dialled = [one.at for one in the.carrier.commands if one.action in ("dial", "create")][6:]
        assert len(dialled) == 4
        assert dialled[-1] - dialled[0] >= 0.6
        await the.quiet()


async def test_lists_on_one_account_share_its_places() -> None:
    async with dialling() as the:
        the.carrier.exchange.callee = SHORT
        for numbers in (NUMBERS[:3], NUMBERS[3:6]):
            await make(the, *numbers, at_once=2, attempts=1, calls_per_second=10)
        assert await most_at_once(the, calls=6) == 2
        await the.quiet()


async def test_one_key_makes_one_campaign() -> None:
    async with dialling() as the:
        body = {"rows": rows(NUMBERS[0]), **ALWAYS, "start": "paused"}
        first = await ask(the, "POST", "/api/campaigns", body, Idempotency_Key="list-1")
        second = await ask(the, "POST", "/api/campaigns", body, Idempotency_Key="list-1")
        assert (first.status_code, second.status_code) == (201, 200)
        assert first.json()["id"] == second.json()["id"]
        other = await ask(the, "POST", "/api/campaigns", {**body, "attempts": 1}, Idempotency_Key="list-1")
        assert other.status_code == 422


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "rows must be"), ({"rows": []}, "rows must be"), ({"rows": ["x"], "hours": "late"}, "hours"),
        ({"rows": ["x"], "profile": "nobody"}, "no profile"), ({"rows": ["x"], "carrier": "nobody"}, "carrier"),
        ({"rows": ["x"], "from": "Bob"}, "E.164"), ({"rows": ["x"], "houres": "9-18"}, "did you mean hours"),
        ({"rows": ["x"], "start": "soon"}, "start must be"), ({"rows": ["x"], "start": "2026-01-31T09:00"}, "zone"),
        ({"rows": ["x"], "start": "9999-12-31T23:59:59-01:00"}, "start must be"),
        ({"rows": ["x"], "start": "9999-12-31T12:00Z"}, "start must be"),
        ({"rows": ["x"], "start": "0001-01-01T00:00+01:00"}, "start must be"),
        ({"rows": ["x"], "session": {"speed": "fast"}}, "speed"),
        ({"rows": ["x"], "session": {"max_call_seconds": 80000}}, "can only go down"),
        ({"rows": ["x"], "dry_run": "yes"}, "dry_run"),
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused_with_a_reason(body: dict[str, Any], words: str) -> None:
    async with dialling() as the:
        answer = await ask(the, "POST", "/api/campaigns", body)
        assert answer.status_code == 400, answer.text
        assert words in " ".join(answer.json().get("problems", [answer.json()["error"]]))
        assert (await ask(the, "GET", "/api/campaigns")).json() == []


async def test_odd_requests_are_answered() -> None:
    async with dialling() as the:
        for path in (
            "/api/campaigns",
            "/api/calls",
            "/api/calls/x/transfer",
        ):  # nothing is looked for in the audio's way
            answer = await ask(the, "POST", path, {f"at_onces{number:04}": 1 for number in range(3000)})
            assert (answer.status_code, len(answer.json()["problems"])) == (400, 21), answer.text
        for body, words in ((b"", "empty"), (b"name\nx", "no column number"), (b"number\n", "no rows")):
            answer = await send_csv(the, body)
            assert (answer.status_code, words in answer.json()["error"]) == (400, True), answer.text
        assert (await ask(the, "GET", "/api/campaigns/nobody")).status_code == 404
        assert (await ask(the, "GET", "/api/campaigns/nobody/rows")).status_code == 404
        assert (await ask(the, "POST", "/api/campaigns/nobody/pause")).status_code == 404
        made = await make(the, NUMBERS[0], start="paused", greeting="Greet {{name}}{{nmae}}.")
        assert made["warnings"] == ["{{nmae}} is left out: no row has such a variable"]
        assert (await ask(the, "POST", f"{made['url']}/stop")).status_code == 404
        assert (await ask(the, "POST", "/api/campaigns", {"rows": rows(OURS)}, Authorization="")).status_code == 401
