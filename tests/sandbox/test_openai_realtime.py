"""A session with the emulated model: the order of events, what it hears and says, and how it ends.

`Client` speaks the protocol with nothing but `websockets`, and holds every event that it gets against the typed models
of the `openai` package and, when CALLFLOW_SCHEMAS names their folder, against the JSON Schemas.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from callflow.sandbox import voices
from callflow.sandbox.openai_realtime import Call, Faults, Pace, Quirks, Realtime, Say, Script, Session, Turn
from callflow.sandbox.openai_realtime.script import encode, tone


PCMU = {"type": "audio/pcmu"}
SECOND = b"\xff" * 8000
VAD = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
Check = Callable[[dict[str, Any]], None]


@cache
def oracles() -> tuple[Check, ...]:
    """What every server event has to satisfy."""
    checks: list[Check] = []
    try:
        from openai.types.realtime import RealtimeServerEvent
        from pydantic import TypeAdapter
    except ImportError:
        pass
    else:
        typed: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)

        def typed_model(event: dict[str, Any]) -> None:
            assert typed.validate_python(event).type == event["type"]

        checks.append(typed_model)
    folder = os.environ.get("CALLFLOW_SCHEMAS")
    if folder:
        from jsonschema import Draft202012Validator

        text = (Path(folder) / "openai" / "server-events.schema.json").read_text("utf-8")
        checks.append(Draft202012Validator(json.loads(text)).validate)
    return tuple(checks)


class Client:
    """A bare client: sends events, keeps what comes."""

    def __init__(self, socket: ClientConnection, *, check: bool) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self.odd_frames: list[str | bytes] = []
        self._check = check
        self._news = asyncio.Condition()

    async def read(self) -> None:
        try:
            async for frame in self.socket:
                try:
                    event = json.loads(frame) if isinstance(frame, str) else None
                except ValueError:
                    event = None
                if event is None:
                    self.odd_frames.append(frame)
                    continue
                async with self._news:
                    self.events.append(event)
                    self._news.notify_all()
        except ConnectionClosed:
            pass

    def validate(self) -> None:
        if self._check:
            for event in self.events:
                for check in oracles():
                    check(event)

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def of(self, event_type: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == event_type]

    async def send(self, event_type: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": event_type, **fields}))

    async def get(self, event_type: str, count: int = 1) -> dict[str, Any]:
        """The `count`-th event of that type."""
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: len(self.of(event_type)) >= count)
        return self.of(event_type)[count - 1]

    async def ask(self, event_type: str, **fields: Any) -> dict[str, Any]:
        """Send, and return the next error."""
        seen = len(self.of("error"))
        await self.send(event_type, **fields)
        error: dict[str, Any] = (await self.get("error", seen + 1))["error"]
        return error

    async def configure(self, detection: dict[str, Any] | None = VAD, **more: Any) -> None:
        audio_in = {"format": PCMU, "turn_detection": detection, **more}
        seen = len(self.of("session.updated"))
        session = {"type": "realtime", "audio": {"input": audio_in, "output": {"format": PCMU}}}
        await self.send("session.update", session=session)
        await self.get("session.updated", seen + 1)

    async def hear(self, audio: bytes) -> None:
        """The caller's audio, in packets of 20 ms."""
        for n in range(0, len(audio), 160):
            await self.send("input_audio_buffer.append", audio=b64encode(audio[n : n + 160]).decode())

    def audio(self) -> bytes:
        return b"".join(b64decode(event["delta"]) for event in self.of("response.output_audio.delta"))


@asynccontextmanager
async def connected(
    realtime: Realtime, *, check: bool = True, query: str = "?model=gpt-realtime-2.1"
) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {realtime.api_key}"}
    async with connect(realtime.url + query, additional_headers=headers, compression=None) as socket:
        client = Client(socket, check=check)
        reading = asyncio.create_task(client.read())
        try:
            yield client
        finally:
            await socket.close()
            await reading
        client.validate()


