"""A relay as tutorials show it, for `scripts/bench` to compare with: Starlette, uvicorn, `websockets`, `json`.

Two tasks a call, each of which waits for a message, parses it, builds another and sends it. It keeps no journal and no
account of what was heard; marks are neither sent nor read.

Reads TELNYX_API_BASE, TELNYX_API_KEY, OPENAI_API_KEY and OPENAI_REALTIME_URL; prints its address as the server does.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect

from callflow.cli.bench import signalling


_client = httpx.AsyncClient(trust_env=False)
_port = 0


async def _webhook(request: Request) -> JSONResponse:
    event = await request.json()
    stream = f"ws://127.0.0.1:{_port}/media-stream/x"
    return JSONResponse({"ok": True}, background=BackgroundTask(signalling.answer, _client, event, stream))


async def _media(caller: WebSocket) -> None:
    await caller.accept()
    url = f"{os.environ['OPENAI_REALTIME_URL']}?model=gpt-realtime"
    headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    async with connect(url, additional_headers=headers) as engine:
        await engine.send(signalling.SESSION)
        await engine.send(signalling.GREETING)
        back = asyncio.create_task(_to_caller(engine, caller))
        try:
            async for text in caller.iter_text():
                message = json.loads(text)
                if message["event"] == "media":
                    audio = message["media"]["payload"]
                    await engine.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
        except (WebSocketDisconnect, RuntimeError):  # Starlette says either when the caller is gone
            pass
        finally:
            back.cancel()


async def _to_caller(engine: ClientConnection, caller: WebSocket) -> None:
    async for text in engine:
        event = json.loads(text)
        if event["type"] == "response.output_audio.delta":
            await caller.send_json({"event": "media", "media": {"payload": event["delta"]}})


def main() -> None:
    """Serve until the process is killed."""
    global _port
    app = Starlette(
        routes=[Route("/webhooks", _webhook, methods=["POST"]), WebSocketRoute("/media-stream/{token}", _media)]
    )
    with socket.create_server(("127.0.0.1", 0)) as bound:
        _port = bound.getsockname()[1]
        signalling.say_address(_port)
        config = uvicorn.Config(app, log_level="error", loop="uvloop", access_log=False)
        uvicorn.Server(config).run(sockets=[bound])


if __name__ == "__main__":
    main()
