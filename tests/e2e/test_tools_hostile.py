"""Tools that do whatever they like, in whole calls: every call of one is answered once, the conversation goes on, and
neither the sound nor other callers' tools wait for it."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Call, Say, Script, Turn
from callflow.tools import runner
from callflow.tools.runner import Runner
from tests.e2e.product import product, run, together, until
from tests.e2e.talk import clock, goodbye, noise, talk
from tests.e2e.test_tools import ANSWER, answered, ask, model, settings


CARRIERS = ("telnyx", "twilio")
SAMPLED = True

SOURCE = '''
import asyncio
import itertools
import threading
import time

LET_GO = threading.Event()
BEGAN = []
NUMBERS = list(range(3_000_000))
TEXT = "x" * 100_000_000


class Own(BaseException):
    """What no server expects."""


class Mute(Exception):
    def __str__(self):
        raise SystemExit

    __repr__ = __str__


def hangs():
    BEGAN.append(1)
    LET_GO.wait(60)

async def blocks_its_loop():
    BEGAN.append(1)
    LET_GO.wait(60)

async def waits():
    BEGAN.append(1)
    await asyncio.sleep(60)

def add(a: int, b: int): return a + b
async def look(what: str): return {"found": what}
def cancelled(): raise asyncio.CancelledError
async def cancelled_async(): raise asyncio.CancelledError
def ends_generator(): raise GeneratorExit
async def ends_generator_async(): raise GeneratorExit
def raises_own(): raise Own
async def raises_own_async(): raise Own
def exits(): raise SystemExit
async def exits_async(): raise SystemExit
def raises_mute(): raise Mute
def brackets(): return "[" * 5000
def half(): return "half a \\ud83d"
def numbers(): return NUMBERS
async def numbers_async(): return NUMBERS
def text(): return TEXT
def endless(): return itertools.count()
def itself():
    one = []
    one.append(one)
    return one
def deep():
    one = []
    for _ in range(5000):
        one = [one]
    return one
def no_number(): return {"a": float("nan"), "b": float("inf"), "c": 10 ** 400}
def coroutine(): return look("coroutine")
def pattern(text): return text

tools = [
    value for value in list(globals().values())
    if callable(value) and not isinstance(value, type) and value is not pattern
] + [({"name": "pattern", "parameters": {"properties": {"text": {"pattern": "^(a+)+$"}}}}, pattern)]
'''
OUTPUTS: dict[str, str] = {
    "cancelled": "failed: CancelledError", "cancelled_async": "failed: CancelledError",
    "ends_generator": "failed: GeneratorExit", "ends_generator_async": "failed: GeneratorExit",
    "raises_own": "failed: Own", "raises_own_async": "failed: Own", "exits": "failed: SystemExit",
    "exits_async": "failed: SystemExit", "raises_mute": "failed: Mute", "brackets": "[[[[", "half": "half a ?",
    "numbers": "0, 1, 2", "numbers_async": "0, 1, 2", "text": "xxxx", "endless": "0, 1, 2",
    "itself": "it contains itself", "deep": "[[[[", "no_number": "NaN", "coroutine": "'found': 'coroutine'",
    "hangs": "did not answer within", "blocks_its_loop": "did not answer within", "waits": "did not answer within",
}  # fmt: skip
"""What the model is told by each tool without arguments, in part."""
ARGUMENTS: dict[str, tuple[Call, str]] = {
    "open brackets": (Call("look", "[" * 5000), "nested too deeply"),
    "closed brackets": (Call("look", "[" * 5000 + "]" * 5000), "nested too deeply"),
    "half a character": (Call("look", '{"what": "\\ud83d"}'), "not valid JSON"),
    "too long": (Call("look", '{"what": "' + "x" * 70_000 + '"}'), "too long"),
    "blank": (Call("look", "  "), "'what' is a required property"),
    "a slow pattern": (Call("pattern", {"text": "a" * 60 + "!"}), "do not fit at text"),
    "no tool": (Call("n" * 200, {}), "there is no tool"),
}


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with these tools, and threads and loops that no other test has used."""
    monkeypatch.setattr(runner, "default_runner", Runner())
    (tmp_path / "tools.py").write_text(SOURCE)
    return tmp_path


