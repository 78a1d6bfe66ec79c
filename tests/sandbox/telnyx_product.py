"""A tiny application for the emulated Telnyx to talk to: webhooks in, commands out, one media WebSocket server."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import httpx
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from callflow.sandbox.common.http_server import HttpServer, Request, Response, Tasks
from callflow.sandbox.telnyx import Call, Faults, Telnyx, Timing


FAST = Timing(
    answer_s=0.01,
    ring_s=0.02,
    no_answer_s=0.05,
    hangup_webhook_s=0.005,
    speak_s_per_char=0.01,
    playback_s=0.1,
    webhook_timeout_s=0.8,
    webhook_retries_s=(0.03, 0.05),
)


EARLY_S = 0.0005
LATE_S = 0.1
"""How late a busy machine may notice something; never may it be early."""


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Runs the body of a test on a new event loop; it may take 10 s."""

    async def bounded() -> None:
        async with asyncio.timeout(10):
            await test()

    asyncio.run(bounded())


@dataclass
class Socket:
    """One media socket, seen from the application."""

    ws: ServerConnection
    frames: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    raw: list[str | bytes] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, event: str) -> list[dict[str, Any]]:
        return [frame for _, frame in self.frames if frame.get("event") == event]

    def times(self, event: str) -> list[float]:
        return [at for at, frame in self.frames if frame.get("event") == event]

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.arrived.clear()
            await self.arrived.wait()

    async def send(self, **frame: Any) -> None:
        await self.ws.send(json.dumps(frame))

    async def play(self, audio: bytes) -> None:
        await self.send(event="media", media={"payload": base64.b64encode(audio).decode()})

    async def mark(self, name: str) -> None:
        await self.send(event="mark", mark={"name": name})


@dataclass
class Product:
    """`answers` are the status codes for the next webhooks; then 200."""

    telnyx: Telnyx
    http: httpx.AsyncClient
    stream_url: str = ""
    webhooks: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    pause_s: float = 0.0
    sockets: list[Socket] = field(default_factory=list)
    handshakes: list[dict[str, str]] = field(default_factory=list)
    reading: bool = True
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def on_webhook(self, request: Request) -> Response:
        self.requests.append(request)
        try:
            self.webhooks.append(json.loads(request.body))
        except ValueError:
            pass  # a hostile one; it is among the requests
        self.arrived.set()
        if self.pause_s:
            await asyncio.sleep(self.pause_s)
        status = self.answers.pop(0) if self.answers else 200
        return Response(status, headers={"location": "/elsewhere"} if status == 302 else {})

    async def on_socket(self, ws: ServerConnection) -> None:
        socket = Socket(ws)
        assert ws.request is not None
        self.handshakes.append({name.lower(): value for name, value in ws.request.headers.raw_items()})
        self.sockets.append(socket)
        try:
            while self.reading:
                message = await ws.recv()
                socket.raw.append(message)
                try:
                    frame = json.loads(message)
                except ValueError:
                    frame = {}
                if isinstance(frame, dict):
                    socket.frames.append((monotonic(), frame))
                socket.arrived.set()
            await ws.wait_closed()
        except ConnectionClosed:
            pass
        finally:
            socket.closed.set()

    def events(self) -> list[str]:
        return [each["data"]["event_type"] for each in self.webhooks]

    def payload(self, event_type: str) -> dict[str, Any]:
        payload = next(each["data"]["payload"] for each in self.webhooks if each["data"]["event_type"] == event_type)
        assert isinstance(payload, dict)
        return payload

    async def told(self, *event_types: str) -> None:
        while not set(event_types) <= set(self.events()):
            self.arrived.clear()
            await self.arrived.wait()

    async def command(self, call: Call | str, action: str, **body: Any) -> httpx.Response:
        control_id = call if isinstance(call, str) else call.control_id
        method = "PUT" if action == "client_state_update" else "POST"
        return await self.http.request(method, f"/calls/{control_id}/actions/{action}", json=body)

    def streaming(self, **more: Any) -> dict[str, Any]:
        """The streaming parameters that a voice agent wants."""
        return {
            "stream_url": self.stream_url,
            "stream_track": "inbound_track",
            "stream_codec": "PCMU",
            "stream_bidirectional_mode": "rtp",
            "stream_bidirectional_codec": "PCMU",
            "stream_bidirectional_target_legs": "self",
        } | more

    async def answered(self, *, start: bool = True, **more: Any) -> tuple[Call, Socket]:
        """A call that rings, is answered, and streams."""
        ring = {name: more.pop(name) for name in ("phone", "codec", "faults") if name in more}
        call = await self.telnyx.ring(**ring)
        response = await self.command(call, "answer", **self.streaming(**more))
        assert response.status_code == 200, response.text
        if start:
            await call.wait_streaming()
        await self.telnyx.until(lambda: self.sockets)
        return call, self.sockets[-1]


@asynccontextmanager
async def product(*, faults: Faults | None = None, timing: Timing = FAST) -> AsyncIterator[Product]:
    """An emulated Telnyx and an application, connected. Fails when the emulator itself failed."""
    tasks = Tasks("product")
    app: Product | None = None

    async def on_webhook(request: Request) -> Response:
        assert app is not None
        return await app.on_webhook(request)

    async def on_socket(ws: ServerConnection) -> None:
        assert app is not None
        await app.on_socket(ws)

    listener = HttpServer(on_webhook, "127.0.0.1", 0, tasks)
    await listener.start()
    try:
        async with serve(on_socket, "127.0.0.1", 0, close_timeout=0.1) as media:
            media_port = next(iter(media.sockets)).getsockname()[1]
            webhook_url = f"http://127.0.0.1:{listener.port}/webhooks"
            async with Telnyx(webhook_url=webhook_url, faults=faults, timing=timing) as telnyx:
                headers = {"Authorization": f"Bearer {telnyx.api_key}"}
                client = httpx.AsyncClient(base_url=telnyx.base_url, headers=headers, trust_env=False, verify=False)
                async with client as http:
                    app = Product(telnyx, http, f"ws://127.0.0.1:{media_port}/media-stream/token")
                    yield app
    finally:
        await listener.close()
        await tasks.close()
    assert [*telnyx.failures, *tasks.failures] == []


def error_of(response: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and pointer of a refusal; checks its documented shape."""
    (error,) = response.json()["errors"]
    assert set(error) >= {"code", "title", "detail"}
    assert isinstance(error["code"], str)
    assert error["code"].isdigit()
    return response.status_code, error["code"], error.get("source", {}).get("pointer")
