"""Turns: a barge-in from the engine's report to the last act, and what else the turn manager does at once."""

from __future__ import annotations

import asyncio

import pytest

from callflow.agent.line_control import LineControl
from callflow.agent.turn_manager import TurnManager
from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    ItemAdded,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    Transcript,
)
from callflow.contracts.media import SpeechSegmentId
from callflow.journal import notes
from callflow.sandbox import voices
from callflow.sandbox.common.phone import SILENT_FRAME
from tests.agent.offline import CAN, Scene
from tests.in_loop import in_loop, settle


@in_loop
async def test_the_turn_manager_is_the_relays_listener() -> None:
    scene = Scene()
    assert isinstance(scene.relay.listener, TurnManager)


@in_loop
async def test_a_barge_in_stops_the_audio_and_tells_the_engine_how_much_was_heard() -> None:
    scene = Scene()
    scene.ready()
    scene.answer(ms=900)
    scene.engine.take()
    scene.now += 0.3
    scene.tell(SpeechStarted())
    assert scene.stream.sent[-1] == "clear"
    assert scene.engine.take() == [("truncate", "item_1", 300)]
    (note,) = scene.took(notes.Interrupted)
    assert note.by_caller
    assert [(cut.item, cut.heard_ms, cut.received_ms) for cut in note.cuts] == [("item_1", 300, 900)]
    assert scene.turns.summary()["interruptions"] == 1
    assert scene.turns.taking.caller_speaking


@pytest.mark.parametrize("decides", [False, True])
@in_loop
async def test_whether_speech_can_be_missed_is_for_the_present_session_to_say(decides: bool) -> None:
    """A call may come to its second engine, for which it is the other way round."""
    scene = Scene(can=CAN | {"decides_itself"} if decides else CAN)
    scene.ready()
    audio = voices.load("caller/hours") + SILENT_FRAME * 80
    for at in range(0, len(audio), 160):
        scene.turns.caller_frame(audio[at : at + 160])
    assert bool(scene.took(notes.EngineMissedSpeech)) is not decides
    assert (("finish_turn",) in scene.engine.take()) is not decides


@in_loop
async def test_an_engine_that_does_not_stop_itself_is_stopped() -> None:
    scene = Scene(can=CAN - {"interrupts_itself"})
    scene.ready()
    scene.answer(ms=900, whole=False)
    scene.engine.take()
    scene.now += 0.3
    scene.tell(SpeechStarted())
    assert scene.engine.take() == [("truncate", "item_1", 300), ("cancel", "resp_1")]


@in_loop
async def test_late_audio_of_an_interrupted_response_is_dropped_and_the_engine_told() -> None:
    scene = Scene()
    scene.ready()
    scene.answer(ms=900, whole=False)
    scene.now += 0.3
    scene.tell(SpeechStarted())
    scene.engine.take()
    scene.stream.sent.clear()
    scene.tell(AudioDelta("resp_1", "item_9", 0, bytes(800)), AudioDone("resp_1", "item_9", 0))
    assert scene.stream.sent == []
    assert scene.engine.take() == [("truncate", "item_9", 0)]


@pytest.mark.parametrize("speaks_ms", [30, 150])
@in_loop
async def test_a_short_sound_interrupts_only_if_it_lasts(speaks_ms: int) -> None:
    scene = Scene(can=CAN - {"interrupts_itself"}, min_interruption_ms=80)
    scene.ready()
    scene.answer(ms=900)
    scene.tell(SpeechStarted())
    assert "clear" not in scene.stream.sent
    await asyncio.sleep(speaks_ms / 1000)
    scene.tell(SpeechStopped(None))
    assert ("clear" in scene.stream.sent) == (speaks_ms > 80)
    assert bool(scene.took(notes.FalseStart)) == (speaks_ms < 80)


@in_loop
async def test_a_response_that_begins_while_the_caller_speaks_is_not_heard() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(SpeechStarted(), ResponseStarted("resp_1"), AudioDelta("resp_1", "item_1", 0, bytes(800)))
    assert scene.stream.sent == []
    assert ("cancel", "resp_1") in scene.engine.take()


@in_loop
async def test_first_word_and_reply_are_measured_to_the_audio_sent() -> None:
    scene = Scene()
    scene.ready()
    scene.now += 0.4
    scene.answer()
    assert scene.took(notes.FirstWord) == [notes.FirstWord(ms=400)]
    scene.hear(0.5)
    scene.tell(SpeechStarted(), SpeechStopped(200.0))
    assert scene.turns.is_answer_due
    scene.now += 0.25
    scene.answer(2)
    assert scene.took(notes.Reply) == [notes.Reply(ms=250)]
    scene.hear(0.5)
    (latency,) = scene.took(notes.Latency)
    assert (latency.detection_ms, latency.engine_ms) == (200, 250)


@in_loop
async def test_speech_that_was_heard_in_full_is_noted_once() -> None:
    scene = Scene()
    scene.ready()
    scene.answer()
    scene.hear(0.5)
    assert [note for note in scene.took(notes.Heard) if note.done] == [
        notes.Heard(item="item_1", ms=500, of_ms=500, done=True)
    ]
    assert not scene.turns.is_unplayed


@in_loop
async def test_a_lost_stream_is_a_cut_that_is_not_the_callers() -> None:
    scene = Scene()
    scene.ready()
    scene.answer(ms=900)
    scene.engine.take()
    scene.now += 0.3
    cuts = scene.relay.interrupt(scene.now)
    scene.turns.cut_off(cuts)
    assert scene.engine.take() == [("truncate", "item_1", 300)]
    assert not scene.took(notes.Interrupted)[0].by_caller
    assert scene.turns.summary()["interruptions"] == 0


@in_loop
async def test_a_noise_that_interrupted_lets_the_agent_go_on() -> None:
    scene = Scene()
    scene.ready()
    scene.answer(ms=900)
    scene.tell(Transcript("agent", "item_1", "one two three", final=True))
    scene.now += 0.3
    scene.tell(SpeechStarted(), SpeechStopped(100.0), ItemAdded("caller", "noise"))
    scene.engine.take()
    scene.tell(Transcript("caller", "noise", "", final=True))
    asked = [each for each in scene.engine.take() if each[0] == "response"]
    assert scene.took(notes.InterruptionEmpty)
    assert "“one”" in asked[0][1]


@in_loop
async def test_a_session_that_goes_away_leaves_what_it_said_to_be_heard() -> None:
    scene = Scene()
    scene.ready()
    scene.answer(ms=300, whole=False)
    scene.agent.connect()
    scene.hear(0.3)
    assert [(note.item, note.ms) for note in scene.took(notes.Heard) if note.done] == [("item_1", 300)]
    turn = scene.turns.conversation.turn(SpeechSegmentId("item_1").item)
    assert turn is not None
    assert turn.heard_ms == 300
    await settle()


@in_loop
async def test_who_mutes_the_agent_stops_its_response_and_leaves_no_answer_due() -> None:
    scene = Scene()
    scene.ready()
    scene.answer(ms=900, whole=False)
    scene.engine.take()
    line = LineControl(scene.agent, scene.relay, hold_music="silence")
    line.mute("agent", True)
    assert ("cancel", "resp_1") in scene.engine.take()
    scene.tell(ResponseDone("resp_1", "cancelled"))
    line.mute("agent", False)
    assert not scene.turns.is_answer_due
    line.hold()
    line.unhold()
    assert not scene.turns.is_answer_due
