"""A model that decides by itself when it speaks pauses between two sentences, and tells nobody whether more comes."""

from __future__ import annotations

import pytest

from callflow.contracts.engine import SessionLost, SessionReady, SpeechStarted, SpeechStopped
from callflow.contracts.events import AgentHeard, EngineLost, Event, GoodbyeHeard, MessageLeft
from callflow.engines.openai_live.turns import LiveTurns
from callflow.journal import notes
from callflow.sandbox.common.phone import SILENT_FRAME
from tests.agent.offline import Scene
from tests.call.offline import until
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


def pause_is_over(scene: Scene) -> None:
    """Let the timer of the pause run out, which must be running."""
    assert scene.turns._timers.stop("settled"), "nobody looks any more"
    scene.turns.settled()


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


@in_loop
async def test_a_goodbye_that_the_caller_returns_ends_the_call_though_the_model_says_no_more() -> None:
    """Whoever said "bye" in the pause after it stayed on a silent line, until the time for last words was over."""
    scene = Scene(can=CAN)
    scene.ready()
    turns = LiveTurns(1)
    scene.agent.prompter.say("Say goodbye.")
    scene.agent.await_goodbye()
    says(scene, turns, "Goodbye.")
    scene.tell(*turns.caller_words("Bye bye.", scene.now * 1000, 0.0))
    pause_is_over(scene)
    assert not count(scene, GoodbyeHeard), "the caller speaks"
    play(scene, turns, 1000, QUIET)
    scene.hear(2.0)
    pause_is_over(scene)
    assert count(scene, GoodbyeHeard) == 1


@in_loop
async def test_the_end_of_a_pause_does_not_say_that_a_new_session_was_heard() -> None:
    """It would count for nothing how often a model has broken off that says no word in between."""
    scene = Scene(can=CAN)
    scene.ready()
    says(scene, LiveTurns(1), "Your taxi comes at nine.")
    scene.tell(SessionLost("dropped"))
    scene.ready()
    scene.turns.settled()
    assert not count(scene, AgentHeard)


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


@pytest.mark.parametrize("who", ["the model", "the caller", "nobody"])
@in_loop
async def test_a_greeting_whose_words_are_not_known_is_heard_when_nothing_more_follows(who: str) -> None:
    """It was over at the first pause between two sentences."""
    scene = Scene(can=CAN, greeting="Greet the caller.", greeting_protected=True)
    scene.ready()
    turns = LiveTurns(1)
    scene.agent.prompter.greet()
    says(scene, turns, "This is the bakery.")
    assert scene.took(notes.Protected) == []
    if who == "the model":
        says(scene, turns, "How can I help?")
        assert scene.took(notes.Protected) == [], "it may go on once more"
    if who == "the caller":
        scene.tell(*turns.caller_words("Hello.", scene.now * 1000, 0.0))
        play(scene, turns, 1000, QUIET)
        assert scene.took(notes.Protected), "the caller waits for an answer"
        return
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


def question(scene: Scene) -> None:
    """The caller says something, after which the model may say something or not."""
    scene.turns.caller_frame(LOUD)
    scene.tell(SpeechStarted(), SpeechStopped(0.0, answer_due=False))
    for _ in range(50):
        scene.turns.caller_frame(SILENT_FRAME)
    scene.engine.take()


def is_to_be_asked(scene: Scene) -> bool:
    return scene.agent.prompter._timers.is_running("ask")


@in_loop
async def test_a_model_that_has_gone_mute_is_asked_and_then_replaced() -> None:
    """Without `no_input_seconds` nothing else would find it before the end of the call."""
    scene = Scene(can=CAN, greeting="", reply_filler_seconds=0.02, reply_seconds=0.5, no_input_seconds=0.0)
    scene.ready()
    question(scene)
    await until(lambda: ("response", "") in scene.engine.asked)
    assert scene.turns.is_answer_due
    scene.now += 0.4
    await until(lambda: scene.turns.is_filling)
    scene.now += 0.2
    await until(lambda: count(scene, EngineLost) == 1)


@pytest.mark.parametrize("who", ["the model", "the caller", "nobody, for it is on hold"])
@in_loop
async def test_it_is_not_asked_when_somebody_speaks_or_nobody_hears_it(who: str) -> None:
    scene = Scene(can=CAN, greeting="", reply_filler_seconds=0.02)
    scene.ready()
    question(scene)
    assert is_to_be_asked(scene)
    if who == "the model":
        turns = LiveTurns(1)
        play(scene, turns, 100, LOUD, "Yes.")
        assert not is_to_be_asked(scene)
    elif who == "the caller":
        scene.tell(SpeechStarted())
        assert not is_to_be_asked(scene)
    else:
        scene.relay.gates.hold(True)
        await until(lambda: not is_to_be_asked(scene))
    assert not [each for each in scene.engine.take() if each[0] == "response"]
    assert not scene.turns.is_answer_due or who == "the model"
