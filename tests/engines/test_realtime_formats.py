"""The adapter and the formats of audio: whatever is in force, the server gets real audio, in order, nothing else."""

from __future__ import annotations

import asyncio
import base64
from functools import partial
from typing import Any

import pytest

from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    ErrorReported,
    ResponseDone,
    SessionLost,
    SessionReady,
    SpeechStarted,
)
from callflow.engines.openai_realtime import audio_format, audio_pipeline
from callflow.engines.openai_realtime.audio_format import PCM24, ToTelephone
from callflow.sandbox import voices
from callflow.sandbox.common.phone import loud_bytes
from callflow.sandbox.openai_realtime.script import encode
from tests.engines.realtime_server import Client, Peer, client, confirm, run


ULAW = voices.load("agent/greeting").lstrip(b"\xff")[:16000]
CALLER = voices.load("caller/hours")[:8000]
FRAMES = [base64.b64encode(CALLER[at : at + 160]).decode() for at in range(0, len(CALLER), 160)]


def formats_asked(peer: Peer) -> list[dict[str, Any]]:
    return [event for event in peer.of("session.update") if event["event_id"] == "session-formats"]


async def say(peer: Peer, audio: bytes, item: str, size: int) -> None:
    at = {"response_id": "r", "item_id": item, "content_index": 0}
    for start in range(0, len(audio), size):
        delta = base64.b64encode(audio[start : start + size]).decode()
        await peer.send("response.output_audio.delta", **at, delta=delta)
    await peer.send("response.output_audio.done", **at)


def played(one: Client, item: str) -> bytes:
    return b"".join(heard.audio for heard in one.of(AudioDelta) if heard.item == item)


async def sent_before(one: Client, peer: Peer) -> None:
    """Wait until the client has taken whatever the server has said."""
    known = len(one.of(SpeechStarted))
    await peer.send("input_audio_buffer.speech_started")
    await one.until(lambda: len(one.of(SpeechStarted)) > known)


def as_read(peer: Peer) -> bytes:
    """The caller's audio as a server takes it: by the format in force when each piece arrives."""
    heard, wide, form = b"", ToTelephone(PCM24, PCM24), "audio/pcmu"
    for event in peer.events:
        if event["type"] == "session.update":
            form = event["session"].get("audio", {}).get("input", {}).get("format", {}).get("type", form)
        elif event["type"] == "input_audio_buffer.append":
            audio = base64.b64decode(event["audio"], validate=True)
            assert audio, "an append without audio"
            heard += wide.feed(audio) if form == "audio/pcm" else audio
    return heard + wide.end()


