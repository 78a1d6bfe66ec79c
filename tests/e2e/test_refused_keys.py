"""A session that the model's server refuses for one key of it is a phone call all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Call, Pace, Realtime, Script, Turn
from tests.e2e.product import product, until
from tests.e2e.talk import FAST, Talk, noise, talk


SOURCE = '''
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


SHOP = {"type": "mcp", "server_label": "shop", "server_url": "https://shop.example", "colour": "blue"}
FARM = {"type": "mcp", "server_label": "farm", "server_url": "https://farm.example", "connector_id": 5}
tools = [SHOP, add, FARM]
'''


def updates(one: Talk) -> list[dict[str, Any]]:
    return [each.event for each in one.session.received if each.event["type"] == "session.update"]


async def test_a_key_that_the_server_does_not_know_is_left_out_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tools.py").write_text(SOURCE)
    adds = Turn((Call("add", {"a": 2, "b": 3}, "c1"),))
    script = Script.of(Turn.say("Good day.", noise(200, 1)), adds, otherwise=Turn.say("Five.", noise(500, 5)))
    model = Realtime(script=script, pace=Pace.instant())
    async with product(realtime=model, tools_file=str(tmp_path / "tools.py"), no_input_seconds=0, **FAST) as the:
        for number in (1, 2):
            one = await talk(the)
            await one.phone.hears(0.15)
            await one.phone.hears_silence(150)
            one.phone.say(tone(200))
            outputs = one.session.tool_outputs
            await until(lambda outputs=outputs: bool(outputs), "the answer to the tool")  # type: ignore[misc]
            assert json.loads(outputs["c1"][0]) == 5
            names = [event["event_id"] for event in updates(one)]
            last = updates(one)[-1]["session"]
            tools = {tool.get("server_label") or tool["name"]: tool for tool in last["tools"]}
            assert "colour" not in tools["shop"]
            assert tools["shop"]["server_url"] == "https://shop.example"
            assert "farm" not in tools, "without its connector it would be another"
            assert "add" in tools
            assert last["audio"]["output"]["voice"], "the rest of the session is as wanted"
            begins = ["session-full", "session-full#1", "session-full#2"]
            assert names[:3] == (begins if number == 1 else ["session-full"])
            await one.call.hang_up()
            await the.quiet()
            complaints = [each["message"] for each in the.happened("engine_complaint")]
            assert [each for each in complaints if "mcp:shop.colour" in each], "it stands in each call's record"
    said = [record.getMessage() for record in caplog.records if "is left out" in record.getMessage()]
    assert len([line for line in said if "colour" in line]) == 1
    assert len([line for line in said if "farm" in line]) == 1
