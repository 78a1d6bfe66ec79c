"""A session of a call that is over: it writes down what it has heard, and does nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.contracts.engine import AudioDelta, ItemAdded, SessionReady, Transcript, TranscriptFailed
from tests.engines.realtime_server import Client, Peer, client, run


WRITTEN = "conversation.item.input_audio_transcription.completed"


def told(peer: Peer, since: int) -> list[str]:
    """What the server was sent from there on."""
    return [event["type"] for event in peer.events[since:]]


async def ready(one: Client) -> Peer:
    one.start()
    await one.until(lambda: one.of(SessionReady))
    return await one.peer()


async def words(one: Client, peer: Peer) -> None:
    """Something that is heard behind all that was sent before."""
    await peer.send(WRITTEN, item_id="c1", transcript="At nine.")
    await one.until(lambda: one.of(Transcript))


@pytest.mark.parametrize(
    ("settings", "speaking", "asked"),
    [
        ({}, False, ["session.update"]),
        ({}, True, ["input_audio_buffer.commit", "session.update"]),
        ({"turn_detection": "semantic_vad"}, True, ["input_audio_buffer.commit", "session.update"]),
        ({"turn_detection": "none"}, True, ["input_audio_buffer.commit"]),
        ({"turn_detection": "none"}, False, []),
        ({"vad_create_response": False, "vad_interrupt_response": False}, False, []),
    ],
)
def test_what_was_heard_is_taken_for_a_turn_and_nothing_else_is_asked(
    settings: dict[str, Any], speaking: bool, asked: list[str]
) -> None:
    async def work() -> None:
        async with client(**settings) as one:
            peer = await ready(one)
            before = len(peer.events)
            for _ in range(2):  # the second time there is nothing left to do
                one.engine.wind_up(speaking=speaking)
            one.engine.append("////")
            one.engine.request_response("Say something.")
            one.engine.answer_tool("t", "{}")
            one.engine.finish_turn()
            one.engine.truncate("a1", 0, 100)
            await peer.send("response.created", response={"id": "r1"})
            await words(one, peer)
            await one.until(lambda: "response.cancel" in told(peer, before))
            assert told(peer, before) == [*asked, "response.cancel"], "only what began by itself is stopped, once"
            for update in peer.of("session.update")[1:]:
                turns = update["session"]["audio"]["input"]["turn_detection"]
                assert {turns["create_response"], turns["interrupt_response"]} == {False}

    run(work)


def test_responses_that_run_are_cancelled_once_and_not_heard() -> None:
    async def work() -> None:
        async with client() as one:
            peer = await ready(one)
            await peer.send("response.created", response={"id": "r1"})
            await one.until(lambda: one.engine._responses.queue.running)
            before = len(peer.events)
            one.engine.wind_up(speaking=False)
            await peer.send("response.output_audio.delta", response_id="r1", item_id="a", content_index=0, delta="////")
            await peer.send("response.done", response={"id": "r1", "status": "cancelled"})
            await words(one, peer)
            await one.until(lambda: "session.update" in told(peer, before))
            assert one.of(AudioDelta) == []
            assert told(peer, before).count("response.cancel") == 1
            assert "response.create" not in told(peer, before)

    run(work)


@pytest.mark.parametrize(("model", "writes"), [("gpt-transcribe", True), ("", False)])
def test_whether_it_writes_down_what_it_hears_is_known(model: str, writes: bool) -> None:
    async def work() -> None:
        async with client(transcription_model=model) as one:
            assert "transcribes" not in one.engine.can, "it has not been asked to"
            await ready(one)
            assert ("transcribes" in one.engine.can) is writes
            one.engine.update({"transcription_model": "" if model else "gpt-transcribe"})
            assert ("transcribes" in one.engine.can) is not writes

    run(work)


async def refuse_transcription(peer: Peer, event: dict[str, Any]) -> None:
    if event["session"]["audio"]["input"].get("transcription"):
        await peer.refuse("model_not_found", event["event_id"], "you have no access to this model")
    else:
        await peer.send("session.updated", session=event["session"])


def test_a_server_that_refuses_to_write_is_not_waited_for() -> None:
    async def work() -> None:
        async with client(refuse_transcription) as one:
            await ready(one)
            assert "transcribes" not in one.engine.can

    run(work)


def test_the_turn_of_a_caller_who_said_nothing_has_no_words() -> None:
    async def work() -> None:
        async with client() as one:
            peer = await ready(one)
            await peer.send("input_audio_buffer.timeout_triggered", item_id="idle")
            for name in ("idle", "c1"):
                await peer.send("conversation.item.added", item={"id": name, "type": "message", "role": "user"})
            await words(one, peer)
            assert one.of(ItemAdded) == [ItemAdded("caller", "c1")]
            assert one.of(TranscriptFailed) == []

    run(work)