def hold(
    talk: Callable[[Client, Session], Awaitable[None]],
    *,
    script: Script | None = None,
    pace: Pace | None = None,
    faults: Faults | None = None,
    quirks: Quirks | None = None,
    check: bool = True,
    query: str = "?model=gpt-realtime-2.1",
) -> None:
    """Run one session against a server of its own."""

    async def run() -> None:
        async with (
            asyncio.timeout(10),
            Realtime(script=script, pace=pace or Pace.instant(), faults=faults, quirks=quirks) as realtime,
            connected(realtime, check=check, query=query) as client,
        ):
            await talk(client, await realtime.wait_session())

    asyncio.run(run())


def in_order(types: list[str], *expected: str) -> bool:
    rest = iter(types)
    return all(one in rest for one in expected)


MESSAGE = (
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "conversation.item.done",
)


def test_the_session_begins_with_the_documented_defaults() -> None:
    async def talk(client: Client, session: Session) -> None:
        created = (await client.get("session.created"))["session"]
        assert created["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
        assert created["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 200
        assert created["audio"]["output"]["voice"] == "alloy"
        assert abs(created["expires_at"] - time.time() - 3600) < 10
        assert client.types() == ["session.created"]

    hold(talk)


def test_an_update_changes_what_it_names_and_null_clears() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure({**VAD, "idle_timeout_ms": 6000}, transcription={"model": "gpt-transcribe"})
        audio_in: dict[str, Any] = {"turn_detection": {"type": "server_vad", "threshold": 0.7}, "transcription": None}
        await client.send("session.update", session={"type": "realtime", "audio": {"input": audio_in}})
        after = (await client.get("session.updated", 2))["session"]
        assert after["audio"]["input"]["format"] == PCMU
        assert after["audio"]["input"]["turn_detection"]["threshold"] == 0.7
        assert after["audio"]["input"]["turn_detection"]["idle_timeout_ms"] == 6000
        assert after["audio"]["input"]["transcription"] is None
        assert after["object"] == "realtime.session"
        assert session.config == after

    hold(talk)


def test_the_order_of_a_turn() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure(transcription={"model": "gpt-4o-mini-transcribe"})
        await client.hear(voices.load("caller/hours") + SECOND)
        await client.get("response.done")
        await client.get("conversation.item.input_audio_transcription.completed")
        assert in_order(
            client.types(),
            "session.updated",
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            *MESSAGE,
            "rate_limits.updated",
            "response.done",
        )
        user = client.of("input_audio_buffer.speech_started")[0]["item_id"]
        assert client.of("input_audio_buffer.committed")[0]["item_id"] == user
        assert client.of("conversation.item.added")[1]["previous_item_id"] == user
        heard = client.of("conversation.item.input_audio_transcription.completed")[0]
        assert (heard["item_id"], heard["transcript"]) == (user, voices.TEXTS["caller/hours"])
        done = client.of("response.done")[0]["response"]
        assert done["status"] == "completed"
        assert done["output"][0]["content"] == [{"type": "output_audio", "transcript": voices.TEXTS["agent/greeting"]}]
        assert client.audio() == voices.load("agent/greeting")
        assert bytes(session.audio_in) == (voices.load("caller/hours") + SECOND)
        assert session.violations == []

    hold(talk)


def test_without_create_response_a_turn_ends_with_the_commit() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure({**VAD, "create_response": False})
        await client.hear(voices.load("caller/hours") + SECOND)
        await client.get("conversation.item.done")
        await client.send("response.cancel")
        await client.get("error")
        assert "response.created" not in client.types()

    hold(talk)


def test_the_script_answers_in_order_and_then_asks_again() -> None:
    async def talk(client: Client, session: Session) -> None:
        for n in range(1, 7):
            await client.send("response.create")
            await client.get("response.done", n)
        said = [one["transcript"] for one in client.of("response.output_audio_transcript.done")]
        lines = ("greeting", "hours", "tomorrow", "goodbye", "repeat", "repeat")
        assert said == [voices.TEXTS[f"agent/{line}"] for line in lines]

    hold(talk)


def test_pcm_and_alaw_sessions_get_their_own_format() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.send("response.create")
        await client.get("response.done")
        assert client.audio() == encode(tone(0.5), "audio/pcm")
        assert len(client.audio()) == 24000
        output = {"format": {"type": "audio/pcma"}}
        await client.send("session.update", session={"type": "realtime", "audio": {"output": output}})
        await client.send("response.create")
        await client.get("response.done", 2)
        assert client.audio()[24000:] == encode(tone(0.5), "audio/pcma")

    hold(talk, script=Script.tone(0.5))


def test_barge_in_stops_the_response() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure()
        await client.send("response.create")
        await client.get("response.output_audio.delta", 2)
        await client.hear(tone(0.2))
        done = (await client.get("response.done"))["response"]
        assert done["status"] == "cancelled"
        assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        assert done["output"][0]["status"] == "incomplete"
        types = client.types()
        interrupted = types[types.index("input_audio_buffer.speech_started") :]
        assert interrupted == [
            "input_audio_buffer.speech_started",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "rate_limits.updated",
            "response.done",
        ]
        assert voices.TEXTS["agent/hours"].startswith(
            client.of("response.output_item.done")[0]["item"]["content"][0]["transcript"]
        )

    hold(talk, script=Script.of(Turn.voice("agent/hours")), pace=Pace(first_byte_ms=0, speed=4))


def test_late_deltas_come_after_the_interruption_and_before_its_end() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure()
        await client.send("response.create")
        await client.get("response.output_audio.delta", 2)
        await client.hear(tone(0.2))
        await client.get("response.done")
        types = client.types()
        assert types[types.index("input_audio_buffer.speech_started") + 1 :][:3] == [
            "response.output_audio.delta"
        ] * 2 + ["response.output_audio.done"]

    script = Script.of(Turn.voice("agent/hours"))
    hold(talk, script=script, pace=Pace(first_byte_ms=0, speed=4), faults=Faults(late_deltas=2))


@pytest.mark.parametrize(("choice", "responses"), [("drop", 1), ("queue", 2)])
def test_without_interrupt_response_the_answer_goes_on_and_the_turn_is_lost_or_waits(
    choice: Any, responses: int
) -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure({**VAD, "interrupt_response": False})
        await client.send("response.create")
        await client.get("response.output_audio.delta")
        await client.hear(voices.load("caller/interruption") + SECOND)
        await client.get("input_audio_buffer.committed")
        assert "response.done" not in client.types()
        await client.send("response.cancel")
        await client.get("response.done", responses)
        await client.ask("response.cancel")
        statuses = [one["response"]["status"] for one in client.of("response.done")]
        assert statuses == ["cancelled", "completed"][:responses]

    script = Script.of(Turn.say("Long.", tone(8.0)), Turn.say("Short.", tone(0.1)))
    hold(talk, script=script, pace=Pace(first_byte_ms=0, speed=1.0), quirks=Quirks(turn_while_active=choice))


def test_a_finished_answer_is_only_told_that_speech_started() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure()
        await client.send("response.create")
        await client.get("response.done")
        await client.hear(tone(0.2))
        await client.get("input_audio_buffer.speech_started")
        item = client.of("response.output_item.done")[0]["item"]["id"]
        await client.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=1500)
        await client.get("conversation.item.truncated")
        await client.send("conversation.item.retrieve", item_id=item)
        kept = (await client.get("conversation.item.retrieved"))["item"]["content"][0]
        assert kept["transcript"] == ""
        assert b64decode(kept["audio"]) == voices.load("agent/greeting")[:12000]
        assert client.types()[-3:] == [
            "input_audio_buffer.speech_started",
            "conversation.item.truncated",
            "conversation.item.retrieved",
        ]

    hold(talk)


def test_a_function_call_turn() -> None:
    script = Script.of(Turn((Say("One moment.", tone(0.2)), Call("look_up", {"day": "tomorrow"}), Call("end_call"))))

    async def talk(client: Client, session: Session) -> None:
        await client.send("response.create")
        done = (await client.get("response.done"))["response"]
        assert [item["type"] for item in done["output"]] == ["message", "function_call", "function_call"]
        assert json.loads(done["output"][1]["arguments"]) == {"day": "tomorrow"}
        types = client.types()
        call = types[types.index("conversation.item.done") + 1 :]
        deltas = ["response.function_call_arguments.delta"]
        assert call[:6] == [
            "response.output_item.added",
            "conversation.item.added",
            *deltas * 2,
            "response.function_call_arguments.done",
            "response.output_item.done",
        ]
        pieces = [one["delta"] for one in client.of(deltas[0]) if one["output_index"] == 1]
        assert "".join(pieces) == done["output"][1]["arguments"]
        for call_item in done["output"][1:]:
            output = {"type": "function_call_output", "call_id": call_item["call_id"], "output": "{}"}
            await client.send("conversation.item.create", item=output)
        await client.send("response.create")
        await client.get("response.done", 2)
        assert session.violations == []

    hold(talk, script=script)


def test_text_responses_and_responses_beside_the_conversation() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.send("response.create")
        await client.get("response.output_audio.delta")
        aside = {"conversation": "none", "output_modalities": ["text"], "metadata": {"topic": "mood"}, "input": []}
        await client.send("response.create", response=aside)
        await client.get("response.output_text.done")
        done = (await client.get("response.done"))["response"]
        assert (done["conversation_id"], done["metadata"]) == (None, {"topic": "mood"})
        assert done["output"][0]["content"] == [{"type": "output_text", "text": "Noted."}]
        assert session.active is not None, "the spoken answer goes on"
        assert session.violations == []

    hold(talk, script=Script.tone(8.0), pace=Pace(first_byte_ms=0, speed=4))


def test_usage_counts_the_whole_conversation_again_and_again() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure(None)
        await client.send("session.update", session={"type": "realtime", "instructions": "Be kind. " * 50})
        await client.hear(tone(2.0))
        await client.send("input_audio_buffer.commit")
        for n in (1, 2):
            await client.send("response.create")
            await client.get("response.done", n)
        first, second = (one["response"]["usage"] for one in client.of("response.done"))
        assert first["input_token_details"]["audio_tokens"] == 20
        assert first["output_token_details"]["audio_tokens"] == 40
        assert second["input_token_details"]["audio_tokens"] == 60
        assert second["input_token_details"]["cached_tokens"] > 0 == first["input_token_details"]["cached_tokens"]
        for usage in (first, second):
            assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]

    hold(talk, script=Script.tone(2.0))


