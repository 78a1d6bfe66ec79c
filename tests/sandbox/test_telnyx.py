"""The emulator as a whole: its life, its record, its use on its own, its appetite."""

from __future__ import annotations

import asyncio
import io
import socket as sockets
import time
import wave
from pathlib import Path
from time import monotonic

import httpx
import pytest

from callflow.media.g711 import ulaw_to_pcm16
from callflow.sandbox.common.phone import Phone, tone
from callflow.sandbox.telnyx import Faults, Telnyx, serve
from tests.sandbox.telnyx_product import Socket, product, run


def test_a_conversation_is_on_the_record_and_in_the_wav(tmp_path: Path) -> None:
    async def body() -> None:
        async with product() as app:
            phone = Phone()
            phone.say(tone(100))
            call, socket = await app.answered(phone=phone)
            await phone.spoken(timeout=2)
            await socket.play(tone(100, hz=900))
            await phone.hears(0.1)
            await call.hang_up()
            await app.told("call.hangup")
            phone.write_wav(tmp_path / "call.wav")
            assert call.ended_at is not None
            with wave.open(str(tmp_path / "call.wav")) as wav:
                assert wav.getnchannels() == 2
                assert wav.getnframes() / 8000 == pytest.approx(call.ended_at - call.started_at, abs=0.001)
            log = app.telnyx.log()
            assert [each["action"] for each in log["commands"]] == ["answer"]
            assert {each["event_type"] for each in log["deliveries"]} >= {"call.initiated", "call.hangup"}

    run(body)


def test_close_leaves_nothing_behind() -> None:
    async def body() -> None:
        async with product() as app:
            telnyx = app.telnyx
            app.pause_s = 0.1
            for _ in range(3):
                call, _ = await app.answered()
                await app.command(call, "speak", payload="x" * 1000, voice="AWS.Polly.Joanna")
            app.pause_s = 30
            await telnyx.ring()
            port = int(telnyx.base_url.split(":")[2].split("/")[0])
            begin = monotonic()
            await telnyx.close()
            assert monotonic() - begin < 1
            left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("telnyx sandbox")]
            assert left == []
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            for each in app.sockets:
                await each.closed.wait()
            assert telnyx.exchange.tasks.failures == []

    run(body)


def test_timeouts_say_what_happened_instead() -> None:
    async def body() -> None:
        async with product() as app:
            app.answers = [403]
            call = await app.telnyx.ring()
            await app.telnyx.until(lambda: app.telnyx.deliveries and app.telnyx.deliveries[0].status)
            with pytest.raises(TimeoutError, match=r"not answered.*ringing.*call.initiated attempt 1: 403"):
                await call.wait_answered(timeout=0.01)
            with pytest.raises(TimeoutError, match="incoming call"):
                await app.telnyx.until(lambda: False, timeout=0.01)

    run(body)


def test_faults_from_json() -> None:
    faults = Faults.from_json({"link_ms": 5, "api": [{"action": "answer", "status": 500}]})
    assert Faults.from_json(faults.to_json()) == faults
    with pytest.raises(ValueError, match="no such fault: lag"):
        Faults.from_json({"lag": 1})
    with pytest.raises(ValueError, match="link_ms"):
        Faults.from_json({"link_ms": "long"})
    with pytest.raises(ValueError, match="garbage"):
        Faults.from_json({"garbage": ["paper"]})
    with pytest.raises(ValueError, match="api"):
        Faults.from_json({"api": [{"verb": "answer"}]})


def test_on_its_own_it_is_steered_by_http(capsys: pytest.CaptureFixture[str]) -> None:
    with sockets.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def body() -> None:
        async with product() as app:
            serving = asyncio.create_task(serve("127.0.0.1", port, app.telnyx.webhook_url, "KEY_own"))
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False) as http:
                while True:
                    try:
                        key = (await http.get("/sandbox/key")).json()
                        break
                    except httpx.ConnectError:
                        await asyncio.sleep(0.005)
                ids = (await http.post("/sandbox/ring", json={"from": "+15550100007"})).json()
                await app.told("call.initiated")
                assert app.payload("call.initiated")["from"] == "+15550100007"
                path = f"/sandbox/calls/{ids['call_control_id']}"
                auth = {"Authorization": f"Bearer {key['api_key']}"}
                answer = f"/v2/calls/{ids['call_control_id']}/actions/answer"
                assert (await http.post(answer, json=app.streaming(), headers=auth)).status_code == 200
                wav = io.BytesIO()
                with wave.open(wav, "wb") as out:
                    out.setparams((1, 2, 8000, 0, "NONE", ""))
                    out.writeframes(ulaw_to_pcm16(tone(100)))
                assert (await http.post(f"{path}/say", content=wav.getvalue())).status_code == 200
                await app.told("streaming.started")
                media: Socket = app.sockets[0]
                await media.until(lambda: len(media.of("media")) >= 8)
                assert (await http.post(f"{path}/press", json={"digit": "1"})).status_code == 200
                faults = {"webhook_drop": ["call.hangup"]}
                assert (await http.put("/sandbox/faults", json=faults)).json()["webhook_drop"] == ["call.hangup"]
                assert (await http.put("/sandbox/faults", json={"x": 1})).status_code == 400
                assert (await http.put("/sandbox/faults", content=b"{")).status_code == 400
                assert (await http.get("/sandbox/nothing")).status_code == 404
                assert (await http.post(f"{path}/hang_up")).json() == {"state": "ended"}
                assert "ended by the caller" in (await http.get("/sandbox/calls")).json()["calls"][0]["story"]
                log = (await http.get("/sandbox/log")).json()
                assert log["commands"][0]["action"] == "answer"
                assert log["deliveries"][0]["status"] == 200
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            assert key["public_key"] in capsys.readouterr().out

    run(body)


def test_forty_calls_both_ways_use_well_under_a_core() -> None:
    async def body() -> None:
        async with product() as app:
            phones = [Phone(source=lambda chunk: bytes([chunk & 0xFF]) * 160) for _ in range(40)]
            calls = [await app.telnyx.ring(phone=phone) for phone in phones]
            for call in calls:
                await app.command(call, "answer", **app.streaming())
            for call in calls:
                await call.wait_streaming()
            pong = asyncio.create_task(_echo_all(app.sockets))
            cpu, wall = time.process_time(), monotonic()
            before = sum(phone.frames_taken for phone in phones)
            await asyncio.sleep(1.0)
            frames = sum(phone.frames_taken for phone in phones) - before
            used = (time.process_time() - cpu) / (monotonic() - wall)
            pong.cancel()
            assert frames / 40 / (monotonic() - wall) == pytest.approx(50, rel=0.1)
            assert sum(len(call.streams[0].log_in) for call in calls) > frames * 0.5
            # This counts the application of the test as well, which is at least half of it.
            assert used < 0.9

    run(body)


async def _echo_all(media: list[Socket]) -> None:
    async def echo(each: Socket) -> None:
        while True:
            await each.until(lambda: each.raw)
            messages, each.raw[:] = each.raw[:], []
            for message in messages:
                if isinstance(message, str) and '"media"' in message:
                    payload = message.rsplit('"payload":"', 1)[1].split('"', 1)[0]
                    await each.ws.send(f'{{"event":"media","media":{{"payload":"{payload}"}}}}')

    await asyncio.gather(*(echo(each) for each in media))


def test_two_emulators_have_keys_of_their_own() -> None:
    assert Telnyx(webhook_url="").public_key != Telnyx(webhook_url="").public_key
