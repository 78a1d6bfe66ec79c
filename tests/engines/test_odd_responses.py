"""Servers that tell of their responses late, twice, in another order or not at all: the caller is answered once."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any, cast

import pytest

from callflow.contracts.engine import AudioDone, ResponseDone, ResponseStarted, ToolCalls, Usage
from callflow.engines.common.engine_socket import EngineSocket
from callflow.engines.openai_realtime import response_driver
from callflow.engines.openai_realtime.adapter import OpenAIRealtime
from tests.call.offline import until
from tests.configs import realtime_config
from tests.engines.realtime_server import BRIEF
from tests.engines.test_continued_audio import LOUD, Server, formats
from tests.in_loop import in_loop


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_driver, "_OWN_START_SECONDS", 0.02)
    monkeypatch.setattr(response_driver, "_DONE_SECONDS", 0.02)


class Model:
    """A session, and a server that says what a test wants."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.engine: Any = OpenAIRealtime(realtime_config(response_retry_seconds=0.02), BRIEF, self.told.append)
        self._server = Server()
        self.engine._channel.lost = asyncio.get_running_loop().create_future()
        self.engine._channel.socket = cast(EngineSocket, self._server)
        self.says("session.created", session={})
        self.engine._received(json.dumps(formats("audio/pcmu")).encode())
        self.asked()

    def says(self, kind: str, **fields: Any) -> None:
        self.engine._received(json.dumps({"type": kind, **fields}).encode())

    def begins(self, response: str) -> None:
        self.says("response.created", response={"id": response})

    def speaks(self, response: str) -> None:
        where = {"response_id": response, "item_id": f"item of {response}", "content_index": 0}
        for _ in range(5):
            self.says("response.output_audio.delta", **where, delta=base64.b64encode(LOUD).decode())
        self.says("response.output_audio.done", **where)

    def of(self, kind: type) -> list[Any]:
        return [each for each in self.told if isinstance(each, kind)]

    async def given_up(self) -> None:
        """Until nothing waits for the end of the running response any more."""
        await until(lambda: not self.engine._responses.queue.running)

    def ends(self, response: str | None, *output: dict[str, Any]) -> None:
        ended = {"status": "completed", "output": list(output), **({"id": response} if response else {})}
        self.says("response.done", response=ended)

    def hears_turn(self) -> None:
        self.says("input_audio_buffer.speech_started", audio_start_ms=0)
        self.hears_end()

    def hears_end(self) -> None:
        self.says("input_audio_buffer.speech_stopped", audio_end_ms=900)

    def asked(self) -> int:
        """How many responses were asked for since."""
        got, self._server.got = self._server.got, []
        return sum(json.loads(text)["type"] == "response.create" for text in got)


CALL = {"type": "function_call", "id": "f", "call_id": "c", "name": "t", "arguments": "{}", "status": "completed"}
REMOTE = {"type": "mcp_call", "id": "m", "server_label": "s", "name": "t", "arguments": "{}", "output": "42"}


def message(response: str) -> dict[str, Any]:
    """What a response has said, as its end has it."""
    content = [{"type": "output_audio", "transcript": "Let me look that up."}]
    return {"id": f"item of {response}", "type": "message", "role": "assistant", "content": content}


async def pause() -> None:
    """Until every timer of these tests has run out."""
    await asyncio.sleep(0.1)


@in_loop
async def test_an_answer_that_comes_late_and_crosses_ours_is_the_only_one() -> None:
    one = Model()
    one.hears_turn()
    await pause()
    assert one.asked() == 1
    one.begins("r1")
    error = {"code": "conversation_already_has_active_response", "message": "r1 is active"}
    one.says("error", error={"type": "invalid_request_error", **error})
    one.speaks("r1")
    one.ends("r1")
    await pause()
    assert one.asked() == 0


@in_loop
async def test_what_was_asked_for_besides_is_asked_again() -> None:
    one = Model()
    one.hears_turn()
    one.engine.request_response("Say the price.", lasting=True)
    await pause()
    assert one.asked() == 1
    one.begins("r1")
    one.says("error", error={"code": "conversation_already_has_active_response", "message": "r1 is active"})
    one.speaks("r1")
    one.ends("r1")
    assert one.asked() == 1


@in_loop
async def test_a_response_whose_end_is_never_told_does_not_hold_up_the_others() -> None:
    one = Model()
    one.hears_turn()
    one.begins("r1")
    one.speaks("r1")
    one.hears_turn()
    one.begins("r2")
    one.ends("r2", CALL)
    one.engine.answer_tool("c", '"x"', speak=True)
    await pause()
    assert one.asked() == 1, "nobody speaks of the tool's result"


@in_loop
async def test_an_end_without_a_name_is_that_of_the_only_response() -> None:
    one = Model()
    one.hears_turn()
    one.begins("r1")
    one.speaks("r1")
    one.ends(None)
    (done,) = [each for each in one.told if isinstance(each, ResponseDone)]
    assert (done.response, done.answered) == ("r1", True)
    one.engine.request_response("Say the price.")
    assert one.asked() == 1


