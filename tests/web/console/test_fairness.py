"""Large answers leave the loop and the interpreter to the audio, without a socket."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from pathlib import Path
from unittest import mock

import pytest

from callflow.contracts.printable import json_of
from callflow.mcp.http import _printable
from callflow.web.console.large_answers import processes
from callflow.web.console.large_answers.processes import LargeAnswers
from tests.history import postgres
from tests.web.console.stage import CALL, Stage, play


pytestmark = pytest.mark.process


BATCHES, BATCH = 4, 1000
TOKENS = {"configure": "the-token-of-everything", "view": "the-token-of-the-wall"}
_MOST_SHARE = 0.1
"""Of the processor time of an answer, for one callback of the loop or one slice of the encoder."""
_MOST_OF_OURS = 0.5
"""Of the same, for all that is left to this process when another one makes the answer."""
_MOST_SHARE_OF_MCP = 0.125
"""The MCP package encodes its messages on the loop, in one step."""


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The longest callback of the loop of this thread, in seconds of its processor time."""
    monkeypatch.setattr(processes, "_FIRST_SECONDS", 60.0)  # other tests run beside these
    found, run, ours = [0.0], asyncio.events.Handle._run, threading.get_ident()

    def timed(handle: asyncio.Handle) -> None:
        begun = time.thread_time()
        run(handle)
        if threading.get_ident() == ours:
            found[0] = max(found[0], time.thread_time() - begun)

    monkeypatch.setattr(asyncio.events.Handle, "_run", timed)
    return found


def items(batch: int) -> bytes:
    words = "Grüße an alle, die noch warten. " * 10
    kept = [{"id": f"i{batch}-{n}", "type": "message", "role": "user", "content": [{"type": "text", "text": words}]}
            for n in range(BATCH)]  # fmt: skip
    return json.dumps({"items": kept}).encode()


PATHS = ("/api/calls/{}", "/api/conversations/stream/{}", "/api/conversations/export")


async def fill(the: Stage) -> None:
    """Write a call with thousands of items, and load what the first request loads."""
    await the.write_call()
    for batch in range(BATCHES):
        added = await the.send("POST", f"/api/conversations/stream/{CALL}/items", items(batch))
        assert added.status == 200, added.body
    await the.get("/api/calls/nobody")


async def ask_for_all(the: Stage, path: str, longest: list[float], *, apart: bool = True) -> None:
    """Ask for a large answer. `apart`: in a process of its own as well, which leaves little to this one."""
    with mock.patch.object(LargeAnswers, "_take", return_value=None):
        here, used = await asked(the, path, longest)
    assert longest[0] < _MOST_SHARE * used, (longest, used)
    if apart:
        await asked(the, path, longest)  # starts the process
        there, left = await asked(the, path, longest)
        assert there == here, "another process makes another answer"
        assert longest[0] < _MOST_SHARE * used, (longest, used)
        assert left < _MOST_OF_OURS * used, (left, used)


async def asked(the: Stage, path: str, longest: list[float]) -> tuple[bytes, float]:
    """Return the body, and the processor time that it took of this process."""
    await asyncio.sleep(0)  # what the last answer was looked through for is not the server's
    longest[0], begun = 0.0, time.process_time()
    answer = await the.get(path.format(CALL))
    used = time.process_time() - begun
    told = answer.json()
    told = told[0] if isinstance(told, list) else told.get("conversation", told)
    assert len(told["items"]) == BATCHES * BATCH
    return answer.body, used


@pytest.mark.parametrize("role", ["configure", "view"])
@pytest.mark.parametrize("path", PATHS)
def test_no_callback_of_a_large_answer_takes_long(tmp_path: Path, path: str, role: str, longest: list[float]) -> None:
    async def main(the: Stage) -> None:
        await fill(the)
        the.headers = {"authorization": f"Bearer {TOKENS[role]}"}
        await ask_for_all(the, path, longest, apart=role == "configure")  # masks are put on here

    named = f"wall:view:{TOKENS['view']}"
    play(tmp_path, main, token=TOKENS["configure"], named_tokens=named)


def test_no_callback_of_a_large_answer_from_postgresql_takes_long(
    tmp_path: Path, postgresql: str, longest: list[float]
) -> None:
    """Its driver is asynchronous: rows became dicts on the loop that asked."""
    name = f"fairness_{uuid.uuid4().hex}"
    postgres.create(postgresql, name)

    async def main(the: Stage) -> None:
        await fill(the)
        for path in PATHS:
            await the.get(path.format(CALL))
            await ask_for_all(the, path, longest)

    play(tmp_path, main, url=postgresql.format(name=name))


def test_no_callback_of_a_large_answer_over_mcp_takes_long(tmp_path: Path, longest: list[float]) -> None:
    """While a call is live, another process makes it."""

    def asking(name: str) -> bytes:
        params = {"name": name, "arguments": {"streamSid": CALL}}
        return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()

    async def asked(the: Stage) -> tuple[bytes, float]:
        accepted = {"accept": "application/json, text/event-stream"}
        await the.send("POST", "/mcp", asking("get_conversation_timeline"), **accepted)  # loads the package
        longest[0], begun = 0.0, time.process_time()
        answer = await the.send("POST", "/mcp", asking("get_conversation_details"), **accepted)
        used = time.process_time() - begun
        told = json.loads(answer.json()["result"]["content"][0]["text"])
        assert len(told["items"]) == BATCHES * BATCH
        return answer.body, used

    async def main(the: Stage) -> None:
        await fill(the)
        here, used = await asked(the)
        assert longest[0] < _MOST_SHARE_OF_MCP * used, (longest, used)
        the.live("another")
        there, left = await asked(the)
        assert there == here, "another process makes another answer"
        assert longest[0] < _MOST_SHARE * used, (longest, used)
        assert left < _MOST_OF_OURS * used, (left, used)

    play(tmp_path, main)


def test_what_mcp_sends_is_printable_wherever_it_stands() -> None:
    text = "x" * 65_530 + "\u202e\x7f\U000e0001" + "ü" * 70_000 + "\u2028"
    for said in (text, "plain \x7f"):
        sent = _printable(json.dumps([said], ensure_ascii=False).encode())
        assert sent == json_of([said])
        assert json.loads(sent) == [said]
