"""CALLER_LOOKUP: who calls is asked while it rings, and whatever comes of it, the caller is answered in time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from callflow.contracts.errors import ToolsError
from callflow.sandbox.telnyx import Telnyx
from tests.e2e import product as products
from tests.e2e.hook import Hook, hook
from tests.e2e.product import Product, product, until
from tests.e2e.several_nodes import cluster
from tests.e2e.talk import FAST, goodbye, talk
from tests.e2e.test_prompt_variables import told
from tests.e2e.test_survival import office
from tests.history.delivery.receiver import SECRET


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
CALLER, SALES = "+15550100077", "+15550100003"
INSTRUCTIONS = "You talk with {{name}}. {{nothing}}Be brief."
SET: dict[str, Any] = {
    **FAST,
    "instructions": INSTRUCTIONS,
    "greeting": "Greet {{name}}.",
    "profiles": {"sales": {"numbers": [SALES], "instructions": "You sell to {{name}}."}},
}


def asking(there: Hook) -> dict[str, Any]:
    return {"caller_lookup": there.url, "events_secret": SECRET}


async def one_talk(the: Product) -> str:
    """From the ring to the end. Returns what the model was told."""
    one = await talk(the, from_number=CALLER)
    await one.phone.hears(0.2)
    instructions = told(one.session, "session.update")
    await goodbye(the, one)
    return instructions


def noted(the: Product) -> dict[str, Any]:
    (note,) = the.happened("caller_lookup")
    return note


async def test_an_answer_in_time_gives_variables_and_profile() -> None:
    answer = {"variables": {"name": "Ada"}, "profile": "sales"}
    async with hook(answer) as there, product(**{**SET, **asking(there)}) as the:
        instructions = await one_talk(the)
        assert instructions.startswith("You sell to “Ada”.\n\n(Quoted")
        (asked,) = there.asked
        assert asked["from"] == CALLER
        assert asked["to"] == "+15550100002"
        assert asked["carrier"] == the.carrier.exchange.__module__.split(".")[2]
        assert (asked["id"], there.unsigned) == (f"lookup_{asked['call']}", 0)
        note = noted(the)
        assert (note["outcome"], note["profile"], note["variables"]) == ("answered", "sales", {"name": "Ada"})
        assert 0 <= note["ms"] < 800
        (began,) = the.happened("began")
        assert began["profile"] == "sales"


async def test_hours_and_budget_of_the_profile_that_it_names_hold_from_the_beginning() -> None:
    weekday = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[(datetime.now(UTC).weekday() + 3) % 7]
    settings = {
        **SET,
        "hours_zone": "UTC",
        "profiles": {"sales": {"numbers": [SALES], "hours": f"{weekday} 9-10", "when_closed": "busy"}},
    }
    async with hook({"profile": "sales"}) as there, product(**{**settings, **asking(there)}) as the:
        call = await the.carrier.ring(from_number=CALLER)
        await until(lambda: call.ended_at is not None, "the caller to be refused")
        await the.quiet()
        (refused,) = the.happened("call_refused")
        assert refused["reason"] == "closed"
        assert the.realtime.sessions == []
        (began,) = the.happened("began")
        assert began["profile"] == "sales"
    budget = {"sales": {"numbers": [SALES], "profile_daily_minutes": 0.001, "over_budget": "busy"}}
    async with hook({"profile": "sales"}) as there, product(**{**SET, "profiles": budget, **asking(there)}) as the:
        await one_talk(the)
        call = await the.carrier.ring(from_number=CALLER)
        await until(lambda: call.ended_at is not None, "the second caller to be refused", 20)
        await the.quiet()
        assert [refused["reason"] for refused in the.happened("call_refused")] == ["budget"]


async def test_without_profile_that_of_the_number_holds_and_what_is_unknown_is_on_record() -> None:
    answer = {"variables": {"name": "Ada", "bad": None}, "profile": "nobody", "more": 1}
    async with hook(answer) as there, product(**{**SET, **asking(there)}) as the:
        assert (await one_talk(the)).startswith("You talk with “Ada”. Be brief.")
        note = noted(the)
        assert note["left_out"] == ["nothing"]
        assert len(note["problems"]) == 3
        assert 'there is no profile "nobody"' in note["problems"]
        (began,) = the.happened("began")
        assert began["profile"] == ""


@pytest.mark.parametrize(
    ("how", "outcome", "why"),
    [
        ({"delay": 5.0}, "late", "no answer within 0.3 s"),
        ({"status": 500}, "failed", "HTTP 500"),
        ({"status": 302, "headers": "Location: http://127.0.0.1:1/\r\n"}, "failed", "HTTP 302"),
        ({"answer": b"{"}, "failed", "no JSON"),
        ({"answer": []}, "failed", "no object"),
        ({"answer": {"variables": {"name": "x" * 20_000}}}, "failed", "more than 16 kB"),
        ({"headers": "Nonsense\r\n"}, "failed", "no answer (RemoteProtocolError)"),
    ],
    ids=["late", "500", "redirect", "broken", "a list", "too large", "no HTTP"],
)
async def test_a_lookup_without_an_answer_changes_nothing_and_is_on_record(
    how: dict[str, Any], outcome: str, why: str
) -> None:
    async with hook(**how) as there, product(**{**SET, **asking(there), "caller_lookup_seconds": 0.3}) as the:
        assert await one_talk(the) == "You talk with . Be brief."
        note = noted(the)
        assert note["outcome"] == outcome
        assert why in note["why"]
        assert "of-the-hook" not in str(note)


async def test_a_server_that_is_away_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    settings = {**SET, "caller_lookup": "http://127.0.0.1:1/?key=of-the-hook", "events_secret": SECRET}
    async with product(**settings) as the:
        await one_talk(the)
        assert noted(the)["outcome"] == "failed"
    assert "the caller lookup has failed (no answer (ConnectError))" in caplog.text
    assert "of-the-hook" not in caplog.text


async def test_a_refused_caller_is_rejected_before_the_answer_and_the_reason_is_on_record() -> None:
    async with hook({"refuse": "not a customer"}) as there, product(**{**SET, **asking(there)}) as the:
        call: Any = await the.carrier.ring(from_number=CALLER)
        await call.wait_ended()
        await the.quiet()
        assert call.answered_at is None
        if isinstance(the.carrier, Telnyx):
            assert [one.body["cause"] for one in the.actions("reject")] == ["CALL_REJECTED"]
        else:
            assert call.status == "no-answer", "not rejected by the document"
            assert the.actions("hangup") == []
        (refused,) = the.happened("call_refused")
        assert (refused["reason"], refused["why"], refused["from_number"]) == ("refused", "not a customer", CALLER)
        (ended,) = the.happened("ended")
        assert ended["cause"] == "refused"
        assert the.realtime.sessions == []
        assert the.carrier.failures == []


async def test_a_caller_who_hangs_up_meanwhile_is_gone() -> None:
    await hangs_up_meanwhile()


async def test_who_hangs_up_meanwhile_is_gone_although_another_node_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the call is on record yet, so that nobody knows where it is."""
    monkeypatch.setattr(products, "nodes", "other")
    await hangs_up_meanwhile()


