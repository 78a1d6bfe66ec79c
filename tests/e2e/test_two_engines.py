"""The same call on both engines: greeting, question, tool, interruption, goodbye; and one that fails over."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types import live as live_types
from pydantic import TypeAdapter

from callflow.sandbox import voices
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import Call, Pace, Realtime, Say, Script, Turn
from callflow.sandbox.openai_realtime.live import LiveSession
from tests.e2e.product import Product, product, until
from tests.e2e.test_survival import office


def _voice(name: str) -> Say:
    return Say(voices.TEXTS[name], voices.load(name))


SCRIPT = Script.of(
    Turn.voice("agent/greeting"),
    Turn((Call("note", {}),)),
    Turn.voice("agent/hours"),
    Turn((_voice("agent/goodbye"), Call("end_call", {"reason": "done"}))),
    heard=[voices.TEXTS["caller/hours"], voices.TEXTS["caller/interruption"]],
)
TOOLS = '''
def note() -> dict:
    """Look up the opening hours."""
    return {"hours": "nine to five"}


tools = [note]
'''


def _typed(session: LiveSession) -> None:
    """The vendor's own library must be able to read every event, ours and the emulator's."""
    client, server = TypeAdapter[Any](live_types.ClientEvent), TypeAdapter[Any](live_types.ServerEvent)
    for told in session.received:
        client.validate_python(told)
    for told in session.sent:
        server.validate_python(told)


def _said(the: Product, who: str) -> str:
    return " ".join(turn["text"] for turn in the.happened("turn") if turn["who"] == who)


@pytest.mark.parametrize("engine", ["openai_realtime", "openai_live"])
async def test_the_same_script_on_both_engines(engine: str, tmp_path: Any) -> None:
    tools = tmp_path / "tools.py"
    tools.write_text(TOOLS)
    realtime = Realtime(script=SCRIPT, pace=Pace.instant())
    async with product(realtime=realtime, engine=engine, delegation_model="some-model", tools_file=str(tools)) as the:
        phone = Phone()
        call = await the.carrier.ring(phone=phone)
        await call.wait_streaming()
        await the.until(lambda: the.happened("heard"), "the greeting to be heard", 15)
        phone.say(voices.load("caller/hours"))
        await the.until(lambda: the.happened("tool_finished"), "the tool", 15)
        await the.until(lambda: len(the.happened("agent_speaks")) > 1, "the answer", 15)
        await phone.hears(0.8, 10)
        phone.say(voices.load("caller/interruption"))
        await call.wait_ended(25)
        await the.quiet()
        assert call.ended_by == "product"
        cuts = the.happened("interrupted")
        assert [cut["by_caller"] for cut in cuts][:1] == [True], "the caller could not break in"
        assert voices.TEXTS["caller/hours"] in _said(the, "caller")
        assert voices.TEXTS["agent/goodbye"] in _said(the, "agent")
        assert [one.violations for one in realtime.sessions] == [[]] * len(realtime.sessions)
        assert [one.violations for one in realtime.live_sessions] == [[]] * len(realtime.live_sessions)
        assert bool(realtime.live_sessions) == (engine == "openai_live")
        if engine == "openai_live":
            _typed(realtime.live_sessions[0])
            (used,) = the.happened("usage")[-1:]
            assert used["model"] == "gpt-live-1"
            (closed,) = [one for one in realtime.live_sessions[0].sent if one["type"] == "session.closed"]
            cost = used["total"]["models"]["gpt-live-1"]["seconds"]
            assert cost == pytest.approx(closed["usage"]["seconds"], abs=0.5), "its last seconds were not billed"
            assert used["usd"] == pytest.approx(used["total"]["models"]["gpt-live-1"]["seconds"] / 60 * 0.05, rel=0.01)


async def test_a_call_goes_on_with_the_second_engine_when_the_first_is_lost_for_good() -> None:
    """The first engine breaks in the middle of the greeting's answer, and then takes nobody."""
    script = Script.of(Turn.voice("agent/greeting"), otherwise=Turn.voice("agent/resume"))
    realtime = Realtime(script=script, pace=Pace.instant())
    async with product(realtime=realtime, engine="openai_realtime", fallback_engine="openai_live") as the:
        phone = Phone()
        call = await the.carrier.ring(phone=phone)
        await call.wait_streaming()
        await the.until(lambda: the.happened("heard"), "the greeting to be heard", 15)
        realtime.faults.refuse_next, realtime.faults.refuse_status = -1, 401
        await realtime.sessions[0].end_by_fault()
        await the.until(lambda: the.happened("engine_chosen"), "the second engine", 10)
        await the.until(lambda: realtime.live_sessions, "its session", 10)
        await realtime.live_sessions[0].wait_for(lambda live: live.config)
        config = realtime.live_sessions[0].config or {}
        before = [part["text"] for item in config["input"] for part in item["content"]]
        assert voices.TEXTS["agent/greeting"] in before, "the second engine does not know what was said"
        phone.say(voices.load("caller/hours"))
        await realtime.live_sessions[0].wait_for(lambda live: live.spoken_ms > 500)
        asked = [one for one in realtime.live_sessions[0].received if one["type"] == "session.instructions.append"]
        assert len(asked) <= 1
        assert not any("greet" in one["content"].lower()[:5] for one in asked)
        await call.hang_up()
        await the.quiet()
        (chosen,) = the.happened("engine_chosen")
        assert chosen["engine"] == "openai_live"
        assert "first engine" in chosen["reason"]
        assert realtime.live_sessions[0].violations == []
        assert the.app.account.describe()["beside"]["state"] == "closed"


