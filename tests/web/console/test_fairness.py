"""Large answers leave the loop and the interpreter to the audio, without a socket."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callflow.contracts.printable import json_of
from callflow.mcp.http import _printable
from callflow.mcp.server import _indented
from callflow.web.responses import json_slices, to_json
from tests.web.console.stage import CALL, Stage, play


BATCHES, BATCH = 4, 1000
_MOST_SHARE = 0.1
"""Of the processor time of an answer, for one callback of the loop or one slice of the encoder."""
_MOST_SHARE_OF_MCP = 0.125
"""The MCP package encodes its messages on the loop, in one step."""


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The longest callback of the loop, in seconds of its thread's processor time."""
    found, run = [0.0], asyncio.events.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        begun = time.thread_time()
        run(handle)
        found[0] = max(found[0], time.thread_time() - begun)

    monkeypatch.setattr(asyncio.events.Handle, "_run", timed)
    return found


def items(batch: int) -> bytes:
    words = "Grüße an alle, die noch warten. " * 10
    kept = [{"id": f"i{batch}-{n}", "type": "message", "role": "user", "content": [{"type": "text", "text": words}]}
            for n in range(BATCH)]  # fmt: skip
    return json.dumps({"items": kept}).encode()


@pytest.mark.parametrize("path", ["/api/calls/{}", "/api/conversations/stream/{}", "/api/conversations/export"])
def test_no_callback_of_a_large_answer_takes_long(tmp_path: Path, path: str, longest: list[float]) -> None:
    async def main(the: Stage) -> None:
        await the.write_call()
        for batch in range(BATCHES):
            added = await the.send("POST", f"/api/conversations/stream/{CALL}/items", items(batch))
            assert added.status == 200, added.body
        await the.get("/api/calls/nobody")  # what the first request loads is not measured
        longest[0], begun = 0.0, time.process_time()
        answer = await the.get(path.format(CALL))
        used = time.process_time() - begun
        told = answer.json()
        told = told[0] if isinstance(told, list) else told.get("conversation", told)
        assert len(told["items"]) == BATCHES * BATCH
        assert longest[0] < _MOST_SHARE * used, (longest, used)

    play(tmp_path, main)


def test_no_callback_of_a_large_answer_over_mcp_takes_long(tmp_path: Path, longest: list[float]) -> None:
    def asking(name: str) -> bytes:
        params = {"name": name, "arguments": {"streamSid": CALL}}
        return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()

    async def main(the: Stage) -> None:
        await the.write_call()
        for batch in range(BATCHES):
            await the.send("POST", f"/api/conversations/stream/{CALL}/items", items(batch))
        accepted = {"accept": "application/json, text/event-stream"}
        await the.send("POST", "/mcp", asking("get_conversation_timeline"), **accepted)  # loads the package
        longest[0], begun = 0.0, time.process_time()
        answer = await the.send("POST", "/mcp", asking("get_conversation_details"), **accepted)
        used = time.process_time() - begun
        told = json.loads(answer.json()["result"]["content"][0]["text"])
        assert len(told["items"]) == BATCHES * BATCH
        assert longest[0] < _MOST_SHARE_OF_MCP * used, (longest, used)

    play(tmp_path, main)


def test_the_encoder_is_given_little_at_a_time() -> None:
    entry = {"event": {"event": "turn", "text": "Grüße " * 40}, "before": "streaming", "commands": []}
    value = {"call": CALL, "conversation": {"items": [entry] * 3000}, "entries": [entry] * 3000}
    begun = before = time.thread_time()
    slices, longest = [], 0.0
    for some in json_slices(value):
        longest = max(longest, (now := time.thread_time()) - before)
        before = now
        slices.append(some)
    assert json.loads(b"".join(slices)) == value
    assert longest < _MOST_SHARE * (before - begun)


def test_mcp_encodes_little_at_a_time() -> None:
    value = {"conversation": {"id": 1}, "items": [{"role": "user", "content": "Grüße " * 40, "parts": []}] * 6000}
    begun = before = time.thread_time()
    slices, longest = [], 0.0
    for some in _indented(value):
        longest = max(longest, (now := time.thread_time()) - before)
        before = now
        slices.append(some)
    assert json.loads("".join(slices)) == value
    assert longest < _MOST_SHARE * (before - begun)


@pytest.mark.parametrize(
    "value",
    [{}, [], [{}], {"a": {}}, list(range(20)), list(range(21)), {"": [1] * 45}, {"a": {"b": [[1, []]] * 41}}, None,
     {"note": "one\ntwo \u202e \x7f\x1b", "list": ["line\nline", {"ü": "\U000e0001"}] * 15}, "\n", 1.5],
)  # fmt: skip
def test_what_mcp_says_is_indented_as_by_the_encoder(value: Any) -> None:
    assert "".join(_indented(value)) == msgspec.json.format(json_of(value), indent=2).decode()


def test_what_mcp_sends_is_printable_wherever_it_stands() -> None:
    text = "x" * 65_530 + "\u202e\x7f\U000e0001" + "ü" * 70_000 + "\u2028"
    for said in (text, "plain \x7f"):
        sent = _printable(json.dumps([said], ensure_ascii=False).encode())
        assert sent == json_of([said])
        assert json.loads(sent) == [said]


@pytest.mark.parametrize(
    "value",
    [{}, [], None, 1.5, "ü", {"a": {}}, [[]] * 50, list(range(20)), list(range(21)), {"": [1] * 99}, {1: [2]},
     {"half \ud800": ["\ud800"] * 30}, [{"a": [1, {"b": "\x7f"}]}] * 41],
)  # fmt: skip
def test_slices_are_the_same_json(value: Any) -> None:
    assert json.loads(b"".join(json_slices(value))) == json.loads(to_json(value))
