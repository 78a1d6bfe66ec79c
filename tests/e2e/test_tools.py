"""Tools in a whole call: run once, answered once, never in the way of the sound."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Call, Pace, Realtime, Say, Script, Turn
from tests.e2e.product import Product, product, run, together, until
from tests.e2e.talk import FAST, Talk, goodbye, noise, talk


CARRIERS = ("telnyx", "twilio")
SAMPLED = True

SOURCE = '''
import asyncio
import pathlib
import time

LOG = pathlib.Path(__file__).with_name("ran.txt")


def note(what):
    with LOG.open("a") as file:
        file.write(what + "\\n")


def add(a: int, b: int) -> int:
    """Add two numbers."""
    note(f"add {a} {b}")
    return a + b


async def look(what: str) -> dict:
    """Look something up."""
    note(f"look {what}")
    await asyncio.sleep(0.2)
    return {"found": what}


def broken() -> str:
    """Fails."""
    note("broken")
    raise RuntimeError("no such luck")


async def hangs() -> str:
    """Never answers."""
    note("hangs")
    await asyncio.sleep(3600)


def blocks() -> str:
    """Blocks its thread."""
    note("blocks")
    time.sleep(1.0)
    return "at last"


async def blocks_its_loop() -> str:
    """Blocks the loop that it runs on."""
    note("blocks_its_loop")
    time.sleep(1.0)
    return "at last"


def odd() -> object:
    """Answers with something that is no JSON."""
    return object()


def whose(call) -> dict:
    """Whose call it is."""
    return {"from": call.from_number, "key": call.idempotency_key}


tools = [add, look, broken, hangs, blocks, blocks_its_loop, odd, whose]
'''


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    (tmp_path / "tools.py").write_text(SOURCE)
    return tmp_path


def ran(workshop: Path) -> list[str]:
    log = workshop / "ran.txt"
    return log.read_text().splitlines() if log.exists() else []


def settings(workshop: Path, **others: Any) -> dict[str, Any]:
    return {
        **FAST, "tools_file": str(workshop / "tools.py"), "tool_timeout_seconds": 0.6, "tool_filler_after_ms": 60_000,
        "reply_filler_seconds": 30, "no_input_seconds": 0, **others,
    }  # fmt: skip


APART = pytest.mark.parametrize("apart", [False, True], ids=["here", "in another process"])
SPOKEN = noise(500, 5)
ANSWER = Turn.say("That is it.", SPOKEN)


def model(*turns: Turn, **others: Any) -> Realtime:
    greeting = Turn.say("Good day.", noise(200, 1))
    return Realtime(script=Script.of(greeting, *turns, otherwise=ANSWER), pace=Pace.instant(), **others)


async def ask(one: Talk) -> None:
    """The caller says something, which the script answers with its next turn."""
    await one.phone.hears(0.15, since=one.phone.connected_at)
    await one.phone.hears_silence(150)
    one.phone.say(tone(200))


def creates(one: Talk) -> int:
    return sum(1 for each in one.session.received if each.event["type"] == "response.create")


async def answered(the: Product, one: Talk, *calls: str) -> dict[str, Any]:
    """What the model was told of these calls, each exactly once."""
    await until(lambda: set(calls) <= set(one.session.tool_outputs), f"the answers to {calls}")
    outputs = one.session.tool_outputs
    assert {call: len(outputs[call]) for call in calls} == dict.fromkeys(calls, 1)
    return {call: json.loads(outputs[call][0]) for call in calls}


@APART
async def test_two_calls_at_once_are_both_answered_before_the_agent_speaks_once(workshop: Path, apart: bool) -> None:
    both = Turn((Call("add", {"a": 2, "b": 3}, "c1"), Call("look", {"what": "order"}, "c2")))
    async with product(realtime=model(both), **settings(workshop, tool_process=apart)) as the:
        one = await talk(the)
        await ask(one)
        assert await answered(the, one, "c1", "c2") == {"c1": 5, "c2": {"found": "order"}}
        since = time.monotonic()
        await one.phone.hears(0.3, since=since)
        assert creates(one) == 2, "the greeting, and one answer for both tools"
        kinds = [each.event["type"] for each in one.session.received]
        last_output = max(n for n, kind in enumerate(kinds) if kind == "conversation.item.create")
        assert kinds.index("response.create", kinds.index("response.create") + 1) > last_output
        steps = [record.event["event"] for record in the.app.journal.read(the.call.id)]
        assert steps.index("tool_called") < steps.index("tool_finished")
        await goodbye(the, one)
    assert sorted(ran(workshop)) == ["add 2 3", "look order"]


def test_whatever_goes_wrong_with_a_tool_is_an_answer(workshop: Path) -> None:
    cases: dict[str, tuple[Call, str]] = {
        "raises": (Call("broken", {}, "c"), "broken failed: RuntimeError"),
        "hangs": (Call("hangs", {}, "c"), "did not answer within"),
        "blocks": (Call("blocks", {}, "c"), "did not answer within"),
        "no JSON": (Call("odd", {}, "c"), "cannot be written as JSON"),
        "unknown": (Call("nonesuch", {}, "c"), "there is no tool"),
        "broken arguments": (Call("add", '{"a": 2, ', "c"), "not valid JSON"),
        "no object": (Call("add", "[1, 2]", "c"), "must be a JSON object"),
        "missing argument": (Call("add", {"a": 2}, "c"), "do not fit"),
        "wrong type": (Call("add", {"a": 2, "b": "three"}, "c"), "do not fit at b"),
        "one too many": (Call("hangs", {"x": 1}, "c"), "hangs failed: TypeError"),
    }

    async def scene(name: str, call: Call, message: str) -> None:
        async with product(realtime=model(Turn((call,))), **settings(workshop)) as the:
            one = await talk(the)
            await ask(one)
            told = (await answered(the, one, "c"))["c"]
            assert set(told) == {"error"}, told
            assert message in told["error"]
            assert "Traceback" not in told["error"]
            assert "no such luck" not in told["error"], "what a tool says to itself is not for the model"
            since = time.monotonic()
            await one.phone.hears(0.3, since=since)
            await goodbye(the, one)

    run(together({name: scene(name, *case) for name, case in cases.items()}))


@pytest.mark.parametrize("tool", ["blocks", "blocks_its_loop"])
async def test_a_tool_that_blocks_holds_up_no_sound(tool: str, workshop: Path) -> None:
    turn = Turn((Say("One moment.", noise(1500, 9)), Call(tool, {}, "c")))
    async with product(realtime=model(turn), **settings(workshop, tool_timeout_seconds=5)) as the:
        one = await talk(the)
        await ask(one)
        await until(lambda: ran(workshop), "the tool to run")
        before = one.stream.underruns
        heard = len(one.session.audio_in)
        await one.phone.hears(0.7)
        assert "c" not in one.session.tool_outputs, "it has answered already: this proves nothing"
        assert one.stream.underruns == before, "the agent's voice broke up"
        assert len(one.session.audio_in) - heard > 4000, "the caller's voice was held up"
        await answered(the, one, "c")
        await goodbye(the, one)


async def test_a_slow_tool_is_excused_once_by_the_agent(workshop: Path) -> None:
    busy = Turn.say("I am still looking.", noise(200, 7))
    turns = (Turn((Call("hangs", {}, "c"),)), busy)
    chosen = settings(workshop, tool_timeout_seconds=1.5, tool_filler_after_ms=200)
    async with product(realtime=model(*turns), **chosen) as the:
        one = await talk(the)
        await ask(one)
        await answered(the, one, "c")
        asked = [
            each.event["response"]["instructions"]
            for each in one.session.received
            if each.event["type"] == "response.create" and "response" in each.event
        ]
        assert len([wish for wish in asked if "waiting for the result" in wish]) == 1
        since = time.monotonic()
        await one.phone.hears(0.3, since=since)
        await goodbye(the, one)


async def test_a_tool_that_runs_when_the_caller_hangs_up_is_let_go(workshop: Path) -> None:
    turn = Turn((Call("hangs", {}, "c1"), Call("blocks", {}, "c2")))
    async with product(realtime=model(turn), **settings(workshop, tool_timeout_seconds=30)) as the:
        one = await talk(the)
        await ask(one)
        await until(lambda: len(ran(workshop)) == 2, "both to run")
        ended = time.monotonic()
        await one.call.hang_up()
        await the.quiet()
        assert time.monotonic() - ended < 1.5
        assert one.session.tool_outputs == {}


async def test_a_tool_that_runs_while_the_caller_interrupts_is_answered_once(workshop: Path) -> None:
    turn = Turn((Say("One moment.", noise(2000, 9)), Call("blocks", {}, "c")))
    async with product(realtime=model(turn), **settings(workshop, tool_timeout_seconds=5)) as the:
        one = await talk(the)
        await ask(one)
        await until(lambda: ran(workshop), "the tool to run")
        await one.phone.hears(0.2)
        one.phone.say(tone(200))
        await the.until(lambda: the.happened("interrupted"), "the interruption")
        await answered(the, one, "c")
        since = time.monotonic()
        await one.phone.hears(0.3, since=since)
        assert ran(workshop) == ["blocks"]
        await goodbye(the, one)


@pytest.mark.parametrize("when", ["while it runs", "when it is answered"])
async def test_a_tool_is_answered_once_also_when_the_session_breaks(when: str, workshop: Path) -> None:
    turn = Turn((Call("blocks", {}, "c"),))
    chosen = settings(workshop, tool_timeout_seconds=5, engine_tries=3)
    async with product(realtime=model(turn), **chosen) as the:
        one = await talk(the)
        await ask(one)
        await until(lambda: ran(workshop), "the tool to run")
        if when == "when it is answered":
            await answered(the, one, "c")
        one.session.drop()
        second = await the.realtime.wait_session(2)
        if when == "while it runs":
            await until(lambda: second.tool_outputs.get("c"), "the answer in the new session")
        await second.wait_sent("session.updated")
        if when == "while it runs":
            await second.wait_sent("response.done")
        outputs = [output for each in the.realtime.sessions for output in each.tool_outputs.get("c", [])]
        assert outputs == ['"at last"'], "answered exactly once over both sessions"
        assert ran(workshop) == ["blocks"], "it ran twice"
        if when == "when it is answered":
            await until(
                lambda: "at last" in str([item.data for item in second.items]), "the new session to be told of it"
            )
        assert [each.violations for each in the.realtime.sessions] == [[], []]
        await one.call.hang_up()
        await the.quiet()


@APART
async def test_a_tool_knows_whose_call_it_is(workshop: Path, apart: bool) -> None:
    async with product(
        realtime=model(Turn((Call("whose", {}, "c"),))), **settings(workshop, tool_process=apart)
    ) as the:
        one = await talk(the)
        await ask(one)
        told = (await answered(the, one, "c"))["c"]
        assert told == {"from": one.call.from_number, "key": f"{the.call.id}:c"}
        await goodbye(the, one)


async def test_tools_are_read_again_when_the_file_changes_and_a_broken_file_changes_nothing(
    workshop: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def names(the: Product) -> set[str]:
        one = await talk(the)
        await the.until(lambda: one.session.config["tools"], "the session's tools")
        found = {tool["name"] for tool in one.session.config["tools"]}
        await one.call.hang_up()
        await the.quiet()
        return found

    async with product(realtime=model(), **settings(workshop)) as the:
        built_in = {"get_current_time", "end_call"}
        assert (
            await names(the)
            == {"add", "look", "broken", "hangs", "blocks", "blocks_its_loop", "odd", "whose"} | built_in
        )
        (workshop / "tools.py").write_text("def new(x: int = 1) -> int:\n    return x\n\ntools = [new]\n")
        await the.until(lambda: "new" in the.app.tools.current().local, "the changed file to be noticed")
        assert await names(the) == {"new"} | built_in
        (workshop / "tools.py").write_text("def new(:\n")
        await the.until(lambda: "the tools stay as they were" in caplog.text, "the broken file to be noticed")
        assert await names(the) == {"new"} | built_in


async def test_what_this_call_cannot_do_is_not_offered_to_the_model(workshop: Path) -> None:
    """A model that is told of a tool promises what it does. Nobody is named to transfer to, and the call came in."""
    needed = ("transfer_call", "send_dtmf")
    asks = Turn(tuple(Call(name, {}, f"c_{name}") for name in needed))
    async with product(realtime=model(asks), **settings(workshop)) as the:
        one = await talk(the)
        await one.session.wait_sent("session.updated")
        offered = {tool["name"] for tool in one.session.config["tools"]}
        assert "end_call" in offered
        assert not offered & {*needed}
        async with httpx.AsyncClient(trust_env=False) as client:
            listed = (await client.get(f"http://127.0.0.1:{the.app.console_at[1]}/tools")).json()
        assert {tool["name"] for tool in listed} == offered, "operators are told the same"
        await ask(one)
        told = await answered(the, one, *(f"c_{name}" for name in needed))
        assert all("there is no tool" in each["error"] for each in told.values()), told
        await goodbye(the, one)


# The end of the call


@pytest.mark.parametrize("said", ["in the same breath", "afterwards"])
async def test_the_agent_ends_the_call_when_its_goodbye_was_heard(said: str, workshop: Path) -> None:
    bye = noise(900, 11)
    call = Call("end_call", {"reason": "done"}, "c")
    if said == "in the same breath":
        turns = (Turn((Say("Goodbye.", bye), call)),)
    else:
        turns = (Turn((call,)), Turn.say("Goodbye.", bye))  # type: ignore[assignment]
    async with product(realtime=model(*turns), **settings(workshop)) as the:
        one = await talk(the)
        await ask(one)
        await one.call.wait_ended(8)
        await the.quiet()
        assert one.call.ended_by == "product"
        assert bye in one.heard(), "the goodbye was cut off"
        (ended,) = the.happened("ended")
        assert ended["cause"] == "agent"
        assert await answered(the, one, "c")


async def test_a_goodbye_that_is_interrupted_does_not_end_the_call(workshop: Path) -> None:
    turn = Turn((Say("Goodbye.", noise(3000, 11)), Call("end_call", {}, "c")))
    async with product(realtime=model(turn), **settings(workshop)) as the:
        one = await talk(the)
        await ask(one)
        await answered(the, one, "c")
        await one.phone.hears(0.3)
        one.phone.say(tone(200))
        await the.until(lambda: the.happened("goodbye_interrupted"), "the interruption")
        since = time.monotonic()
        await one.phone.hears(0.3, since=since)
        await one.phone.hears_silence(400)
        assert one.call.state == "answered", "the caller had more to say"
        await goodbye(the, one)


async def test_a_goodbye_that_never_ends_is_bounded(workshop: Path) -> None:
    turn = Turn((Say("Goodbye.", noise(20_000, 11)), Call("end_call", {}, "c")))
    async with product(realtime=model(turn), **settings(workshop, goodbye_seconds=1.0)) as the:
        one = await talk(the)
        await ask(one)
        await one.call.wait_ended(8)
        await the.quiet()
        (ended,) = the.happened("ended")
        assert ended["cause"] == "agent"
