"""An event of the server's with any field of any other type ends no session because of an internal error."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any, Final, cast

import pytest

from callflow.contracts.engine import SessionLost
from callflow.engines.common.engine_socket import EngineSocket
from callflow.engines.openai_realtime.adapter import OpenAIRealtime
from tests.configs import realtime_config
from tests.engines.realtime_server import BRIEF
from tests.engines.test_event_summary import EVENTS, WHERE


ODD: Final[tuple[Any, ...]] = (None, [], {}, [[]], [{}], 7, -1, True, "x" * 300)
FORMAT: Final = {"format": {"type": "audio/pcmu", "rate": 8000}}
RICHER: Final[list[tuple[str, dict[str, Any]]]] = [
    ("session.updated", {"session": {"audio": {"input": FORMAT, "output": FORMAT}, "expires_at": 1, "id": "s"}}),
    (
        "response.done",
        {
            "response": {
                "id": "resp_1", "status": "completed",
                "output": [
                    {"id": "i", "type": "message", "content": [{"type": "audio", "transcript": "t"}]},
                    {"id": "j", "type": "function_call", "name": "n", "call_id": "c", "arguments": "{}"},
                    {"id": "k", "type": "mcp_call", "name": "n", "server_label": "s", "output": "o", "error": None},
                ],
                "usage": {"input_tokens": 1, "input_token_details": {"audio_tokens": 1, "text_tokens": 1}},
            }
        },
    ),
    ("response.output_item.done", {**WHERE, "item": {"id": "k", "type": "mcp_approval_request", "name": "n"}}),
]  # fmt: skip
BEFORE: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("session.created", {"session": {}}),
    ("session.updated", {"session": {}}),
)
CASES: Final = [*((kind, fields) for kind, (fields, _) in EVENTS.items()), *RICHER]


class Nobody:
    """A server that takes everything."""

    def put(self, text: str) -> None:
        pass

    hold = release = lambda self: None


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inside:
        yield (*at, name)
        yield from places(each, (*at, name))


def changed(value: Any, at: tuple[Any, ...], to: object) -> Any:
    whole = part = copy.deepcopy(value)
    for name in at[:-1]:
        part = part[name]
    part[at[-1]] = to
    return whole


@pytest.mark.parametrize(("kind", "fields"), CASES, ids=[kind for kind, _ in CASES])
async def test_no_odd_field_is_a_fault_of_ours(kind: str, fields: dict[str, Any]) -> None:
    event = {"type": kind, "event_id": "e", **fields}
    for at in places(event):
        for odd in ODD:
            engine = OpenAIRealtime(realtime_config(), BRIEF, lambda _: None)
            channel = engine._channel
            lost = channel.lost = asyncio.get_running_loop().create_future()
            channel.socket = cast(EngineSocket, Nobody())
            before = [{"type": name, **more} for name, more in BEFORE]
            began, ended = ({"type": f"response.{each}", "response": {"id": "resp_1"}} for each in ("created", "done"))
            for said in (*before, began, changed(event, at, odd), ended):
                engine._received(json.dumps(said).encode())
            reason = lost.result() if lost.done() else SessionLost("")
            assert "broke off" not in reason.reason, f"{at}: {odd!r}"
            channel.close()
