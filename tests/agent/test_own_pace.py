"""A model that decides by itself when it speaks pauses between two sentences, and tells nobody whether more comes."""

from __future__ import annotations

import pytest

from callflow.contracts.engine import SessionReady
from callflow.contracts.events import Event, GoodbyeHeard, MessageLeft
from callflow.engines.openai_live.turns import LiveTurns
from callflow.journal import notes
from tests.agent.offline import Scene
from tests.in_loop import in_loop


CAN = frozenset({"transcribes", "calls_tools", "interrupts_itself", "answers_itself", "decides_itself"})
LOUD, QUIET = bytes([0x00, 0x80] * 80), b"\xff" * 160


def play(scene: Scene, turns: LiveTurns, ms: int, piece: bytes, words: str = "") -> None:
    """Let the model send so much, and let the caller hear it."""
    for at in range(0, ms, 20):
        if words and not at:
            scene.tell(*turns.agent_words(words))
        scene.tell(*turns.audio(piece, scene.now * 1000))
        scene.relay.pump()
        scene.hear(0.02)
        if turns.due is not None and scene.now * 1000 >= turns.due:
            scene.tell(*turns.tick(scene.now * 1000))


def says(scene: Scene, turns: LiveTurns, words: str) -> None:
    """A sentence, and a pause after it that ends a turn."""
    play(scene, turns, 1000, LOUD, words)
    play(scene, turns, 800, QUIET)


def count(scene: Scene, kind: type[Event]) -> int:
    return sum(isinstance(event, kind) for event in scene.events)


@in_loop
async def test_a_message_is_left_when_the_model_has_not_gone_on_for_a_while() -> None:
    scene = Scene(can=CAN)
    scene.ready()
    scene.agent.voicemail.begin()
    scene.tell(SessionReady())
    scene.agent.voicemail.say()
    turns = LiveTurns(2)
    for words in ("This is Harbour Taxis.", "Please call us back."):
        says(scene, turns, words)
        assert not count(scene, MessageLeft), "it was cut off after its first sentence"
    play(scene, turns, 2000, QUIET)
    scene.turns.settled()
    assert count(scene, MessageLeft) == 1


@in_loop
async def test_a_call_is_not_ended_in_the_middle_of_a_goodbye() -> None:
    scene = Scene(can=CAN)
    scene.ready()
    turns = LiveTurns(1)
    scene.agent.prompter.say("Say goodbye.")
    says(scene, turns, "Your taxi comes at nine.")
    scene.agent.await_goodbye()
    says(scene, turns, "Goodbye.")
    assert not count(scene, GoodbyeHeard)
    play(scene, turns, 2000, QUIET)
    scene.turns.settled()
    assert count(scene, GoodbyeHeard) == 1


@pytest.mark.parametrize("second", ["If you do not agree, hang up now!", "Something else."])
@in_loop
async def test_a_disclosure_of_two_sentences_is_heard_when_both_are(second: str) -> None:
    scene = Scene(can=CAN, disclosure="This call is recorded. If you do not agree, hang up now.")
    scene.ready()
    turns = LiveTurns(1)
    scene.agent.prompter.greet()
    says(scene, turns, "This call is recorded.")
    assert scene.took(notes.Protected) == [], "the recording would have begun, and the caller could have interrupted"
    says(scene, turns, second)
    has_all = second.startswith("If")
    assert bool(scene.took(notes.Protected)) == has_all, "with all the words nothing more is waited for"
    play(scene, turns, 2000, QUIET)
    scene.turns.settled()
    (told,) = scene.took(notes.Protected)
    assert told.in_full


@in_loop
async def test_an_engine_that_tells_the_end_of_its_answers_is_not_waited_for() -> None:
    scene = Scene()
    scene.ready()
    scene.agent.prompter.say("Say goodbye.")
    scene.agent.await_goodbye()
    scene.answer()
    scene.hear(0.5)
    assert count(scene, GoodbyeHeard) == 1
