"""Large answers leave the loop and the interpreter to the audio, without a socket."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from callflow.web.responses import json_slices, to_json
from tests.web.console.stage import CALL, Stage, play


BATCHES, BATCH = 4, 1000
_MOST_SHARE = 0.1
"""Of the processor time of an answer, for one callback of the loop or one slice of the encoder."""


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


@pytest.mark.parametrize(
    "value",
    [{}, [], None, 1.5, "ü", {"a": {}}, [[]] * 50, list(range(20)), list(range(21)), {"": [1] * 99}, {1: [2]},
     {"half \ud800": ["\ud800"] * 30}, [{"a": [1, {"b": "\x7f"}]}] * 41],
)  # fmt: skip
def test_slices_are_the_same_json(value: Any) -> None:
    assert json.loads(b"".join(json_slices(value))) == json.loads(to_json(value))