async def hangs_up_meanwhile() -> None:
    async with hook(delay=0.5) as there, product(**{**SET, **asking(there)}) as the:
        call = await the.carrier.ring(from_number=CALLER)
        await until(lambda: there.asked, "the question")
        await call.hang_up()
        await the.quiet()
        assert call.answered_at is None
        assert the.timeline() == ["ringing>hangup"]
        assert the.realtime.sessions == []


async def test_a_server_that_stops_meanwhile_ends_the_call() -> None:
    async with hook(delay=60) as there, product(**{**SET, **asking(there), "caller_lookup_seconds": 5}) as the:
        call = await the.carrier.ring(from_number=CALLER)
        await until(lambda: there.asked, "the question")
        await the.app.switchboard.stop()
        assert the.app.switchboard.calls == []
        await call.wait_ended()
        assert call.answered_at is None
        assert noted(the)["why"] == "the call was over before"


async def test_a_call_is_handed_over_when_the_answer_is_there() -> None:
    """Else the next process would have a call that nobody has answered, and nobody would."""
    async with hook(delay=0.4) as there, product(**{**SET, **asking(there)}) as the:
        call = await the.carrier.ring(from_number=CALLER)
        await until(lambda: there.asked, "the question")
        name = the.call.id
        await the.app.switchboard.hand_over(0.01)
        kinds = [entry.name for entry in the.app.journal.read(name)]
        assert kinds.index("began") < kinds.index("call_initiated") < kinds.index("handed_over")
        await call.hang_up()


async def test_without_the_setting_nobody_is_asked_and_texts_stay_as_they_are() -> None:
    async with product(**SET) as the:
        assert await one_talk(the) == INSTRUCTIONS
        assert the.happened("caller_lookup") == []


