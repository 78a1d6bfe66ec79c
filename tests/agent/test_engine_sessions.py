"""The sessions of one call, one after another: what the next one gets, and when it takes over."""

from __future__ import annotations

from callflow.agent.prompts import Prompt, prompt
from callflow.contracts import events
from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    ResponseDone,
    ResponseStarted,
    SessionExpiring,
    SessionLost,
    SessionReady,
    SpeechStarted,
)
from callflow.engines.openai_live.turns import LiveTurns
from callflow.journal import notes
from tests.agent.offline import CAN, Scene
from tests.in_loop import in_loop, settle


@in_loop
async def test_audio_of_the_caller_goes_straight_to_the_session_and_the_next_one_hears_the_last_of_it() -> None:
    scene = Scene()
    scene.ready()
    scene.turns.caller_payload("AAAA", b"\0\0\0")
    assert scene.engine.take() == [("append", "AAAA")]
    scene.tell(SessionLost("gone"))
    assert scene.events[-1] == events.EngineLost(reason="gone", retry=True)
    scene.agent.connect()
    assert len(scene.engines) == 2
    assert scene.engine.take() == [("append", "AAAA")]


@in_loop
async def test_what_an_old_session_says_is_ignored() -> None:
    scene = Scene()
    scene.ready()
    scene.ready()
    scene.engines[0].tell(SpeechStarted())
    assert scene.notes == []
    assert not scene.turns.taking.caller_speaking


@in_loop
async def test_an_expiring_session_is_replaced_when_nobody_speaks() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(SessionExpiring(30.0))
    assert scene.events[-1] == events.EngineExpiring(ms=30000)
    scene.agent.rotate()
    scene.engines[1].tell(SessionReady())
    assert scene.took(notes.EngineRotated) == [notes.EngineRotated(session=2, quiet=True)]
    scene.turns.caller_payload("BBBB", b"\4\x10\x41")
    assert scene.engines[1].take() == [("append", "BBBB")]
    await settle()
    assert ("close",) in scene.engines[0].take()


@in_loop
async def test_what_is_changed_while_the_next_session_waits_holds_for_it_too() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(SpeechStarted())  # the change of sessions waits
    scene.tell(SessionExpiring(30.0))
    scene.agent.rotate()
    scene.engines[1].tell(SessionReady())
    scene.agent.update({"instructions": "Be brief."})
    scene.agent.sessions.set_turn_detection(False)
    wanted = [("update", {"instructions": "Be brief."}), ("turn_detection", False)]
    assert [engine.take() for engine in scene.engines] == [wanted, wanted]


async def changing_after_a_question() -> Scene:
    """A session that decides for itself is to be replaced, when the caller has just asked something."""
    scene = Scene(can=CAN | {"decides_itself"}, reply_seconds=60.0)
    scene.ready()
    scene.answer()
    scene.hear(1.0)
    old, turns = scene.engine, LiveTurns(1)
    scene.tell(SessionExpiring(60.0))
    scene.agent.rotate()
    scene.turns.caller_frame(b"\x00" * 800)
    for event in turns.caller_words("When does my taxi come?", scene.now * 1000, 0.0):
        old.tell(event)
    scene.hear(1.0)
    scene.turns.caller_frame(b"\xff" * 8000)
    for event in turns.tick(scene.now * 1000):
        old.tell(event)
    return scene


@in_loop
async def test_no_session_is_replaced_between_a_question_and_the_answer_that_the_model_may_give() -> None:
    scene = await changing_after_a_question()
    old, new = scene.engines
    assert not scene.agent.is_quiet
    new.tell(SessionReady())
    assert scene.took(notes.EngineRotated) == []
    done = ResponseDone("r", "completed", answered=True, items=("i",))
    for event in (ResponseStarted("r"), AudioDelta("r", "i", 0, bytes(800)), AudioDone("r", "i", 0), done):
        old.tell(event)
    scene.hear(1.0)
    assert scene.agent.is_quiet


@in_loop
async def test_a_turn_that_the_model_leaves_unanswered_holds_up_nothing_for_long() -> None:
    scene = await changing_after_a_question()
    scene.hear(8.0)
    assert scene.agent.is_quiet
    scene.engines[1].tell(SessionReady())
    assert scene.took(notes.EngineRotated) == [notes.EngineRotated(session=2, quiet=True)]


@in_loop
async def test_a_question_that_a_forced_change_leaves_without_an_answer_is_answered_by_the_next_session() -> None:
    scene = await changing_after_a_question()
    scene.agent.sessions._leave_by = 0.0
    scene.engines[1].tell(SessionReady())
    assert scene.took(notes.EngineRotated) == [notes.EngineRotated(session=2, quiet=False)]
    assert ("response", prompt(Prompt.RESUME)) in scene.engines[1].take()