@pytest.mark.process
async def test_a_call_whose_server_is_killed_goes_on_with_the_engine_that_it_had() -> None:
    script = Script.of(Turn.voice("agent/greeting"), otherwise=Turn.voice("agent/resume"))
    realtime = Realtime(script=script, pace=Pace.instant())
    async with office(realtime, FALLBACK_ENGINE="openai_live", ENGINE_SECONDS=1) as one:
        caller = await one.ring()
        await caller.phone.hears(0.5)
        realtime.faults.refuse_next, realtime.faults.refuse_status = -1, 401
        await realtime.sessions[0].end_by_fault()
        await until(lambda: realtime.live_sessions, "the second engine")
        await realtime.live_sessions[0].wait_for(lambda live: live.config)
        await until(lambda: one.rows("SELECT * FROM steps WHERE event LIKE '%engine_chosen%'"), "it on record")
        realtime.faults.refuse_next = 0  # the first would take them again
        await one.stop()
        await one.start()
        await until(lambda: len(realtime.live_sessions) > 1, "the second engine again", 15)
        await realtime.live_sessions[1].wait_for(lambda live: live.spoken_ms > 100)
        assert len(realtime.sessions) == 1, "back at the first engine"
        assert len(one.rows("SELECT * FROM steps WHERE event LIKE '%engine_chosen%'")) == 1
        assert caller.is_up
        await caller.call.hang_up()


async def test_while_the_first_engine_takes_no_calls_the_second_takes_them() -> None:
    realtime = Realtime(script=SCRIPT, pace=Pace.instant())
    async with product(realtime=realtime, engine="openai_live", fallback_engine="openai_realtime") as the:
        realtime.live_faults.refuse_next = -1
        for account in (the.app.account.beside,):
            account._breaker.failed(0.0, "x", "at once", "HTTP 401")
        phone = Phone()
        call = await the.carrier.ring(phone=phone)
        await call.wait_streaming()
        await phone.hears(0.5, 10)
        await call.hang_up()
        await the.quiet()
        assert not realtime.live_sessions
        assert len(realtime.sessions) == 1
        (chosen,) = the.happened("engine_chosen")
        assert "takes no calls" in chosen["reason"]


async def test_a_full_duplex_model_that_goes_mute_is_asked_and_then_replaced() -> None:
    """Its socket is open, and it hears; only the caller's question stays without an answer."""
    realtime = Realtime(script=SCRIPT, pace=Pace.instant())
    async with product(
        realtime=realtime, engine="openai_live", reply_filler_seconds=0.5, reply_seconds=1.5, no_input_seconds=0
    ) as the:
        phone = Phone()
        call = await the.carrier.ring(phone=phone)
        await call.wait_streaming()
        await the.until(lambda: the.happened("heard"), "the greeting to be heard", 15)
        realtime.live_faults.mute = True
        phone.say(voices.load("caller/hours"))
        await the.until(lambda: the.happened("filler"), "a sentence of ours", 10)
        realtime.live_faults.mute = False
        await the.until(lambda: len(realtime.live_sessions) == 2, "another session", 10)
        await the.until(lambda: len(the.happened("agent_speaks")) > 1, "an answer", 10)
        await call.hang_up()
        await the.quiet()
        assert [one.violations for one in realtime.live_sessions] == [[], []]