@pytest.mark.alone
@pytest.mark.parametrize("size", [7, 20, 160, 1001])
def test_pcm_in_small_pieces_is_no_noise_and_the_caller_is_not_misread(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((audio_format, "HOLD_SECONDS"), (audio_pipeline, "_FORMATS_SECONDS")):
        monkeypatch.setattr(module, name, 60.0)  # a busy machine takes longer to send so many pieces
    asked = asyncio.Event()

    async def late(peer: Peer, event: dict[str, Any]) -> None:
        if event["event_id"] == "session-formats":
            asked.set()
        else:
            await confirm(peer, event)

    async def work() -> None:
        async with client(late) as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            for frame in FRAMES[:10]:
                one.engine.append(frame)
            await say(peer, encode(ULAW, "audio/pcm"), "i", size)
            await one.until(lambda: one.of(AudioDone))
            assert abs(loud_bytes(played(one, "i")) - loud_bytes(ULAW)) < len(ULAW) * 0.05
            assert abs(len(played(one, "i")) - len(ULAW)) <= 160
            await one.until(asked.is_set)
            for frame in FRAMES[10:30]:
                one.engine.append(frame)
            await sent_before(one, peer)
            assert len(peer.of("input_audio_buffer.append")) == 10, "what is it to be read as?"
            await confirm(peer, formats_asked(peer)[0])
            await sent_before(one, peer)
            for frame in FRAMES[30:]:
                one.engine.append(frame)
            one.engine.truncate("i", 0, 1)  # behind the last of them
            await one.until(lambda: peer.of("conversation.item.truncate"))
            heard = as_read(peer)
            assert abs(len(heard) - len(CALLER)) <= 8 * 80
            assert abs(loud_bytes(heard) - loud_bytes(CALLER)) <= len(CALLER) * 0.05
            assert len([each for each in one.of(ErrorReported) if each.code == "audio_format"]) == 1

    run(work)


@pytest.mark.parametrize("answer", ["refusal", "nothing"])
def test_a_format_that_is_not_confirmed_holds_the_caller_up_for_a_moment_only(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio_pipeline, "_FORMATS_SECONDS", 0.2)

    async def unwilling(peer: Peer, event: dict[str, Any]) -> None:
        if event["event_id"] != "session-formats":
            await confirm(peer, event)
        elif answer == "refusal":
            await peer.refuse(about="session-formats")

    async def work() -> None:
        async with client(unwilling) as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            await say(peer, encode(ULAW, "audio/pcm"), "i", 2000)
            await one.until(lambda: formats_asked(peer))
            for frame in FRAMES:
                one.engine.append(frame)
            await one.until(lambda: len(peer.of("input_audio_buffer.append")) == len(FRAMES))
            assert [event["audio"] for event in peer.of("input_audio_buffer.append")] == FRAMES

    run(work)


@pytest.mark.parametrize("wide", [False, True], ids=["as confirmed", "in another format"])
def test_a_short_word_is_heard_before_the_response_ends(wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_format, "HOLD_SECONDS", 60.0)

    async def work() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            word = ULAW[4000:4200]
            sent = encode(word, "audio/pcm")[:900] if wide else word
            await peer.send("response.created", response={"id": "r"})
            delta = base64.b64encode(sent).decode()
            await peer.send("response.output_audio.delta", response_id="r", item_id="i", content_index=0, delta=delta)
            await sent_before(one, peer)
            assert one.of(AudioDelta) == [], "it may be noise as yet"
            await peer.send("response.done", response={"id": "r", "status": "completed"})
            await one.until(lambda: one.of(ResponseDone))
            assert one.heard.index(one.of(AudioDelta)[-1]) < one.heard.index(one.of(ResponseDone)[0])
            heard = played(one, "i")
            assert heard == word if not wide else abs(len(heard) - 150) <= 8

    run(work)


def test_a_short_word_is_heard_though_nothing_follows() -> None:
    async def work() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            for item, word in (("i", b"\x55" * 160), ("j", bytes(200))):
                delta = base64.b64encode(word).decode()
                at = {"response_id": "r", "item_id": item, "content_index": 0}
                await peer.send("response.output_audio.delta", **at, delta=delta)
                await one.until(partial(played, one, item))
                assert played(one, item) == word

    run(work)


@pytest.mark.parametrize("audio", [bytes(8000), b"audio 1 " * 400], ids=["zeros", "text"])
def test_made_up_audio_does_not_hold_the_caller_up(audio: bytes) -> None:
    async def work() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            await say(peer, audio, "i", 160)
            await one.until(lambda: one.of(AudioDone))
            assert played(one, "i") == audio
            for frame in FRAMES:
                one.engine.append(frame)
            await one.until(lambda: len(peer.of("input_audio_buffer.append")) == len(FRAMES))
            assert formats_asked(peer) == []
            assert not one.of(ErrorReported)

    run(work)


def test_what_is_on_its_way_when_the_format_changes_back_is_not_lost() -> None:
    async def pcm_first(peer: Peer, event: dict[str, Any]) -> None:
        wide = {"format": {"type": "audio/pcm", "rate": 24000}}
        await peer.send("session.updated", session={"audio": {"input": wide, "output": wide}})

    async def work() -> None:
        async with client(pcm_first) as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            for frame in FRAMES[:25]:
                one.engine.append(frame)
            narrow = {"format": {"type": "audio/pcmu"}}
            await peer.send("session.updated", session={"audio": {"input": narrow, "output": narrow}})
            await sent_before(one, peer)
            for frame in FRAMES[25:]:
                one.engine.append(frame)
            await one.until(lambda: peer.events[-1].get("audio") == FRAMES[-1])
            pieces = [base64.b64decode(event["audio"]) for event in peer.of("input_audio_buffer.append")]
            wide, rest, after = b"".join(pieces[:-26]), pieces[-26], b"".join(pieces[-25:])
            assert after == CALLER[4000:]
            assert CALLER[:4000].endswith(rest)
            assert len(wide) // 6 + len(rest) == 4000

    run(work)


@pytest.mark.parametrize("named", [[], {}, ["audio/pcmu"], 7, True])
def test_a_format_that_is_no_name_is_passed_over(named: Any) -> None:
    async def odd(peer: Peer, event: dict[str, Any]) -> None:
        form = {"format": {"type": named}}
        await peer.send("session.updated", session={"audio": {"input": form, "output": form}})

    async def work() -> None:
        async with client(odd) as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            assert not one.of(SessionLost)

    run(work)
