"""Two machines with one PostgreSQL and a data folder each: operators at one of them have all of the other's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Turn
from callflow.sandbox.telnyx import Telnyx
from tests.e2e.process import ROOT
from tests.e2e.product import until
from tests.e2e.talk import noise
from tests.e2e.test_two_hosts import machine
from tests.history import postgres
from tests.ports import free_port


pytestmark = pytest.mark.process

TOKEN = "the-token-of-the-office-1234"
GREETING = "Good day, this is the harbour office."


@contextlib.asynccontextmanager
async def logs(port: int, cookie: str) -> AsyncIterator[tuple[ClientConnection, list[dict[str, Any]]]]:
    """A `/logs` of a browser that has logged in, and what it has been told."""
    told: list[dict[str, Any]] = []
    headers = {"Cookie": cookie, "Origin": f"http://127.0.0.1:{port}"}
    async with connect(f"ws://127.0.0.1:{port}/logs", additional_headers=headers, proxy=None) as socket:

        async def read() -> None:
            async for message in socket:
                told.append(json.loads(message))  # noqa: PERF401 - each is to be seen as it comes

        reading = asyncio.create_task(read())
        try:
            yield socket, told
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def until_true(
    client: httpx.AsyncClient, path: str, form: Any, what: str, seconds: float, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """Ask until the answer fits."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    answer = await client.get(path, headers=headers)
                    if form(answer):
                        return answer
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"waited {seconds:g} s for {what}") from None


async def test_whoever_logs_in_at_one_machine_has_calls_logs_and_recordings_at_the_other(
    postgresql: str, tmp_path: Path
) -> None:
    database = f"test_{uuid.uuid4().hex}"
    await asyncio.to_thread(postgres.create, postgresql, database)
    of_a, of_b, here, there = (free_port() for _ in range(4))
    greeting = Turn.say(GREETING, noise(1500, 1))
    realtime = Realtime(script=Script.of(greeting, otherwise=Turn.say("Yes.", noise(400, 2))), pace=Pace.instant())
    telnyx = Telnyx(webhook_url=f"http://127.0.0.1:{of_a}/webhooks")
    async with telnyx, realtime, contextlib.AsyncExitStack() as stack:
        env = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "200",
            "OPENAI_API_KEY": realtime.api_key, "OPENAI_REALTIME_URL": realtime.url,
            "TELNYX_API_KEY": telnyx.api_key, "TELNYX_PUBLIC_KEY": telnyx.public_key,
            "TELNYX_API_BASE": telnyx.base_url, "PUBLIC_BASE_URL": f"http://127.0.0.1:{of_a}",
            "DATABASE_URL": postgresql.format(name=database), "CLUSTER_SECRET": "s" * 32, "ADMISSION_LAG_MS": "0",
            "JOURNAL_SECONDS": "2", "DRAIN_SECONDS": "0.5", "RECORD": "true", "CONSOLE_TOKEN": TOKEN,
        }  # fmt: skip
        await stack.enter_async_context(machine("a", of_a, here, tmp_path, env))
        await stack.enter_async_context(machine("b", of_b, there, tmp_path, env))
        a, b = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False, timeout=10)
            )
            for port in (here, there)
        ]
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        for each in (a, b):
            await until_true(each, "/api/nodes", lambda told: len(told.json()["nodes"]) == 2, "both nodes", 30, bearer)
        login = await a.post("/login", json={"token": TOKEN})
        assert login.status_code == 200
        cookie = login.headers["set-cookie"].partition(";")[0]
        b.headers["cookie"] = cookie
        await asyncio.sleep(0.6)  # until each has seen the other

        call = await telnyx.ring()
        await call.phone.hears(0.3, timeout=15)
        live = await until_true(b, "/api/calls/live", lambda told: len(told.json()["live"]) == 1, "the call", 5)
        name = live.json()["live"][0]["id"]
        async with logs(there, cookie) as (socket, told):

            def of(kind: str) -> list[dict[str, Any]]:
                return [each for each in told if each["type"] == kind]

            await until(lambda: of("response.output_audio_transcript.done"), "the words of the call", 10)
            (started,) = of("call.started")
            assert (started["callId"], of("response.output_audio_transcript.done")[0]["transcript"]) == (name, GREETING)
            item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "We close at six."}]}
            stream = started["streamSid"]
            await socket.send(json.dumps({"type": "conversation.item.create", "streamSid": stream, "item": item}))
            await until(lambda: of("request.taken") + of("error"), "an answer", 10)
            assert of("request.taken"), of("error")
            async with b.stream("GET", f"/api/live/{call.control_id}/sse") as lines:
                words = [line async for line in until_line(lines.aiter_lines(), GREETING)]
                assert words
            hour = await b.get("/api/live/hour")
            assert sum(hour.json()["calls"]) == 1
            await call.hang_up()
            await until(lambda: of("call.ended"), "the end", 10)

        path = f"/api/calls/{name}/recording"
        sound = await until_true(b, path, lambda answer: answer.status_code == 200, "the recording", 10)
        files = [folder / "data" / "recordings" / f"{name}.wav" for folder in (tmp_path / "a", tmp_path / "b")]
        assert await asyncio.to_thread(lambda: [file.is_file() for file in files]) == [True, False]
        assert sound.content == await asyncio.to_thread(files[0].read_bytes)
        part = await b.get(path, headers={"Range": "bytes=0-3"})
        assert (part.status_code, part.content, part.headers["content-length"]) == (206, b"RIFF", "4")
        assert (await b.get(f"{path}/peaks")).json()["seconds"] > 0
        assert [each["call"] for each in (await b.get("/api/recordings")).json()] == [name]
        gone = await b.delete(f"/api/conversations/stream/{stream}", headers={"X-Callflow": "console"})
        assert gone.status_code == 200, gone.text
        assert not await asyncio.to_thread(files[0].is_file)
        left = await b.post("/logout", headers={"X-Callflow": "console"})
        assert left.status_code == 200
        assert (await a.get("/api/whoami", headers={"Cookie": cookie})).status_code == 401


async def until_line(lines: AsyncIterator[str], word: str) -> AsyncIterator[str]:
    """Yield the lines with a word, until the first of them."""
    async with asyncio.timeout(10):
        async for line in lines:
            if word in line:
                yield line
                return
