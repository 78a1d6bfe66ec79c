"""The least that any relay must do, for `scripts/bench` to compare with: a bare splice of the two sockets.

It finds the audio of a frame by two searches and puts it into a frame for the other side: no parsing, no state, no
marks, no pacing, no journal. It is no product: a caller who interrupts is not noticed. Both sockets are picows, without
a task switch between them, so its cost is close to that of the sockets alone.

Reads TELNYX_API_BASE, TELNYX_API_KEY, OPENAI_API_KEY and OPENAI_REALTIME_URL; prints its address as the server does.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

import httpx
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_connect, ws_create_server

from callflow import runtime
from callflow.cli.bench import signalling


_PAYLOAD: Final = b'"payload":"'
_DELTA: Final = b'"delta":"'
_AUDIO: Final = b'"response.output_audio.delta"'
_TEXT: Final = WSMsgType.TEXT


class _Engine(WSListener):
    """The engine's socket of one call."""

    def __init__(self, caller: WSTransport) -> None:
        self._caller = caller

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Pass audio on to the caller."""
        text = frame.get_payload_as_bytes()
        if _AUDIO in text:
            start = text.index(_DELTA) + len(_DELTA)
            audio = text[start : text.index(b'"', start)]
            self._caller.send(_TEXT, b'{"event":"media","media":{"payload":"' + audio + b'"}}')

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """End the call with the engine."""
        self._caller.disconnect()


class _Caller(WSListener):
    """The carrier's socket of one call."""

    def __init__(self) -> None:
        self._engine: WSTransport | None = None
        self._opening: asyncio.Task[None] | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Connect to the engine."""
        self._opening = asyncio.get_running_loop().create_task(self._open(transport))

    async def _open(self, caller: WSTransport) -> None:
        headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
        url = f"{os.environ['OPENAI_REALTIME_URL']}?model=gpt-realtime"
        engine, _ = await ws_connect(lambda: _Engine(caller), url, extra_headers=headers)
        engine.send(_TEXT, signalling.SESSION.encode())
        engine.send(_TEXT, signalling.GREETING.encode())
        self._engine = engine

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Pass audio on to the engine."""
        text = frame.get_payload_as_bytes()
        start = text.find(_PAYLOAD)
        if start >= 0 and self._engine is not None:
            start += len(_PAYLOAD)
            audio = text[start : text.index(b'"', start)]
            self._engine.send(_TEXT, b'{"type":"input_audio_buffer.append","audio":"' + audio + b'"}')

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """End the engine's session with the call."""
        if self._engine is not None:
            self._engine.disconnect()


async def _serve() -> None:
    def caller(request: WSUpgradeRequest) -> WSListener:
        return _Caller()

    media = await ws_create_server(caller, "127.0.0.1", 0, enable_auto_pong=True)
    stream = f"ws://127.0.0.1:{media.sockets[0].getsockname()[1]}/media-stream/x"
    async with httpx.AsyncClient(trust_env=False) as client:

        async def answer(event: dict[str, Any]) -> None:
            await signalling.answer(client, event, stream)

        async with await signalling.webhooks(answer):
            await asyncio.Event().wait()


def main() -> int:
    """Serve until the process is killed."""

    async def forever() -> int:
        await _serve()
        return 0

    return runtime.run(forever())


if __name__ == "__main__":
    main()