def test_a_cancelled_response_is_done() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.send("response.create")
        await client.get("response.output_audio.delta")
        await client.send("response.cancel")
        done = (await client.get("response.done"))["response"]
        assert done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}

    hold(talk, script=Script.tone(8.0), pace=Pace(speed=4))


def test_idle_timeout_prompts_the_caller() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure({**VAD, "idle_timeout_ms": 5000})
        await client.send("response.create")
        await client.get("response.done", 2)
        assert in_order(
            client.types(),
            "response.done",
            "input_audio_buffer.timeout_triggered",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
        )

    hold(talk, script=Script.tone(0.1), quirks=Quirks(idle_speed=100))


@pytest.mark.parametrize(("expiry", "error"), [("error_and_close", True), ("close", False)])
def test_a_session_expires(expiry: Any, error: bool) -> None:
    async def talk(client: Client, session: Session) -> None:
        assert await session.wait_closed() == 1001
        await client.socket.wait_closed()
        assert [one["error"]["code"] for one in client.of("error")] == ["session_expired"] * error
        assert client.socket.close_reason == "Your session hit the maximum duration of 0.0025 minutes."

    hold(talk, quirks=Quirks(session_seconds=0.15, expiry=expiry))


def test_a_transcription_session_hears_and_stays_silent() -> None:
    async def talk(client: Client, session: Session) -> None:
        created = (await client.get("session.created"))["session"]
        assert created["object"] == "realtime.transcription_session"
        audio_in = {"format": PCMU, "transcription": {"model": "gpt-live-transcribe"}, "turn_detection": VAD}
        await client.send("session.update", session={"type": "transcription", "audio": {"input": audio_in}})
        await client.hear(voices.load("caller/hours") + SECOND)
        await client.get("conversation.item.input_audio_transcription.completed")
        await client.ask("response.create")
        assert "response.created" not in client.types()

    hold(talk, query="?intent=transcription")


