"""What operators, their scripts and their models ask for costs the calls that are going on nothing."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from callflow.contracts.events import LegIds
from callflow.history.posted_items import MOST_ITEMS
from callflow.switchboard.call_ids import call_id
from tests.e2e.hostile import battle
from tests.e2e.operators_port import JSON, MCP_HEADERS, Answer, Port
from tests.sample import Sample


LARGE = 4 << 20


def posted(text: str, size: int = LARGE) -> bytes:
    """As many items as may be posted, of so many bytes altogether."""
    many = text * ((size // MOST_ITEMS - 100) // len(text))
    given = [{"id": f"item_{n}", "type": "message", "content": [{"text": many}]} for n in range(MOST_ITEMS)]
    return json.dumps({"items": given}).encode()


async def twice(attack: Callable[[], Coroutine[Any, Any, Answer]]) -> list[Answer]:
    return list(await asyncio.gather(attack(), attack()))


@pytest.mark.alone
async def test_the_largest_requests_to_the_operators_port_delay_no_frame(some: Sample) -> None:
    async with battle() as the:
        it = Port(await the.process.console_port(), token="")
        call = call_id("telnyx", LegIds(the.call.control_id, the.call.leg_id))
        items, session = f"/api/conversations/stream/{call}/items", f"/api/calls/{call}/session"
        words, digits = posted("hello you there, "), posted("4111 1111 1111 1112 ", LARGE // 4)
        many = b'{"items":[' + b",".join([b'{"id":"a","type":"message"}'] * 140_000) + b"]}"
        rpc = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        search = {"name": "search_conversations_by_text", "arguments": {"query": "x" * 1_000_000}}
        settings = json.dumps({f"name{n}": n for n in range(3000)}).encode()

        def post(path: str, body: bytes) -> Callable[[], Coroutine[Any, Any, Answer]]:
            return lambda: it.ask("POST", path, body=body, headers=MCP_HEADERS if path == "/mcp" else [JSON])

        attacks: dict[str, tuple[Callable[[], Coroutine[Any, Any, Answer]], int]] = {
            "the first that asks for the MCP server": (post("/mcp", json.dumps(rpc).encode()), 200),
            "items of four megabytes": (post(items, words), 200),
            "a megabyte of digits": (post(items, digits), 200),
            "a hundred and forty thousand items": (post(items, many), 400),
            "brackets": (post(items, b"[" * LARGE), 400),
            "more than may be posted": (post(items, b" " * (LARGE + 1)), 413),
            "brackets for the MCP server": (post("/mcp", b"[" * (1 << 20)), 400),
            "numbers for the MCP server": (post("/mcp", b"[" + b"1," * 500_000 + b"1]"), 400),
            "a long search by the MCP server": (post("/mcp", json.dumps({**rpc, "params": search}).encode()), 200),
            "thousands of settings": (post(session, settings), 400),
            "the whole call": (lambda: it.ask("GET", f"/api/calls/{call}"), 200),
            "everything": (lambda: it.ask("GET", "/api/conversations/export"), 200),
        }  # fmt: skip
        for what, (attack, status) in some(attacks.items(), 3):
            answers = await the.unharmed(what, functools.partial(twice, attack))
            assert {answer.status for answer in answers} == {status}, f"{what}: {answers[0]}"