@pytest.mark.parametrize("begins", ["never", "behind its audio", "before the end of the turn"])
@in_loop
async def test_an_answer_that_has_come_is_not_asked_for(begins: str) -> None:
    one = Model()
    if begins == "before the end of the turn":
        one.says("input_audio_buffer.speech_started", audio_start_ms=0)
        one.begins("r1")
        one.hears_end()
    else:
        one.hears_turn()
    one.speaks("r1")
    if begins == "behind its audio":
        one.begins("r1")
    await pause()
    one.ends("r1")
    await pause()
    assert one.asked() == 0
    assert sum(isinstance(each, ResponseDone) and each.answered for each in one.told) == 1


@in_loop
async def test_an_end_that_is_told_twice_asks_for_nothing() -> None:
    one = Model()
    one.hears_turn()
    one.begins("r1")
    one.speaks("r1")
    for _ in range(2):
        one.ends("r1")
        one.begins("r1")
    await pause()
    assert one.asked() == 0
    assert one.engine._responses.queue.running == []


@in_loop
async def test_audio_behind_the_end_of_its_response_is_ended_all_the_same() -> None:
    one = Model()
    responses = ("r1", "r2")
    for response in responses:
        one.begins(response)
        one.speaks(response)
        one.ends(response)
    one.told.clear()
    for response in responses:
        where = {"response_id": response, "item_id": f"item of {response}", "content_index": 0}
        one.says("response.output_audio.delta", **where, delta=base64.b64encode(LOUD).decode())
    await pause()
    assert [each.response for each in one.told if isinstance(each, AudioDone)] == list(responses)


@pytest.mark.parametrize("named", [True, False])
@in_loop
async def test_what_was_heard_is_not_said_again_when_its_end_comes_late(named: bool) -> None:
    one = Model()
    one.hears_turn()
    one.begins("r1")
    one.speaks("r1")
    await one.given_up()
    one.ends("r1" if named else None, message("r1"))
    await pause()
    assert one.asked() == 0, "the model is told that the caller has heard nothing"
    (done,) = one.of(ResponseDone)
    assert (done.sounds, done.answered) == (True, True), "written down as unheard"


@in_loop
async def test_a_late_end_is_none_of_the_next_answer() -> None:
    one = Model()
    one.hears_turn()
    one.begins("r1")
    one.speaks("r1")
    await one.given_up()
    one.hears_turn()  # and the server is to answer it
    one.ends("r1", message("r1"))
    one.begins("r2")
    one.speaks("r2")
    one.ends("r2", message("r2"))
    await pause()
    assert [each.response for each in one.of(ResponseStarted)] == ["r1", "r2"]
    assert [each.response for each in one.of(ResponseDone)] == ["r1", "r2"]
    assert one.asked() == 0


@pytest.mark.parametrize("has_gone_on", [False, True])
@in_loop
async def test_a_tool_called_long_after_the_last_word_is_answered(has_gone_on: bool) -> None:
    one = Model()
    one.hears_turn()
    one.begins("r1")
    one.speaks("r1")
    await one.given_up()
    if has_gone_on:
        one.hears_turn()
        one.begins("r2")
        one.speaks("r2")
        one.ends("r2", message("r2"))
    ended = {"id": "r1", "status": "completed", "output": [message("r1"), CALL]}
    one.says("response.done", response={**ended, "usage": {"input_tokens": 3, "output_tokens": 4}})
    assert [call.id for each in one.of(ToolCalls) for call in each.calls] == ["c"]
    assert len(one.of(Usage)) == 1
    assert one.asked() == 0
    one.engine.answer_tool("c", '"x"', speak=True)
    assert one.asked() == 1


@pytest.mark.e2e
@in_loop
async def test_what_a_late_end_promises_is_asked_for() -> None:
    one = Model()
    one.hears_turn()
    one.begins("r1")
    one.speaks("r1")
    await one.given_up()
    one.engine.request_response("Say the price.")
    one.begins("r2")
    one.speaks("r2")
    one.ends("r2", message("r2"))
    one.asked()
    one.ends("r1", message("r1"), REMOTE)
    await pause()
    assert one.asked() == 0, "asked for in the middle of another matter"
    one.begins("r3")
    one.speaks("r3")
    await one.given_up()
    one.ends("r3", message("r3"), {**REMOTE, "id": "m3"})
    await until(one.asked)


@in_loop
async def test_a_response_of_which_the_server_still_tells_is_not_given_up() -> None:
    one = Model()
    one.hears_turn()
    one.begins("r1")
    one.speaks("r1")
    running = one.engine._channel._timers._running
    first = running["done r1"]
    await asyncio.sleep(0.001)
    one.says("response.function_call_arguments.delta", response_id="r1", item_id="f", delta="{")
    assert first.cancelled()
    assert running["done r1"].when() > first.when(), "the arguments of a tool may take their time"


@in_loop
async def test_a_response_that_was_given_up_and_goes_on_is_one_that_runs() -> None:
    one = Model()
    one.hears_turn()
    one.begins("r1")
    one.speaks("r1")
    await one.given_up()
    one.speaks("r1")
    assert one.engine._responses.queue.running == ["r1"]
    assert [each.response for each in one.of(ResponseStarted)] == ["r1", "r1"], "nobody could stop it"
    one.engine.request_response("Say the price.")
    assert one.asked() == 0
    one.ends("r1", message("r1"))
    assert one.asked() == 1
