"""A stand-in for the application that the emulated Twilio calls: real sockets, answers by table."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

import httpx
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, Response, request, websocket

from callflow.sandbox.twilio import Timing, Twilio


PUBLIC: Final = "https://phone.example"
STREAM: Final = (
    f'<Connect><Stream url="wss://phone.example/media" name="one" statusCallback="{PUBLIC}/stream">'
    '<Parameter name="token" value="t"/></Stream></Connect>'
)


def response(*verbs: str) -> str:
    return f"<Response>{''.join(verbs)}</Response>"


@dataclass
class Product:
    """What it answers by path: the text of a document; a status; seconds to wait; or a Quart response."""

    twilio: Twilio
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], dict[str, str]]] = field(default_factory=list)
    """Path, parameters, headers of each request."""
    queries: list[str] = field(default_factory=list)
    sockets: list[Any] = field(default_factory=list)
    frames: list[dict[str, Any]] = field(default_factory=list)
    """All that came on media sockets."""
    handshakes: list[dict[str, str]] = field(default_factory=list)
    refuse: int = 0
    """The status with which handshakes are refused."""
    close_at: str = ""
    """The event behind which the product closes the socket."""
    send_at_start: list[Any] = field(default_factory=list)
    """Frames sent after `start`; "$" stands for the stream's sid; bytes and text go as they are."""

    async def until(self, condition: Callable[[], object]) -> None:
        """Polls: what arrives here has no event of its own."""
        try:
            async with asyncio.timeout(5):
                while not condition():  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"waited in vain; {self.twilio.exchange.story()}; {self.frames[-5:]}") from None

    def of(self, path: str) -> list[dict[str, str]]:
        return [params for asked, params, _ in self.asked if asked == path]

    async def rest(self, method: str, path: str, **options: Any) -> httpx.Response:
        auth = options.pop("auth", (self.twilio.account_sid, self.twilio.auth_token))
        url = f"{self.twilio.base_url}/2010-04-01/Accounts/{self.twilio.account_sid}{path}"
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.request(method, url, auth=auth, **options)


def _app(product: Product) -> Quart:
    app = Quart("product")

    @app.websocket("/media")
    async def media() -> Any:
        product.handshakes.append({name.lower(): value for name, value in websocket.headers.items()})
        if product.refuse:
            return "no", product.refuse
        await websocket.accept()
        product.sockets.append(websocket._get_current_object())  # type: ignore[attr-defined]
        while True:
            frame = json.loads(await websocket.receive())
            product.frames.append(frame)
            if frame["event"] == "start":
                for each in product.send_at_start:
                    raw = isinstance(each, bytes | str)
                    await websocket.send(each if raw else json.dumps(each).replace("$", frame["streamSid"]))
            if frame["event"] == product.close_at:
                return None

    @app.route("/<path:path>", methods=["GET", "POST"])
    async def any_path(path: str) -> Any:
        raw: Any = await request.get_data(as_text=True)
        product.queries.append(request.query_string.decode())
        text: str = raw if request.method == "POST" else request.query_string.decode()
        params = dict(parse_qsl(text, keep_blank_values=True))
        headers = {name.lower(): value for name, value in request.headers.items()}
        product.asked.append((f"/{path}", params, headers))
        answer = product.answers.get(f"/{path}", 204)
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            answer = 204
        if isinstance(answer, int):
            return Response("", status=answer)
        if isinstance(answer, str):
            return Response(answer, content_type="text/xml")
        return answer

    return app


@contextlib.asynccontextmanager
async def product(
    *documents: str, timing: Timing | None = None, status: str = "/status", fallback: str = "", **answers: Any
) -> AsyncIterator[Product]:
    """An application whose VoiceUrl /voice answers with these verbs; `answers`: other paths, without the slash."""
    times = timing or Timing(speak_s_per_char=0.002, playback_s=0.02, pause_scale=0.05, ring_s=0.01, retry_pause_s=0.01)
    twilio = Twilio(PUBLIC, voice="/voice", status=status, fallback=fallback, timing=times)
    the = Product(twilio, {f"/{name}": answer for name, answer in answers.items()})
    if documents:
        the.answers["/voice"] = response(*documents)
    over = asyncio.Event()
    config = Config()
    listening = socket.create_server(("127.0.0.1", 0))
    config.bind = [f"fd://{listening.fileno()}"]
    config.graceful_timeout = 0.05
    serving = asyncio.create_task(serve(_app(the), config, shutdown_trigger=over.wait))
    twilio.server = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        async with twilio:
            yield the
            assert twilio.failures == [], "the emulator itself failed"
    finally:
        over.set()
        await serving
        with contextlib.suppress(OSError):
            listening.close()


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)
