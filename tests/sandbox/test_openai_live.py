"""The emulated full-duplex model: what it takes beside a conversation, and the format of its sound."""

from __future__ import annotations

import asyncio
import json
import os
from array import array
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from callflow.media import g711
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Turn
from callflow.sandbox.openai_realtime.live.session import LiveSession
from tests.conformance.schemas import complaints


LOUD = tone(300, 500.0)
"""µ-law."""
QUESTIONS: list[dict[str, Any]] = [
    {"type": "predicate", "name": "angry", "instructions": "Is the caller angry?"},
    {"type": "choice", "instructions": "Which?", "choices": [{"value": "sales"}, {"value": "help"}]},
    {"type": "score", "instructions": "How urgent?", "levels": [{"label": "not"}, {"label": "very"}]},
]
DECIDES: dict[str, Any] = {"type": "decisions", "decisions": {"model": "gpt-5", "questions": QUESTIONS}}


class Client:
    def __init__(self, socket: ClientConnection, realtime: Realtime) -> None:
        self._socket, self._realtime = socket, realtime
        self.sound = b""
        """All that the model has said, as it came."""

    @property
    def session(self) -> LiveSession:
        return self._realtime.live_sessions[-1]

    async def send(self, kind: str, **fields: Any) -> None:
        event = {"type": kind, **fields}
        if os.environ.get("CALLFLOW_SCHEMAS"):
            assert complaints("openai/live-client-events.schema.json", "", event) == []
        await self._socket.send(json.dumps(event))

    async def get(self, kind: str) -> dict[str, Any]:
        """The next event of that type."""
        while True:
            event: dict[str, Any] = json.loads(await self._socket.recv())
            if os.environ.get("CALLFLOW_SCHEMAS"):
                assert complaints("openai/live-server-events.schema.json", "", event) == [], event
            if event["type"] == "session.output_audio.delta":
                self.sound += b64decode(event["delta"])
            if event["type"] == kind:
                return event


@asynccontextmanager
async def started(script: Script | None = None, **session: Any) -> AsyncIterator[Client]:
    async with asyncio.timeout(10), Realtime(script=script or Script.silent(), pace=Pace.instant()) as realtime:
        realtime.live_faults.talks_on = True  # what a caller says is sent faster than they could say it
        headers = {"Authorization": f"Bearer {realtime.api_key}"}
        async with connect(realtime.live_url, additional_headers=headers) as socket:
            client = Client(socket, realtime)
            await client.send("session.start", session={"model": "gpt-live-1", **session})
            await client.get("session.started")
            yield client


async def test_an_update_is_confirmed_and_changes_the_delegation_only() -> None:
    async with started(delegation=DECIDES) as client:
        asked = {"delegation": {"type": "decisions", "decisions": {"model": "gpt-6"}}}
        await client.send("session.update", session=asked, event_id="u")
        told = await client.get("session.updated")
        assert told["client_event_id"] == "u"
        assert told["session"]["delegation"]["decisions"] == {"model": "gpt-6", "questions": QUESTIONS}
        await client._socket.send('{"type":"session.update","session":{"instructions":"Other."}}')
        assert (await client.get("error"))["error"]["param"] == "session.instructions"
        assert "instructions" not in (client.session.config or {})
        await client._socket.send('{"type":"session.update","session":{"delegation":{"type":"client"}}}')
        assert (await client.get("error"))["error"]["param"] == "session.delegation.type"


async def test_decisions_are_made_about_items() -> None:
    async with started(delegation=DECIDES) as client:
        item = {"role": "user", "content": "I want my money back."}
        await client.send("decision.item.create", item=item)
        name = (await client.get("decision.item.created"))["item"]["id"]
        await client.send("decision.create", event_id="d")
        made = await client.get("decision.event")
        assert made["source_event_id"] == "d"
        answers = made["event"]["decision"]["answers"]
        assert [answer["type"] for answer in answers] == ["predicate", "choice", "score"]
        await client.send("decision.item.delete", item_id=name)
        await client.get("decision.item.deleted")
        await client.send("decision.item.delete", item_id=name)
        assert (await client.get("error"))["error"]["code"] == "item_not_found"
    async with started() as client:
        await client.send("decision.create", event_id="d")
        assert (await client.get("error"))["error"]["code"] == "invalid_event"


@pytest.mark.parametrize(
    ("kind", "rate"), [("audio/pcmu", 8000), ("audio/pcma", 8000), ("audio/pcm", 16000), ("audio/pcm", 24000)]
)
async def test_it_hears_and_speaks_in_the_format_that_it_has_confirmed(kind: str, rate: int) -> None:
    script = Script.of(Turn.say("Yes.", LOUD), otherwise=Turn.silence())
    heard = LOUD + bytes([g711.ULAW_SILENCE]) * 8000
    form = {"type": kind, "rate": rate}
    async with started(script, audio={"format": form}) as client:
        assert (client.session.config or {})["audio"]["format"] == form
        sent = {"audio/pcmu": heard, "audio/pcma": g711.ulaw_to_alaw(heard)}.get(kind) or b"".join(
            array("h", [sample] * (rate // 8000)).tobytes() for sample in array("h", g711.ulaw_to_pcm16(heard))
        )
        for at in range(0, len(sent), 1001):  # not at the borders of samples
            await client.send("session.input_audio.append", audio=b64encode(sent[at : at + 1001]).decode())
        await client.session.wait_for(lambda live: live.spoken_ms >= 300)
        await client.send("session.close")
        await client.get("session.closed")
        assert abs(client.session.audio_in - len(heard)) < 2
        spoken = {"audio/pcmu": lambda audio: audio, "audio/pcma": g711.alaw_to_ulaw}.get(kind) or (
            lambda audio: g711.pcm16_to_ulaw(array("h", audio)[:: rate // 8000].tobytes())
        )
        assert len(client.sound) * 8000 // rate // (1 if rate == 8000 else 2) == len(LOUD)
        loud = [abs(a - b) for a, b in zip(_levels(spoken(client.sound)), _levels(LOUD), strict=True)]
        assert max(loud) < 2000


def _levels(ulaw: bytes) -> list[int]:
    return [g711.ULAW_TO_LINEAR[code] for code in ulaw]


async def test_a_recording_of_the_clients_is_played() -> None:
    async with started(audio={"format": {"type": "audio/pcmu", "rate": 8000}}) as client:
        await client.send("session.output_audio.fixture.play", audio=b64encode(LOUD).decode(), event_id="p")
        assert (await client.get("session.output_audio.fixture.playing"))["client_event_id"] == "p"
        await client.get("session.output_audio.fixture.played")
        assert client.sound == LOUD
