"""What the servers of peers share: webhooks of Telnyx, the answer to a call, and a media socket, with FastAPI."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import httpx
import uvicorn
from fastapi import FastAPI, Request, WebSocket

from callflow.cli.bench import signalling


def main(serve: Callable[[WebSocket], Awaitable[None]]) -> None:
    """Serve until the process is killed. `serve`: takes the media socket of one call, before it is accepted."""
    app = FastAPI()
    client = httpx.AsyncClient(trust_env=False)
    tasks: set[asyncio.Task[None]] = set()
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]

    async def webhook(request: Request) -> dict[str, bool]:
        event = await request.json()
        task = asyncio.create_task(signalling.answer(client, event, f"ws://127.0.0.1:{port}/media-stream/x"))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return {"ok": True}

    async def media(caller: WebSocket) -> None:
        await serve(caller)

    # Not as decorators with types of this function: FastAPI reads the annotations, which are text here.
    webhook.__annotations__ = {"request": Request}
    media.__annotations__ = {"caller": WebSocket}
    app.add_api_route("/webhooks", webhook, methods=["POST"])
    app.add_api_websocket_route("/media-stream/x", media)
    signalling.say_address(port)
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[bound])
