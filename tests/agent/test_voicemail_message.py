"""The message on an answering machine: the agent falls silent at once, and then says nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.agent.prompts import Prompt, prompt
from callflow.contracts.engine import (
    AudioDelta,
    ResponseDone,
    ResponseFailed,
    ResponseStarted,
    SessionReady,
    SpeechStarted,
    SpeechStopped,
    ToolCalls,
    Transcript,
)
from callflow.contracts.events import EngineLost, MessageLeft, NoInput
from callflow.contracts.tools import ToolCall
from callflow.journal import notes
from tests.agent.offline import Scene


SAY_IT = ("response", prompt(Prompt.VOICEMAIL, message="Please call us back."))


def left(scene: Scene) -> int:
    return sum(isinstance(event, MessageLeft) for event in scene.events)


def asked(scene: Scene) -> list[tuple[Any, ...]]:
    """What the newest session was asked to say."""
    return [each[:2] for each in scene.engine.take() if each[0] == "response"]


def greeted(**config: Any) -> Scene:
    """An agent that is in the middle of its greeting."""
    scene = Scene(**config)
    scene.ready()
    scene.agent.prompter.greet()
    scene.answer(1, 2000, whole=False)
    return scene


async def test_the_agent_is_cut_off_and_the_record_says_how_much_was_heard() -> None:
    scene = greeted()
    scene.hear(0.5)
    scene.agent.voicemail.begin()
    assert "clear" in scene.stream.sent
    (cut,) = scene.took(notes.Interrupted)
    assert not cut.by_caller
    assert [(each.item, each.received_ms) for each in cut.cuts] == [("item_1", 2000)]
    assert 0 < cut.cuts[0].heard_ms < 700
    old = scene.engines[0]
    assert ("truncate", "item_1", cut.cuts[0].heard_ms) in old.take()


async def test_the_message_has_a_session_of_its_own_which_neither_hears_turns_nor_knows_of_the_call() -> None:
    scene = greeted()
    old = scene.engine
    scene.agent.voicemail.begin()
    assert scene.engine is not old
    assert not scene.engine.context.turn_detection
    assert [each for each in scene.engine.take() if each[0] == "context"] == []
    old.tell(AudioDelta("resp_1", "item_1", 0, bytes(800)))
    scene.stream.sent.clear()
    scene.relay.pump()
    assert scene.stream.sent == [], "what the old session still says is not heard"


async def test_the_message_is_said_once_and_left_when_it_was_played() -> None:
    scene = greeted()
    scene.agent.voicemail.begin()
    scene.tell(SessionReady())
    scene.engine.take()
    scene.agent.voicemail.say()
    assert asked(scene) == [SAY_IT]
    scene.answer(2, 600)
    assert left(scene) == 0, "generated is not played"
    scene.hear(0.3)
    assert left(scene) == 0
    scene.hear(1.0)
    scene.hear(1.0)
    assert left(scene) == 1
    assert asked(scene) == []


async def test_neither_words_nor_silence_nor_keys_of_the_machine_make_the_agent_speak() -> None:
    scene = greeted(no_input_seconds=0.001)
    scene.agent.voicemail.begin()
    scene.tell(SessionReady())
    scene.engine.take()
    scene.tell(SpeechStarted(), SpeechStopped(100.0), Transcript("caller", "item_9", "Leave a message.", True))
    scene.agent.respond_to("digits", shown="digits")
    scene.agent.changed()
    scene.relay.check_played_out()
    assert asked(scene) == []
    assert not any(isinstance(event, NoInput) for event in scene.events)
    assert not scene.turns.interject("one-moment")
    assert not scene.agent.prompter.still_busy(scene.agent._floor)


async def test_speech_does_not_stop_the_message() -> None:
    scene = greeted()
    scene.agent.voicemail.begin()
    scene.tell(SessionReady())
    scene.agent.voicemail.say()
    scene.stream.sent.clear()
    scene.answer(2, 1000)
    scene.tell(SpeechStarted())
    assert "clear" not in scene.stream.sent
    scene.hear(0.5)
    scene.hear(2.0)
    assert left(scene) == 1


@pytest.mark.parametrize("trouble", ["no answer", "a tool"])
async def test_a_message_that_is_not_said_is_not_left(trouble: str) -> None:
    scene = greeted()
    scene.agent.voicemail.begin()
    scene.tell(SessionReady())
    scene.agent.voicemail.say()
    if trouble == "a tool":
        scene.tell(ResponseStarted("resp_2"), ResponseDone("resp_2", "completed", sounds=False))
        scene.tell(ToolCalls("resp_2", (ToolCall("call_1", "look", "{}"),)))
    else:
        scene.tell(ResponseFailed("it has none"))
        assert any(isinstance(event, EngineLost) for event in scene.events), "which ends the call"
    scene.hear(5.0)
    assert left(scene) == 0
    assert scene.took(notes.Filler) == []


async def test_a_disclosure_that_is_cut_off_is_on_record_as_not_heard_in_full() -> None:
    scene = greeted(disclosure="This call is recorded.")
    scene.hear(0.5)
    scene.agent.voicemail.begin()
    (proof,) = scene.took(notes.Protected)
    assert not proof.in_full
    assert proof.of_ms == 2000


async def test_another_process_begins_it_again() -> None:
    scene = Scene()
    scene.agent.voicemail.begin()
    scene.tell(SessionReady())
    assert not scene.engine.context.turn_detection
    scene.agent.voicemail.say()
    scene.answer(1, 300)
    scene.hear(0.2)
    scene.hear(1.0)
    assert left(scene) == 1


async def test_an_exchange_is_a_turn_after_one_that_was_heard_out() -> None:
    conversation = Scene().agent.conversation

    def turn(who: Any, *, heard: bool = True) -> None:
        opened = conversation.opened(who, f"item_{len(conversation.turns)}")
        assert opened is not None
        opened.is_heard = heard

    turn("caller")
    assert conversation.exchanges == 0
    turn("agent")
    turn("agent")
    turn("caller")
    turn("caller")
    assert conversation.exchanges == 1, "two turns in a row are one"
    turn("agent", heard=False)
    turn("caller")
    assert conversation.exchanges == 1, "it did not hear the agent out, as a recorded greeting does not"
    turn("agent")
    turn("caller")
    assert conversation.exchanges == 2