def let_go() -> threading.Event:
    """Lets go of the tools that hang."""
    event: threading.Event = sys.modules["callflow_tools_tools"].LET_GO
    return event


def began(number: int) -> bool:
    """So many tools have begun to hang."""
    return len(sys.modules["callflow_tools_tools"].BEGAN) >= number


async def threads_end() -> None:
    await until(lambda: not runner.default_runner.thread_slots.holders(), "the threads to be given back", 10)


@pytest.mark.one_node("both nodes have it")
async def test_every_call_of_a_tool_is_answered_once_whatever_it_does(workshop: Path) -> None:
    arguments = {name: Call(call.name, call.arguments, name) for name, (call, _) in ARGUMENTS.items()}
    turns = [Turn(tuple(Call(name, {}, name) for name in names)) for names in (list(OUTPUTS)[:12], list(OUTPUTS)[12:])]
    turns.append(Turn(tuple(arguments.values())))
    async with product(realtime=model(*turns[:1], ANSWER, turns[1], ANSWER, turns[2]), **settings(workshop)) as the:
        one = await talk(the)
        told: dict[str, Any] = {}
        for turn in turns:
            await ask(one)
            names = [each.call_id for each in turn.output if isinstance(each, Call)]
            told |= await answered(the, one, *names)
            since = time.monotonic()
            await one.phone.hears(0.3, since=since)
        let_go().set()
        for name, part in {**OUTPUTS, **{name: part for name, (_, part) in ARGUMENTS.items()}}.items():
            assert part in str(told[name]), f"{name}: {told[name]!r:.200}"
        assert {name: len(outputs) for name, outputs in one.session.tool_outputs.items()} == dict.fromkeys(told, 1)
        finished = [event["id"] for event in the.happened("tool_finished")]
        assert sorted(finished) == sorted(told), "each is on record as finished once"
        await goodbye(the, one)
        await threads_end()


@pytest.mark.proof
@pytest.mark.one_node("both nodes have it")
@pytest.mark.parametrize("kind", ["hangs", "blocks_its_loop", "waits"])
async def test_a_hundred_tools_that_hang_in_one_call_do_not_keep_anothers_from_answering(
    kind: str, workshop: Path
) -> None:
    hundred = Turn(tuple(Call(kind, {}, f"h{number}") for number in range(100)))
    innocent = Turn((Call("add", {"a": 2, "b": 3}, "plain"), Call("look", {"what": "x"}, "async")))
    async with product(realtime=model(hundred), **settings(workshop, tool_timeout_seconds=20)) as the:
        bad = await talk(the)
        await ask(bad)
        share = {"hangs": 8, "blocks_its_loop": 2, "waits": 100}[kind]
        await until(lambda: began(share), f"{share} to hang", 10)
        the.realtime.script = Script.of(Turn.say("Good day.", noise(200, 1)), innocent, otherwise=ANSWER)
        good = await talk(the)
        await ask(good)
        assert await answered(the, good, "plain", "async") == {"plain": 5, "async": {"found": "x"}}
        assert bad.session.tool_outputs == {}, "they have answered already: this proves nothing"
        let_go().set()
        if kind != "waits":
            names = [each.call_id for each in hundred.output if isinstance(each, Call)]
            assert set((await answered(the, bad, *names)).values()) == {None}
        await goodbye(the, bad, good)
        await threads_end()