SOURCE = """
import asyncio


async def caller_lookup(call):
    await asyncio.sleep(0.01)
    return {"variables": {"name": f"{call.from_number} by {call.carrier}"}}


def plain(call):
    return {"variables": {"name": "Ada"}}


async def hangs(call):
    await asyncio.sleep(60)


def fails(call):
    raise ValueError("a secret")


def nothing(call):
    pass


def without():
    pass
"""


@pytest.mark.parametrize("tool_process", [False, True], ids=["threads", "process"])
@pytest.mark.parametrize(
    ("function", "outcome", "instructions"),
    [
        ("tools", "answered", "You talk with “+15550100077 by {carrier}”."),
        ("plain", "answered", "You talk with “Ada”."),
        ("nothing", "answered", "You talk with . Be"),
        ("fails", "failed", "You talk with . Be"),
        ("hangs", "late", "You talk with . Be"),
    ],
)
async def test_a_function_is_asked_like_a_tool(
    tmp_path: Path, function: str, outcome: str, instructions: str, tool_process: bool
) -> None:
    file = tmp_path / "tools.py"
    file.write_text(SOURCE)
    more = {"tools_file": str(file), "tool_process": tool_process, "caller_lookup": function}
    async with product(**{**SET, **more, "caller_lookup_seconds": 5 if outcome == "answered" else 0.5}) as the:
        wanted = instructions.format(carrier=the.carrier.exchange.__module__.split(".")[2])
        if tool_process and outcome == "failed":
            await until(lambda: the.app._tool_process and the.app._tool_process._ready.is_set(), "the process", 15)
        assert (await one_talk(the)).startswith(wanted)
        note = noted(the)
        assert note["outcome"] == outcome
        assert "secret" not in str(note)
        assert [one["name"] for one in the.app.tool_definitions] == ["get_current_time", "end_call"]


@pytest.mark.carrier("telnyx")
@pytest.mark.parametrize(
    ("source", "function", "why"),
    [(SOURCE, "other", "no such function"), (SOURCE, "without", "one parameter"), (None, "plain", "not there")],
)
async def test_a_function_that_cannot_be_asked_keeps_the_server_from_starting(
    tmp_path: Path, source: str | None, function: str, why: str
) -> None:
    file = tmp_path / "tools.py"
    if source is not None:
        file.write_text(source)
    with pytest.raises(ToolsError, match=why):
        async with product(**{**SET, "tools_file": str(file), "caller_lookup": function}):
            pass


async def test_a_call_that_is_recovered_has_its_profile_and_variables() -> None:
    """Killed after the lookup, which is not asked again."""
    answer = {"variables": {"name": "Ada"}}
    async with hook(answer) as there:
        env = {"INSTRUCTIONS": INSTRUCTIONS, "CALLER_LOOKUP": there.url, "EVENTS_SECRET": SECRET}
        async with office(None, **env) as one:
            caller = await one.ring()
            await caller.call.wait_streaming(15)
            await caller.phone.hears(0.2)
            await one.stop()
            there.answer = {"variables": {"name": "Grace"}}
            sessions = len(one.realtime.sessions)
            await one.start()
            await until(lambda: len(one.realtime.sessions) > sessions, "another session", 20)
            session = one.realtime.sessions[-1]
            await until(lambda: any(each.event["type"] == "session.update" for each in session.received), "its update")
            assert told(session, "session.update").startswith("You talk with “Ada”.")
            assert len(there.asked) == 1
            await caller.call.hang_up()


@pytest.mark.carrier("telnyx")
@pytest.mark.one_node("it has nodes of its own")
async def test_a_webhook_that_is_sent_again_meanwhile_goes_to_the_node_that_asks() -> None:
    """Nothing of the call is on record yet, so another node would ask once more."""
    async with (
        hook({"variables": {"name": "Ada"}}, delay=2.6) as there,
        cluster(**asking(there), caller_lookup_seconds=4) as the,
    ):
        await the.begin_two()
        calls = [await the.carrier.ring() for _ in range(2)]
        for call in calls:
            await call.phone.hears(0.3, timeout=15)
        assert isinstance(the.carrier, Telnyx)
        again = [one for one in the.carrier.deliveries if one.event_type == "call.initiated" and one.attempt > 1]
        assert again, "the carrier did not send it again"
        assert len(there.asked) == len(calls)
        assert [len(each.switchboard.calls) for each in the.nodes] == [1, 1]
        assert not sum(each.switchboard.counts["let_go"] for each in the.nodes)
        await the.hang_up()
        assert await the.on_record() == len(calls)
