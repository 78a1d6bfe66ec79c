"""Audio that goes straight to the call does what audio does about which the session's parts are asked."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callflow.contracts.engine import AudioDelta
from callflow.engines.common.engine_socket import EngineSocket
from callflow.engines.openai_realtime import audio_format
from callflow.engines.openai_realtime.adapter import OpenAIRealtime
from tests.configs import realtime_config
from tests.engines.realtime_server import BRIEF
from tests.in_loop import in_loop


LOUD = bytes(range(160))
OTHERS = (
    "words",
    "audio_done",
    "done",
    "began",
    "item",
    "pcm",
    "ulaw",
    "cancel",
    "starts",
    "stops",
    "close",
    "quiet",
    "soft",
    "response",
)


class Server:
    """Takes everything."""

    def __init__(self) -> None:
        self.got: list[str] = []

    def put(self, text: str) -> None:
        self.got.append(text)

    hold = release = lambda self: None


def formats(kind: str) -> dict[str, Any]:
    of = {"format": {"type": kind}}
    return {"type": "session.updated", "session": {"audio": {"input": of, "output": of}}}


def played(acts: list[str], *, straight: bool = True) -> Any:
    """Returns what the call and the server were told, and what is known after each act."""
    told: list[Any] = []
    engine: Any = OpenAIRealtime(realtime_config(), BRIEF, told.append)
    server = Server()
    engine._channel.lost = asyncio.get_running_loop().create_future()
    engine._channel.socket = cast(EngineSocket, server)
    if not straight:
        driven = engine._responses.played
        engine._audio._played = lambda audio: driven(audio) and False
    number, item, known = 1, 1, list[Any]()

    def receive(event: dict[str, Any]) -> None:
        engine._received(json.dumps(event).encode())

    receive({"type": "session.created", "session": {}})
    receive(formats("audio/pcmu"))
    receive({"type": "response.created", "response": {"id": "r1"}})
    for act in acts:
        where = {"response_id": f"r{number}", "item_id": f"i{item}", "content_index": 0}
        match act:
            case "audio" | "quiet" | "soft":
                sound = {"audio": LOUD, "quiet": b"\xff" * 160, "soft": b"\xff" * 150 + bytes(10)}[act]
                audio = base64.b64encode(sound).decode()
                receive({"type": "response.output_audio.delta", **where, "delta": audio})
            case "words":
                receive({"type": "response.output_audio_transcript.delta", **where, "delta": "We open"})
            case "audio_done":
                receive({"type": "response.output_audio.done", **where})
            case "done":
                receive({"type": "response.done", "response": {"id": f"r{number}", "status": "completed"}})
            case "began":
                number, item = number + 1, item + 1
                receive({"type": "response.created", "response": {"id": f"r{number}"}})
            case "item":
                item += 1
            case "response":
                number += 1
            case "pcm" | "ulaw":
                receive(formats("audio/pcm" if act == "pcm" else "audio/pcmu"))
            case "cancel":
                engine.cancel(f"r{number}")
            case "starts" | "stops":
                name = "started" if act == "starts" else "stopped"
                receive({"type": f"input_audio_buffer.speech_{name}", "audio_start_ms": 1, "audio_end_ms": 2})
            case "close":
                engine._audio.close()
        responses = engine._responses
        known.append((
            sorted(responses._awaits_done), sorted(engine._channel._timers._running), engine._audio.has_spoken,
            repr(responses._endings._tallies),
        ))  # fmt: skip
    engine._channel.close()
    if "pcm" in acts:  # the resampler dithers
        told = [each._replace(audio=bytes(len(each.audio))) if isinstance(each, AudioDelta) else each for each in told]
        known = [each[:-1] for each in known]
    return told, server.got, known


@pytest.mark.exhaustive
@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.just("audio"), st.sampled_from(OTHERS)), max_size=25))
@example([*["audio"] * 4, "audio_done", "audio"]).via(
    "audio behind its end, which stops the wait for the response's end"
)
@example([*["audio"] * 4, "pcm", "audio", "audio"]).via("another format in the middle")
@example([*["audio"] * 4, "close", "audio"]).via("the end")
@example([*["audio"] * 4, "response", "audio"]).via("the same item under another response")
@example(["soft"] * 8).via("audio that is not loud enough yet to be heard")
def test_straight_audio_changes_nothing(acts: list[str]) -> None:
    audio_format.load()

    @in_loop
    async def compare() -> None:
        assert played(acts) == played(acts, straight=False)

    compare()


@in_loop
async def test_audio_goes_straight_until_something_else_comes() -> None:
    engine: Any = OpenAIRealtime(realtime_config(), BRIEF, lambda _: None)
    engine._channel.lost = asyncio.get_running_loop().create_future()
    engine._channel.socket = cast(EngineSocket, Server())
    asked: list[Any] = []
    driven = engine._responses.played

    def ask(audio: AudioDelta) -> Any:
        asked.append(audio)
        return driven(audio)

    engine._audio._played = ask

    def receive(*events: dict[str, Any]) -> int:
        asked.clear()
        for event in events:
            engine._received(json.dumps(event).encode())
        return len(asked)

    where = {"response_id": "r1", "item_id": "i1", "content_index": 0}
    audio = {"type": "response.output_audio.delta", **where, "delta": base64.b64encode(LOUD).decode()}
    receive({"type": "session.created", "session": {}}, formats("audio/pcmu"), audio, audio, audio, audio)
    assert receive(*[audio] * 20) == 0
    words = {"type": "response.output_audio_transcript.delta", **where, "delta": "We open"}
    assert receive(words, audio, audio, audio) == 1
    engine._channel.close()
