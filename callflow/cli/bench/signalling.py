"""The signalling of the two relays that `scripts/bench` compares with: webhooks of Telnyx, and the answer to a call."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from typing import Any, Final

import httpx


SESSION: Final = json.dumps(
    {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "output_modalities": ["audio"],
            "audio": {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}}},
        },
    }
)
"""The first event for the engine: µ-law both ways."""
GREETING: Final = '{"type":"response.create"}'
"""The second event: the engine speaks first."""


async def answer(client: httpx.AsyncClient, event: dict[str, Any], stream: str) -> None:
    """Answer the call of a `call.initiated` webhook, with a media stream to `stream`; other webhooks: nothing.

    Vendor: developers.telnyx.com/api/call-control/answer-call.
    """
    data = event["data"]
    if data["event_type"] != "call.initiated":
        return
    url = f"{os.environ['TELNYX_API_BASE']}/calls/{data['payload']['call_control_id']}/actions/answer"
    body = {
        "stream_url": stream,
        "stream_track": "inbound_track",
        "stream_codec": "PCMU",
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": "PCMU",
        "stream_bidirectional_target_legs": "self",
    }
    reply = await client.post(url, json=body, headers={"Authorization": f"Bearer {os.environ['TELNYX_API_KEY']}"})
    reply.raise_for_status()


async def webhooks(take: Callable[[dict[str, Any]], Coroutine[Any, Any, None]]) -> asyncio.Server:
    """Serve webhooks on a free port and print the address. `take` gets each webhook's JSON, in a task of its own."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.lower().split(b"\r\n")
                size = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
                event = json.loads(await reader.readexactly(size))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                task = asyncio.create_task(take(event))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    say_address(server.sockets[0].getsockname()[1])
    return server


def say_address(port: int) -> None:
    """Print the address as the server's start table does."""
    print(f"Callflow  http://127.0.0.1:{port}", flush=True)
