"""An innocent call beside an attack: the server as a process of its own, a caller whose every frame comes back at once,
and how long the slowest of them took."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from callflow.cli.bench.relay import Probe
from callflow.contracts.events import LegIds
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import Realtime, Script
from callflow.sandbox.telnyx import Call, Telnyx
from callflow.switchboard.call_ids import call_id
from tests.e2e.process import Process, serving
from tests.e2e.product import until
from tests.e2e.talk import clock


GAP_MS = 60.0
"""So late may a frame of an innocent call be, more than the test itself is late."""
_TRIES = 4
Result = TypeVar("Result")


@dataclass
class Battle:
    process: Process
    telnyx: Telnyx
    realtime: Realtime
    probe: Probe
    call: Call
    port: int

    async def unharmed(self, what: str, attack: Callable[[], Awaitable[Result]], *, settle: float = 0.3) -> Result:
        """The innocent call goes on without a gap while this is done, and for a moment after it.

        A gap that is not there again when the attack is repeated was this machine's: it has other work."""
        gaps = []
        for _ in range(_TRIES):
            await until(lambda: self._waits(*_just_now()), "the innocent call's frames to come back", 10)
            usual = statistics.median(self._waits(*_just_now()))
            async with clock() as own:
                began = time.monotonic()
                result = await attack()
                await asyncio.sleep(settle)  # what the attack has set in motion
                ended = time.monotonic()
                await self._until_back(ended)
            gaps.append(round(max(self._waits(began, ended)) - usual - own.stall_ms))
            if gaps[-1] < GAP_MS:
                return result
        raise AssertionError(f"{what}: each time a frame of an innocent call was late, by {gaps} ms")

    async def _until_back(self, until_: float) -> None:
        """Every frame that was sent until then has come back."""

        def missing() -> int:
            return sum(at < until_ and chunk not in self.probe.returned for chunk, at in self._settled())

        await until(lambda: not missing(), "the innocent call's frames to come back", 10)

    def _settled(self) -> list[tuple[int, float]]:
        """The frames since the first that came back."""
        first = min(self.probe.returned, default=1 << 60)
        return [(chunk, at) for chunk, at in self.probe.sent.items() if chunk >= first]

    def _waits(self, began: float, ended: float) -> list[float]:
        """How long each frame that was sent between these times took to come back, in ms."""
        back = self.probe.returned
        return [(back[chunk] - at) * 1000 for chunk, at in self._settled() if began <= at < ended and chunk in back]

    async def three_calls(self) -> None:
        """Three ordinary calls afterwards are on record in full."""
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            base = f"http://127.0.0.1:{await self.process.console_port()}"
            for number in range(3):
                caller = f"+1555010{1000 + number}"
                call = await self.telnyx.ring(from_number=caller)
                await call.wait_streaming()
                await call.hang_up()
                await self._on_record(client, base, call_id("telnyx", LegIds(call.control_id, call.leg_id)))
            health = (await client.get(f"{base}/health")).json()
            assert health["ok"] is True
            assert health["journal"]["ok"] is True, health
            assert health["journal"].get("lost", 0) == 0, health

    async def _on_record(self, client: httpx.AsyncClient, base: str, call: str) -> None:
        kinds: set[str] = set()
        whole = {"began", "call_initiated", "call_answered", "media_started", "call_hangup", "ended"}
        async with asyncio.timeout(10):
            while not whole <= kinds:
                await asyncio.sleep(0.02)  # another process has no event for us
                answer = await client.get(f"{base}/api/calls/{call}")
                if answer.status_code == 200 and answer.json()["conversation"]:
                    kinds = {record["event"]["event"] for record in answer.json()["entries"]}

    async def raw(self, data: bytes, *, answer: bool = True) -> bytes:
        """Bytes to the carriers' port; what came back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            await writer.drain()
            return await asyncio.wait_for(reader.read(1 << 16), 10) if answer else b""
        finally:
            writer.close()

    async def post(self, path: str, body: bytes, **headers: str) -> bytes:
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        request = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{head}\r\n"
        return await self.raw(request.encode("latin-1") + body)


@contextlib.asynccontextmanager
async def battle(**env: Any) -> AsyncIterator[Battle]:
    """Twilio is set up beside Telnyx, so that the doors of both are there."""
    probe = Probe(1)

    def on_echo(payload: str) -> None:
        probe.on_echo(base64.b64decode(payload[:8]), time.monotonic())

    telnyx = Telnyx(webhook_url="http://127.0.0.1:9/webhooks", api_key="KEY_sandbox")
    realtime = Realtime(script=Script.echoing(on_echo), keep_audio=False)
    twilio: dict[str, Any] = {
        "TWILIO_ACCOUNT_SID": "AC" + "1" * 32,
        "TWILIO_AUTH_TOKEN": "2" * 32,
        "TWILIO_API_BASE": "http://127.0.0.1:9",
    }
    async with serving(telnyx, realtime, **(twilio | env)) as process:
        call = await telnyx.ring(phone=Phone(source=probe.frame, on_media=probe.on_media))
        await call.wait_streaming(20)
        await until(lambda: len(probe.returned) > 50, "the innocent call to flow", 10)
        one = Battle(process, telnyx, realtime, probe, call, await process.public_port())
        yield one
        await one.three_calls()
        await call.hang_up()
        assert "Traceback" not in process.said(), process.said()


def _just_now() -> tuple[float, float]:
    now = time.monotonic()
    return now - 0.5, now - 0.1
