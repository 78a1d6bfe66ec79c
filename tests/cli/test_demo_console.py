"""`demo --console`: a server of its own, with a page and a phone in it, until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from callflow.sandbox.common.phone import is_loud
from tests.cli.test_demo import start


@pytest.mark.process
async def test_it_prints_its_address_its_phone_is_answered_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    play = start(tmp_path, "--console")
    try:
        assert play.stdout is not None
        first = await asyncio.to_thread(play.stdout.readline)
        found = re.search(r"http://127\.0\.0\.1:\d+/", first)
        assert found is not None, first
        async with httpx.AsyncClient(base_url=found[0]) as client:
            about = (await client.get("/api/phone")).json()
            assert about == {
                "available": True, "carrier": "Telnyx", "to": "+15550100002", "model": "emulated", "numbers": [],
                "needs_token": False,
            }  # fmt: skip
        async with asyncio.timeout(20), connect(f"{found[0].replace('http', 'ws')}api/phone") as socket:
            told, is_heard = [], False
            while not is_heard:
                message = await socket.recv()
                if isinstance(message, str):
                    told.append(json.loads(message)["type"])
                else:
                    is_heard = is_loud(message)
            assert told == ["ringing", "answered"]
            await socket.send('{"type": "hangup"}')
            while True:
                message = await socket.recv()
                if isinstance(message, str):
                    break
            assert json.loads(message) == {"type": "over", "by": "caller"}
        play.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(play.wait, 15) in (0, 130)
    finally:
        play.kill()
        play.communicate()