def test_echo_returns_each_packet_as_it_came() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.configure()
        await client.send("response.create")
        await client.get("response.content_part.added")
        said = voices.load("caller/hours")
        await client.hear(said)
        await client.get("response.output_audio.delta", -(-len(said) // 160))
        assert client.audio() == said
        assert "input_audio_buffer.speech_started" not in client.types()
        await client.send("response.cancel")
        await client.get("response.done")

    hold(talk, script=Script.echoing())


def test_the_watchers_say_what_did_not_happen() -> None:
    async def talk(client: Client, session: Session) -> None:
        await client.send("response.create", response={"metadata": {"n": "1"}})
        event = await session.wait_for("response.create", where=lambda one: one["response"]["metadata"]["n"] == "1")
        assert event.bytes == 0
        with pytest.raises(TimeoutError, match=r"response\.create number 2 did not happen within 0\.01 s"):
            await session.wait_for("response.create", 2, timeout=0.01)
        await client.socket.close()
        with pytest.raises(ConnectionError, match="closed"):
            await session.wait_for("response.create", 2)

    hold(talk)


async def test_close_ends_everything_within_a_second() -> None:
    before = asyncio.all_tasks()
    realtime = Realtime(pace=Pace(speed=1), faults=Faults(only_connections=[4, 5], hang_next=-1, stop_reading_after=0))
    await realtime.start()
    headers = {"Authorization": "Bearer sk-sandbox"}
    url = realtime.url + "?model=gpt-realtime-2.1"
    talking, stuck = [await connect(url, additional_headers=headers) for _ in range(2)]
    await talking.send('{"type":"response.create"}')
    session = await realtime.wait_session()
    await session.wait_sent("response.output_audio.delta")
    realtime.faults.only_connections = [2, 3]
    await stuck.send('{"type":"response.create"}')
    hanging = asyncio.create_task(_outcome(connect(url, additional_headers=headers, open_timeout=None)))
    _, silent = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].split("/")[0]))
    await realtime.wait_attempt(3)
    began = time.monotonic()
    await realtime.close()
    assert time.monotonic() - began < 1.0
    await asyncio.wait_for(hanging, 1)
    assert all(one.closed for one in realtime.sessions)
    for socket in (talking, stuck):
        await socket.close()
    silent.close()
    await asyncio.sleep(0)
    await realtime.close()
    left = [task for task in asyncio.all_tasks() - before if not task.done()]
    assert left == []


