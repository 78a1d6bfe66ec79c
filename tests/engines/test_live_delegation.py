"""GPT-Live: its tools' model goes on once, when all its calls are answered and its response is over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from callflow.contracts.engine import EngineEvent, SessionContext
from callflow.engines.common.engine_socket import EngineSocket
from callflow.engines.openai_live import adapter as module
from callflow.engines.openai_live.adapter import OpenAILive
from callflow.engines.openai_live.live_config import LiveConfig
from tests.in_loop import in_loop


CONFIG = LiveConfig(
    api_key="k", url="wss://x", live_model="gpt-live-1", delegation_model="gpt-5", voice="marin", instructions="",
    tool_choice="auto", parallel_tool_calls="default", session_seconds=3000, rotation_seconds=60, connect_seconds=5,
    write_seconds=5, buffer_seconds=10,
)  # fmt: skip
TOOLS = [{"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}]


class Live:
    """A session whose tools' model says what a test wants."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.engine: Any = OpenAILive(CONFIG, SessionContext("call", tools=tuple(TOOLS)), self._told)
        self.engine._channel.lost = asyncio.get_running_loop().create_future()
        self.engine._channel.socket = self.engine._socket = cast(EngineSocket, self)
        self.engine._is_ready = True

    def _told(self, event: EngineEvent) -> None:
        pass

    def put(self, text: str) -> None:
        self.sent.append(json.loads(text)["type"])

    def says(self, kind: str, delegation: object = "d", **fields: Any) -> None:
        event = {"type": "response.event", "delegation_id": delegation, "event": {"type": kind, **fields}}
        self.engine._received(json.dumps(event).encode())

    def calls(self, name: str, delegation: object = "d") -> None:
        item = {"type": "function_call", "id": name, "call_id": name, "name": "look", "arguments": "{}"}
        self.says("response.output_item.done", delegation, item={**item, "status": "completed"})

    def answers(self, name: str, *, speak: bool = True) -> None:
        self.engine.answer_tool(name, "done", speak=speak)

    @property
    def goes_on(self) -> int:
        return self.sent.count("response.create")


@in_loop
async def test_a_quick_tool_waits_for_the_end_of_the_response_and_so_for_its_other_calls() -> None:
    one = Live()
    one.calls("a")
    one.answers("a")
    assert one.goes_on == 0, "another call may follow"
    one.calls("b")
    one.says("response.completed", response={"id": "r"})
    assert one.goes_on == 0
    one.answers("b")
    assert one.goes_on == 1


@pytest.mark.parametrize("ends", ["response.completed", "response.failed", "response.incomplete"])
@pytest.mark.parametrize("delegation", ["d", None, ["odd"]])
@in_loop
async def test_whatever_ends_the_response_lets_it_go_on(ends: str, delegation: object) -> None:
    one = Live()
    one.calls("a", delegation)
    one.answers("a")
    one.says(ends, delegation)
    assert one.goes_on == 1
    one.says(ends, delegation)
    assert one.goes_on == 1


@in_loop
async def test_an_end_that_never_comes_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DELEGATION_SECONDS", 0.02)
    one = Live()
    one.calls("a")
    one.answers("a")
    await asyncio.sleep(0.1)
    assert one.goes_on == 1


@in_loop
async def test_of_a_result_that_nobody_is_to_hear_of_nothing_is_said() -> None:
    one = Live()
    acts: list[Callable[[], None]] = [
        lambda: one.calls("a"), lambda: one.answers("a", speak=False), lambda: one.says("response.completed"),
    ]  # fmt: skip
    for act in acts:
        act()
    assert one.goes_on == 0