@pytest.mark.one_node("both nodes have it")
async def test_tools_that_hang_are_told_of_in_words_to_the_model_and_by_name_in_the_log(
    workshop: Path, caplog: pytest.LogCaptureFixture
) -> None:
    turn = Turn(tuple(Call("hangs", {}, f"h{number}") for number in range(30)))
    async with product(realtime=model(turn), **settings(workshop)) as the:
        one = await talk(the)
        await ask(one)
        told = await answered(the, one, *(f"h{number}" for number in range(30)))
        late = [each["error"] for each in told.values() if "could not begin" in each["error"]]
        assert len(late) == 22
        assert set(late) == {"hangs could not begin within 0.6 seconds: 8 tools of this call have not ended yet"}
        lines = [line for line in caplog.messages if "got no thread" in line]
        assert len(lines) == 1
        assert f"held by: hangs 8 times in call {the.call.id}" in lines[0]
        let_go().set()
        await goodbye(the, one)
        await threads_end()


@pytest.mark.alone
async def test_huge_results_hold_up_no_sound(workshop: Path) -> None:
    names = ["numbers", "numbers_async", "text", "endless", "deep"]
    turn = Turn((Say("One moment.", noise(2500, 9)), *(Call(name, {}, name) for name in names)))
    async with (
        product(realtime=model(turn), **settings(workshop, tool_timeout_seconds=5)) as the,
        clock() as watched,
    ):
        one = await talk(the)
        await ask(one)
        await the.until(lambda: the.happened("tool_called"), "the tools to be called")
        before = one.stream.underruns
        watched.stall_ms = 0.0
        await answered(the, one, *names)
        stall = watched.stall_ms
        assert one.stream.underruns == before, f"the agent's voice broke up; the longest stall was {stall:.0f} ms"
        await goodbye(the, one)


NAMELESS = {
    "no name": Call("", {}, "c1"),
    "a blank name": Call(" ", {}, "c1"),
    "a blank id": Call("add", {"a": 1, "b": 2}, " "),
    "an endless id": Call("add", {"a": 1, "b": 2}, "c" * 300),
    "an endless name": Call("n" * 300, {}, "c1"),
}


def test_a_call_that_cannot_be_answered_gets_nowhere_and_ends_nothing(workshop: Path) -> None:
    async def scene(nameless: Call) -> None:
        turn = Turn((nameless, Call("add", {"a": 2, "b": 3}, "c2")))
        async with product(realtime=model(turn), **settings(workshop)) as the:
            one = await talk(the)
            await ask(one)
            assert await answered(the, one, "c2") == {"c2": 5}
            since = time.monotonic()
            await one.phone.hears(0.3, since=since)
            assert set(one.session.tool_outputs) == {"c2"}
            assert [event["id"] for event in the.happened("tool_called")] == ["c2"]
            assert "tool_call" in [event["code"] for event in the.happened("engine_complaint")]
            await goodbye(the, one)

    run(together({name: scene(call) for name, call in NAMELESS.items()}))


@pytest.mark.carrier("telnyx")
async def test_after_a_call_that_cannot_be_answered_the_caller_is_not_left_alone(workshop: Path) -> None:
    async with product(realtime=model(Turn((Call("", {}, "c1"),))), **settings(workshop)) as the:
        one = await talk(the)
        await ask(one)
        await the.until(lambda: the.happened("engine_complaint"), "the complaint")
        one.phone.say(tone(200))
        since = time.monotonic()
        await one.phone.hears(0.3, since=since)
        await goodbye(the, one)


@pytest.mark.proof
async def test_huge_arguments_go_no_further_than_the_edge(workshop: Path) -> None:
    turn = Turn((Call("look", json.dumps({"what": "x" * 200_000}), "c"),))
    async with product(realtime=model(turn), **settings(workshop)) as the:
        one = await talk(the)
        await ask(one)
        assert "too long" in (await answered(the, one, "c"))["c"]["error"]
        (called,) = the.happened("tool_called")
        assert len(called["arguments"]) < 70_000
        await goodbye(the, one)