async def _outcome(opening: Any) -> str:
    try:
        await opening
    except Exception as error:
        return type(error).__name__
    return "opened"


async def test_the_openai_package_holds_a_session() -> None:
    """The vendor's own client as an oracle, from the handshake to the last event."""
    openai = pytest.importorskip("openai", reason="the openai package is not installed")
    async with asyncio.timeout(10), Realtime(pace=Pace.instant()) as realtime:
        base = realtime.url.removesuffix("/realtime")
        client = openai.AsyncOpenAI(api_key=realtime.api_key, websocket_base_url=base, base_url=base)
        async with client, client.realtime.connect(model="gpt-realtime-2.1") as connection:
            await connection.session.update(
                session={
                    "type": "realtime",
                    "audio": {"input": {"format": PCMU, "turn_detection": VAD}, "output": {"format": PCMU}},
                }
            )
            ulaw = voices.load("caller/hours") + SECOND
            await connection.input_audio_buffer.append(audio=b64encode(ulaw).decode())
            seen = []
            async for event in connection:
                seen.append(event.type)
                if event.type == "response.done":
                    assert event.response.status == "completed"
                    assert event.response.usage.total_tokens > 0
                    break
        assert in_order(seen, "session.created", "session.updated", "response.created", *MESSAGE)
        assert realtime.sessions[0].violations == []


def test_every_event_is_held_against_the_schemas() -> None:
    if not os.environ.get("CALLFLOW_SCHEMAS"):
        pytest.skip("CALLFLOW_SCHEMAS does not name the folder of the JSON Schemas")
    assert len(oracles()) == 2
