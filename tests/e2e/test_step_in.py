"""How an operator steps into one of two calls beside its line, and that the other one knows nothing of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Call, Pace, Realtime, Script, Turn
from tests.e2e.outbound import DIALS, ask
from tests.e2e.product import Product, product, until
from tests.e2e.talk import FAST, Talk, noise, talk
from tests.e2e.test_logs import tab
from tests.media.test_call_recorder import marks_in


CARRIERS = ("telnyx", "twilio")
TOOLS = """
tools = [{
    "type": "function", "name": "approve", "description": "Ask a colleague.", "parameters": {"type": "object",
    "properties": {"percent": {"type": "number"}}}, "answered_by": "operator", "seconds": %s}]
"""
OURS: dict[str, Any] = {**FAST, **DIALS, "no_input_seconds": 0, "tool_filler_after_ms": 60_000}
GREETING = Turn.say("Good day.", noise(200, 1))
ANSWER = Turn.say("That is it.", noise(500, 5))


def model(*turns: Turn) -> Realtime:
    return Realtime(script=Script.of(GREETING, *turns, otherwise=ANSWER), pace=Pace.instant())


async def do(the: Product, call: str, what: str, body: Any, status: int = 202) -> Any:
    answer = await ask(the, "POST", f"/api/calls/{call}/{what}", body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def speak(one: Talk) -> None:
    """The caller has heard the greeting and says something."""
    await one.phone.hears(0.15, since=one.phone.connected_at)
    await one.phone.hears_silence(150)
    one.phone.say(tone(300))


def told(one: Talk) -> str:
    return str([each.event for each in one.session.received if each.event["type"] == "conversation.item.create"])


async def test_a_whisper_reaches_one_model_and_the_answer_that_took_it_up_is_known(tmp_path: Path) -> None:
    async with product(realtime=model(), record=True, **OURS) as the:
        one = await talk(the)
        first = the.call.id
        other = await talk(the)
        await one.phone.hears(0.15, since=one.phone.connected_at)
        assert await do(the, first, "whisper", {"text": "Offer ten percent."}) == {"call": first, "now": False}
        await until(lambda: "Offer ten percent." in told(one), "the model to be told")
        await speak(one)
        await until(lambda: the.happened("whisper_used", first), "an answer to take it up")
        (whispered,) = the.happened("whispered", first)
        assert (whispered["text"], whispered["by"], whispered["now"]) == ("Offer ten percent.", "console", False)
        (used,) = the.happened("whisper_used", first)
        assert used["id"] == whispered["id"]
        await until(lambda: used["item"] in [turn["item"] for turn in the.happened("turn", first)], "its words")
        # at once: an answer without a turn of the caller
        await one.phone.hears_silence(200)
        await do(the, first, "whisper", {"text": "Say goodbye.", "now": True})
        await until(lambda: len(the.happened("whisper_used", first)) == 2, "the model to speak about it")
        await do(the, first, "session", {"instructions": "Be brief."}, status=200)
        (changed,) = the.happened("session_changed", first)
        assert changed["by"] == "console"
        await do(the, first, "mute", {"party": "agent"})
        live = the.app.switchboard.live(first)
        assert live is not None
        await until(lambda: live.relay.gates.muted == ["agent"], "the agent to be muted")
        await do(the, first, "whisper", {"text": "x", "now": True}, status=409)
        assert "Offer ten percent." not in told(other)
        await one.call.hang_up()
        await other.call.hang_up()
        await the.quiet()
        labels = [label for _, label in marks_in((the.app.history.recordings / f"{first}.wav").read_bytes())]
        assert labels == [
            "whisper (console): Offer ten percent.",
            "whisper (console): Say goodbye.",
            "session changed (console): instructions",
            "agent muted (console)",
        ]
        await do(the, first, "whisper", {"text": "Too late."}, status=404)


async def test_a_person_answers_a_tool_and_the_model_goes_on_with_it(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS % 30)
    asked = Turn((Call("approve", {"percent": 10}, "c1"),))
    async with product(realtime=model(asked), tools_file=str(tmp_path / "tools.py"), **OURS) as the:
        one = await talk(the)
        call = the.call.id
        await speak(one)
        await until(lambda: the.happened("operator_asked"), "an operator to be asked")
        acts = (await ask(the, "GET", f"/api/calls/{call}/acts")).json()
        (waiting,) = acts["waiting"]
        assert (waiting["id"], waiting["tool"], waiting["arguments"]) == ("c1", "approve", '{"percent": 10}')
        assert 0 < waiting["seconds"] <= 30
        await do(the, call, "tools/c2", {"output": {}}, status=409)
        await do(the, call, "tools/c1", {"output": {}, "error": "x"}, status=400)
        await do(the, call, "tools/c1", {"output": {"approved": True}})
        await do(the, call, "tools/c1", {"output": {"approved": False}}, status=409)
        await until(lambda: one.session.tool_outputs, "the model to be told")
        assert one.session.tool_outputs == {"c1": ['{"approved":true}']}
        (answered,) = the.happened("operator_answered")
        assert (answered["tool"], answered["ok"], answered["by"]) == ("approve", True, "console")
        await one.call.hang_up()
        await the.quiet()


@pytest.mark.carrier("telnyx")
async def test_a_page_of_an_earlier_system_answers_a_tool_through_its_socket(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS % 30)
    asked = Turn((Call("approve", {"percent": 10}, "c1"), Call("approve", {"percent": 20}, "c2")))
    async with product(realtime=model(asked), tools_file=str(tmp_path / "tools.py"), **OURS) as the:
        one = await talk(the)
        name = the.call.id
        async with tab(the, DIALS["console_token"]) as page:
            await page.until("call.started", callId=name)
            await speak(one)
            await until(lambda: len(the.happened("operator_asked")) == 2, "an operator to be asked")
            for tool, output, status in (
                ("c1", '{"approved":true}', "request.taken"), ("c1", "{}", "error"), ("c3", "{}", "error"),
                ("c2", "Yes, if it is \"today\".", "request.taken"), ("c2", {"no": "text"}, "error"),
            ):  # fmt: skip
                item = {"type": "function_call_output", "call_id": tool, "output": output}
                told = await page.ask(type="conversation.item.create", callId=name, item=item)
                assert told["type"] == status, told
        await until(lambda: len(one.session.tool_outputs) == 2, "the model to be told")
        assert one.session.tool_outputs == {"c1": ['{"approved":true}'], "c2": ['"Yes, if it is \\"today\\"."']}
        await one.call.hang_up()
        await the.quiet()


async def test_the_model_hears_that_nobody_answered(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS % 0.3)
    asked = Turn((Call("approve", {"percent": 10}, "c1"),))
    async with product(realtime=model(asked), tools_file=str(tmp_path / "tools.py"), **OURS) as the:
        one = await talk(the)
        await speak(one)
        await until(lambda: one.session.tool_outputs, "the model to be told")
        assert "nobody has answered" in one.session.tool_outputs["c1"][0]
        await one.call.hang_up()
        await the.quiet()
