"""The emulated model misbehaves as asked, and only as asked."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from callflow.sandbox import voices
from callflow.sandbox.openai_realtime import Faults, Pace, Quirks, Realtime, Script, Session, Turn, serve
from callflow.sandbox.openai_realtime.control_api import ControlServer
from callflow.sandbox.openai_realtime.script import encode, tone
from tests.sandbox.test_openai_realtime import VAD, Client, connected, hold, in_order


async def status(realtime: Realtime, path: str = "/v1/realtime?model=gpt-realtime-2.1", **headers: str) -> int:
    """The HTTP status of a handshake."""
    root = realtime.url.removesuffix("/v1/realtime")
    try:
        async with connect(root + path, additional_headers={"Authorization": "Bearer sk-sandbox"} | headers):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_handshakes() -> None:
    async with asyncio.timeout(5), Realtime() as realtime:
        assert await status(realtime) == 101
        assert await status(realtime, Authorization="Bearer sk-wrong") == 401
        assert await status(realtime, Authorization="Basic c2s=") == 401
        assert await status(realtime, "/v1/realtime?call_id=rtc_1") == 404
        assert await status(realtime, "/v1/realtime") == 400
        assert realtime.connections_attempted == 5
        assert await status(realtime, "/v1/chat") == 404
        realtime.faults = Faults(refuse_next=2, refuse_status=429)
        assert [await status(realtime) for _ in range(3)] == [429, 429, 101]
        realtime.faults = Faults(refuse_next=-1, only_connections=[10])
        assert [await status(realtime) for _ in range(3)] == [101, 503, 101]


@pytest.mark.parametrize("how", [{"OpenAI-Beta": "realtime=v1"}, {"Sec-WebSocket-Protocol": "openai-beta.realtime-v1"}])
async def test_the_beta_interface_is_gone(how: dict[str, str]) -> None:
    async with asyncio.timeout(5), Realtime() as realtime:
        headers = {"Authorization": "Bearer sk-sandbox"} | how
        async with connect(f"{realtime.url}?model=gpt-realtime-2.1", additional_headers=headers) as socket:
            error = json.loads(await socket.recv())["error"]
            assert error["code"] == "beta_api_shape_disabled"
            await socket.wait_closed()
            assert socket.close_code == 4000
            assert socket.close_reason == "invalid_request_error.beta_api_shape_disabled"


async def test_a_browser_brings_its_key_as_a_subprotocol() -> None:
    async with asyncio.timeout(5), Realtime() as realtime:
        offered: Any = ["realtime", "openai-insecure-api-key.sk-sandbox"]
        async with connect(f"{realtime.url}?model=gpt-realtime-2.1", subprotocols=offered) as socket:
            assert socket.subprotocol == "realtime"


def test_a_session_that_never_begins_or_never_confirms() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.send("session.update", session={"type": "realtime", "instructions": "Hi."})
        await session.wait_for("session.update")
        await client.ask("response.cancel")
        assert client.types() == ["error"]
        assert session.config["instructions"] == "Hi."

    hold(talk, faults=Faults(no_session_created=True, no_session_updated=True))


def test_refused_updates() -> None:
    async def talk(client: Client, session: Session) -> None:
        update = {"type": "realtime", "audio": {"input": {"transcription": {"model": "gpt-transcribe"}}}}
        await client.ask("session.update", session=update)
        await client.ask("session.update", session={"type": "realtime"})
        assert client.types() == ["session.created", "error", "error"]
        await client.send("session.update", session={"type": "realtime"})
        await client.get("session.updated")
        assert session.violations == [], "it was not the client's fault"

    hold(talk, faults=Faults(refuse_session_update=1, refuse_transcription=True))


@pytest.mark.parametrize("code", [None, 1011])
def test_dropped_after_so_many_frames(code: int | None) -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.send("response.create")
        assert await session.wait_closed() == (code or 1006)
        await client.socket.wait_closed()
        assert len(client.events) <= 5
        assert session.frames_sent == 5

    hold(talk, faults=Faults(drop_after_events=5, close_code=code))


def test_dropped_after_some_time_and_by_hand() -> None:
    async def talk(client: Client, session: Session) -> None:
        assert await session.wait_closed() == 1013
        await client.socket.wait_closed()

    hold(talk, faults=Faults(drop_after_s=0.02, close_code=1013, close_reason="try again"))

    async def dropped(client: Client, session: Session) -> None:
        await client.get("session.created")
        session.drop()
        await client.socket.wait_closed()
        assert await session.wait_closed() == client.socket.close_code == 1006

    hold(dropped)


def test_a_mute_model_still_hears() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure()
        await client.send("response.create")
        await client.hear(voices.load("caller/thanks") + b"\xff" * 8000)
        await client.get("conversation.item.done")
        assert "response.created" not in client.types()

    hold(talk, faults=Faults(mute=True))
    hold(talk, script=Script.silent())


def test_rate_limited_answers_use_up_no_turn() -> None:
    async def talk(client: Client, session: Session) -> None:
        for n in (1, 2):
            await client.send("response.create")
            await client.get("response.done", n)
        failed, said = (one["response"] for one in client.of("response.done"))
        assert failed["status"] == "failed"
        assert failed["status_details"]["error"]["code"] == "inference_rate_limit_exceeded"
        assert failed["usage"]["total_tokens"] == 0
        assert said["output"][0]["content"][0]["transcript"] == voices.TEXTS["agent/greeting"]

    hold(talk, faults=Faults(rate_limit_next=1))


def test_a_fatal_error_comes_with_the_first_response() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure()
        error = await client.ask("response.create", event_id="mine")
        assert (error["code"], error["event_id"]) == ("insufficient_quota", None)
        await client.socket.wait_closed()
        assert client.socket.close_code == 4000

    hold(talk, faults=Faults(fatal_error="insufficient_quota"))


def test_a_missing_response_created() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.send("response.create")
        await client.get("response.done")
        assert "response.created" not in client.types()

    hold(talk, faults=Faults(skip_response_created=1))


def test_one_answer_as_several_messages() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure()
        await client.send("response.create")
        done = (await client.get("response.done"))["response"]
        assert len(done["output"]) == 3
        said = " ".join(item["content"][0]["transcript"] for item in done["output"])
        assert said == voices.TEXTS["agent/hours"]
        assert client.audio() == voices.load("agent/hours")
        assert {one["output_index"] for one in client.of("response.output_audio.delta")} == {0, 1, 2}

    hold(talk, script=Script.of(Turn.voice("agent/hours")), faults=Faults(messages_per_response=3))


def sizes(client: Client) -> list[int]:
    return [len(b64decode(one["delta"])) for one in client.of("response.output_audio.delta")]


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        (Faults(), [480, 960, 1600, 3200, 1760]),
        (Faults(oversized_deltas=True), [8000]),
        (Faults(odd_deltas=True), [1001] * 7 + [993]),
        (Faults(wrong_output_format=True), [2880, 5760, 9600, 19200, 10560]),
    ],
)
def test_deltas(faults: Faults, expected: list[int]) -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure()
        await client.send("response.create")
        done = (await client.get("response.done"))["response"]
        assert sizes(client) == expected
        assert done["audio"]["output"]["format"] == {"type": "audio/pcmu"}, "that is what it says"
        sent = encode(tone(1.0), "audio/pcm") if faults.wrong_output_format else tone(1.0)
        assert client.audio() == sent

    hold(talk, script=Script.tone(1.0), pace=Pace.instant(delta_ms=[60, 120, 200, 400]), faults=faults)


def test_a_slow_first_byte() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.send("response.create")
        await client.get("response.created")
        await client.send("response.cancel")
        done = (await client.get("response.done"))["response"]
        assert (done["status"], done["output"]) == ("cancelled", [])

    hold(talk, faults=Faults(first_byte_ms=60_000))


def test_broken_frames() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.send("response.create")
        await client.get("response.done")
        assert "response.telepathy.delta" in client.types()
        assert any(isinstance(frame, bytes) for frame in client.odd_frames)
        assert any(isinstance(frame, str) for frame in client.odd_frames)
        assert client.of("session.created")[0]["phase_of_the_moon"]
        assert client.of("response.output_audio_transcript.done")[0]["transcript"] is None
        error = await client.ask("conversation.item.delete", item_id="x", event_id="mine")
        assert (error["event_id"], error["message"]) == (None, None)

    faults = Faults(
        unknown_events=True, invalid_json=True, binary_frames=True, null_fields=True, error_event_id_null=True
    )
    hold(talk, faults=faults, check=False)


def test_beta_names() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.send("response.create")
        await client.get("response.done")
        assert in_order(
            client.types(),
            "conversation.item.created",
            "response.audio_transcript.delta",
            "response.audio.delta",
            "response.audio.done",
        )
        assert not any("output_audio" in one for one in client.types())

    hold(talk, faults=Faults(beta_names=True), check=False)


def test_odd_defaults_are_only_shown() -> None:
    async def talk(client: Client, session: Session) -> None:
        created = (await client.get("session.created"))["session"]
        assert created["audio"]["input"]["turn_detection"] is None
        assert session.config["audio"]["input"]["turn_detection"] is not None

    hold(talk, faults=Faults(odd_defaults=True), check=False)


def test_failed_transcriptions_and_conversation_created() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.get("conversation.created")
        await client.configure(VAD, transcription={"model": "whisper-1"})
        await client.hear(voices.load("caller/thanks") + b"\xff" * 8000)
        await client.get("conversation.item.input_audio_transcription.failed")

    hold(talk, faults=Faults(transcription_fails=True), quirks=Quirks(conversation_created=True))


@pytest.mark.parametrize("choice", ["start", "before_done", "after_done", "never"])
def test_the_place_of_the_rate_limits(choice: Any) -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.send("response.create")
        await client.get("response.done")
        await client.ask("response.cancel")
        types = client.types()
        places = {
            "start": ("response.created", 1),
            "before_done": ("response.done", -1),
            "after_done": ("response.done", 1),
        }
        if choice == "never":
            assert "rate_limits.updated" not in types
        else:
            beside, offset = places[choice]
            assert types.index("rate_limits.updated") == types.index(beside) + offset

    hold(talk, quirks=Quirks(rate_limits=choice))


async def test_faults_over_http() -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(8))
        realtime = await stack.enter_async_context(Realtime(pace=Pace.instant()))
        control = await stack.enter_async_context(ControlServer(realtime, "127.0.0.1", 0))
        web = await stack.enter_async_context(httpx.AsyncClient(base_url=control.url, trust_env=False))
        client = await stack.enter_async_context(connected(realtime))
        answer = await web.put("/sandbox/faults", json={"rate_limit_next": 1, "only_connections": [1]})
        assert answer.json()["rate_limit_next"] == realtime.faults.rate_limit_next == 1
        assert (await web.put("/sandbox/faults", json={"mute": "yes"})).status_code == 422
        assert (await web.put("/sandbox/faults", json={"gravity": True})).status_code == 422
        assert (await web.put("/sandbox/faults", content=b"{")).status_code == 400
        assert (await web.get("/sandbox")).status_code == 404
        await client.send("response.create")
        await client.get("response.done")
        log = (await web.get("/sandbox/log")).json()
        assert log["sessions"][0]["received"] == {"response.create": 1}
        assert log["sessions"][0]["responses"][0]["status"] == "failed"
        assert (await web.delete("/sandbox/faults")).json() == Faults().to_json()
        assert (await web.post("/sandbox/drop")).json() == {"dropped": 1}
        await client.socket.wait_closed()


async def test_serve_prints_what_the_application_needs(capsys: pytest.CaptureFixture[str]) -> None:
    serving = asyncio.create_task(serve(port=0))
    printed = ""
    async with asyncio.timeout(5):
        while "/sandbox/log" not in printed:
            await asyncio.sleep(0)
            printed += capsys.readouterr().out
    assert "OPENAI_REALTIME_URL=ws://127.0.0.1:" in printed
    assert "OPENAI_API_KEY=sk-sandbox" in printed
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
