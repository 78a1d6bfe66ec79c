"""The same call on both engines: greeting, question, tool, interruption, goodbye; and one that fails over."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.sandbox import voices
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import Call, Pace, Realtime, Say, Script, Turn
from tests.e2e.product import Product, product


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


def _said(the: Product, who: str) -> str:
    return " ".join(turn["text"] for turn in the.happened("turn") if turn["who"] == who)


@pytest.mark.parametrize("engine", ["openai_realtime", "openai_live"])
async def test_the_same_script_on_both_engines(engine: str, tmp_path: Any) -> None:
    tools = tmp_path / "tools.py"
    tools.write_text(TOOLS)
    async with Realtime(script=SCRIPT, pace=Pace.instant()) as realtime:
        live_url = realtime.live_url
        async with product(
            realtime=realtime, engine=engine, openai_live_url=live_url, delegation_model="some-model",
            tools_file=str(tools),
        ) as the:  # fmt: skip
            phone = Phone()
            call = await the.carrier.ring(phone=phone)
            await call.wait_streaming()
            await the.until(lambda: the.happened("heard"), "the greeting to be heard", 15)
            await phone.say(voices.load("caller/hours"))
            await the.until(lambda: the.happened("tool_finished"), "the tool", 15)
            await the.until(lambda: len(the.happened("agent_speaks")) > 1, "the answer", 15)
            await phone.hears(0.8, 10)
            await phone.say(voices.load("caller/interruption"))
            await call.wait_ended(25)
            await the.quiet()
            assert call.ended_by == "product"
            cuts = the.happened("interrupted")
            assert cuts and cuts[0]["by_caller"], "the caller could not break in"
            assert voices.TEXTS["caller/hours"] in _said(the, "caller")
            assert voices.TEXTS["agent/goodbye"] in _said(the, "agent")
            for session in [*realtime.sessions, *realtime.live_sessions]:
                assert session.violations == []
            assert bool(realtime.live_sessions) == (engine == "openai_live")
            if engine == "openai_live":
                (used,) = the.happened("usage")[-1:]
                assert used["model"] == "gpt-live-1" and used["usd"] == pytest.approx(
                    used["total"]["models"]["gpt-live-1"]["seconds"] / 60 * 0.05, rel=0.01
                )
