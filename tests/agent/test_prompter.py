"""What the engine is asked to say when the caller has not asked for anything."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callflow.agent import prompter as module
from callflow.agent.line_control import LineControl
from callflow.agent.prompts import Prompt, prompt
from callflow.contracts import events
from callflow.contracts.engine import AudioDelta, SessionLost, SpeechStarted, SpeechStopped, ToolCalls
from callflow.contracts.tools import ToolCall
from tests.agent.offline import CAN, Scene
from tests.in_loop import in_loop


def asked(scene: Scene) -> list[str]:
    return [each[1] for each in scene.engine.take() if each[0] == "response"]


@in_loop
async def test_without_a_greeting_the_agent_waits_for_the_caller() -> None:
    scene = Scene(greeting="")
    scene.ready()
    scene.agent.prompter.greet()
    assert asked(scene) == []
    assert not scene.turns.is_answer_due


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ("no_input", prompt(Prompt.NO_INPUT, time=2)),
        ("no_input_goodbye", prompt(Prompt.NO_INPUT_GOODBYE)),
        ("time_warning", prompt(Prompt.TIME_WARNING, seconds=30)),
    ],
)
@in_loop
async def test_prompts_of_the_machine(about: str, expected: str) -> None:
    scene = Scene()
    scene.ready()
    scene.agent.prompter.prompt(about, 2)
    assert asked(scene) == [expected]


@in_loop
async def test_no_warning_of_the_time_if_it_is_off() -> None:
    scene = Scene(max_call_warning_seconds=0.0)
    scene.ready()
    scene.agent.prompter.prompt("time_warning", 1)
    assert asked(scene) == []


@in_loop
async def test_without_a_session_nothing_is_asked() -> None:
    scene = Scene()
    scene.agent.prompter.greet()
    scene.agent.prompter.prompt("resume", 1)
    scene.agent.prompter.say("Hello")
    assert scene.engines == []
    assert not scene.turns.is_answer_due


@in_loop
async def test_a_new_session_greets_if_nothing_was_heard_yet_and_else_resumes() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(SessionLost("gone"))
    scene.ready()
    scene.agent.prompter.prompt("resume", 1)
    assert asked(scene) == ["Say hello."]
    scene.answer(ms=400, whole=False)
    scene.tell(AudioDelta("resp_1", "item_1", 0, bytes(160)))
    scene.hear(0.2)
    scene.tell(SessionLost("gone"))
    scene.ready()
    scene.agent.prompter.prompt("resume", 1)
    assert asked(scene) == [prompt(Prompt.RESUME)]


@pytest.mark.parametrize("how", ["taken over", "transferred", "in the process of before"])
@in_loop
async def test_a_caller_whom_a_person_has_had_is_not_greeted_although_they_have_not_heard_the_agent(how: str) -> None:
    """A person had taken them over at once; then the session broke, and the agent greeted as if nobody had spoken."""
    scene = Scene()
    line = LineControl(scene.agent, scene.relay, hold_music="silence", is_taken=lambda: how == "taken over")
    if how == "in the process of before":
        scene.agent.prompter.restored(1.0, left_quietly=False, met_person=True)
    scene.ready()
    if how == "taken over":
        line.mute("agent", True)
    elif how == "transferred":
        scene.agent.silence()
    line.mute("agent", False)
    scene.agent.prompter.learn("A person has said hello.", speak=False)
    scene.ready()
    scene.agent.prompter.prompt("resume", 1)
    assert asked(scene) == [prompt(Prompt.RESUME)]


@in_loop
async def test_after_a_gap_without_a_process_the_agent_apologises() -> None:
    scene = Scene()
    scene.agent.conversation.sounds("item_0")
    scene.agent.conversation.complete("item_0")
    scene.agent.prompter.restored(10.0, left_quietly=True)
    scene.ready()
    scene.agent.prompter.prompt("resume", 1)
    assert asked(scene) == [prompt(Prompt.RESUME)]


@in_loop
async def test_a_short_gap_in_a_quiet_moment_is_not_mentioned() -> None:
    scene = Scene()
    scene.agent.conversation.sounds("item_0")
    scene.agent.conversation.complete("item_0")
    scene.agent.prompter.restored(0.5, left_quietly=True)
    scene.ready()
    scene.agent.prompter.prompt("resume", 1)
    assert asked(scene) == []


@pytest.mark.parametrize(
    ("deaf", "moved", "asks"),
    [(0.4, True, []), (1.3, True, [prompt(Prompt.RESUME)]), (1.3, False, []), (3.0, False, [prompt(Prompt.RESUME)])],
)
@in_loop
async def test_a_caller_who_could_have_asked_something_unheard_is_asked_again_however_soon_the_model_is_there(
    deaf: float, moved: bool, asks: list[str]
) -> None:
    """Nobody knows of words that were said while no process heard the caller."""
    scene = Scene()
    scene.agent.conversation.sounds("item_0")
    scene.agent.conversation.complete("item_0")
    scene.agent.prompter.restored(0.1, left_quietly=True)
    if moved:
        scene.agent.prompter.moved()
    scene.now += deaf
    scene.turns.stream_started(scene.now)
    scene.now += 2.0  # until there is a session; what is said meanwhile is kept for it
    scene.ready()
    scene.agent.prompter.prompt("resume", 1)
    assert asked(scene) == asks


@pytest.mark.parametrize("answered", [True, False])
@in_loop
async def test_a_caller_who_began_to_speak_while_the_call_moved_and_was_heard_is_not_asked_again(
    answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next session hears them, and is asked only if it notices nothing."""
    monkeypatch.setattr(module, "_HEAR_AGAIN_SECONDS", 0.05)
    scene = Scene()
    scene.agent.conversation.sounds("item_0")
    scene.agent.conversation.complete("item_0")
    scene.agent.prompter.restored(3.0, left_quietly=False)
    scene.agent.prompter.moved()
    scene.agent.prompter.heard_meanwhile()
    scene.now += 0.3
    scene.turns.stream_started(scene.now)
    scene.ready()
    scene.agent.prompter.prompt("resume", 1)
    assert asked(scene) == []
    if answered:
        scene.tell(SpeechStarted())
    await asyncio.sleep(0.1)
    assert asked(scene) == ([] if answered else [prompt(Prompt.RESUME)])


# What is owed: speech that waits until the caller hears the agent


WARNING = prompt(Prompt.TIME_WARNING, seconds=30)
SAID = prompt(Prompt.SAY, text="We close at six.")


def talking(**config: Any) -> tuple[Scene, LineControl]:
    """A call in which the caller has heard the agent, and it is their turn."""
    scene = Scene(**config)
    scene.ready()
    scene.answer()
    scene.hear(1.0)
    scene.agent.conversation.agent_is_heard()
    scene.engine.take()
    return scene, LineControl(scene.agent, scene.relay, hold_music="silence")


@in_loop
async def test_what_is_owed_after_a_hold_is_said_by_the_session_that_follows() -> None:
    """The hold ended while there was no session, so the machine did not ask; the new one has the caller's turn."""
    scene, line = talking()
    line.hold()
    scene.agent.prompter.say("Say what you have found.")
    scene.tell(SessionLost("gone"))
    scene.agent.connect()
    line.unhold()
    assert asked(scene) == [], "a session that is not ready was asked"
    scene.configured()
    scene.agent.prompter.prompt("resume", 1)
    assert asked(scene) == ["Say what you have found."]
    scene.answer(2)
    scene.hear(1.0)
    assert not scene.agent.prompter.owes_speech, "the agent is never quiet again"


@in_loop
async def test_an_agent_heard_again_without_a_ready_session_speaks_when_one_is() -> None:
    scene, line = talking()
    line.mute("agent", True)
    scene.agent.prompter.say("Say what you have found.")
    scene.tell(SessionLost("gone"))
    scene.agent.connect()
    line.mute("agent", False)
    assert asked(scene) == [], "the session may be lost before it is ready"
    assert scene.agent.prompter.owes_speech
    scene.configured()
    scene.agent.prompter.prompt("resume", 1)
    assert asked(scene) == ["Say what you have found."]


@in_loop
async def test_what_is_to_be_spoken_about_during_a_break_is_the_sentence_after_it() -> None:
    """An operator had given the caller back: the agent went on, and then said that the line had been interrupted."""
    scene, _ = talking()
    scene.tell(SessionLost("gone"))
    scene.agent.connect()
    scene.agent.prompter.learn("Go on with the conversation.", speak=True)
    assert asked(scene) == [], "the session may be lost before it is ready"
    assert scene.turns.is_answer_due, "nothing fills the silence"
    scene.configured()
    scene.agent.prompter.prompt("resume", 1)
    assert asked(scene) == [""]


@in_loop
async def test_what_a_caller_typed_before_the_first_session_is_answered_also_where_nobody_is_greeted() -> None:
    """It was forgotten: an agent without a greeting waited for the caller."""
    scene = Scene(greeting="")
    scene.agent.connect()
    scene.agent.respond_to("The caller has typed 12#.", shown="The caller has typed something.")
    assert asked(scene) == []
    scene.configured()
    scene.agent.prompter.greet()
    assert asked(scene) == [""]
    assert scene.turns.is_answer_due
    assert not scene.agent.prompter.owes_speech


@pytest.mark.parametrize(("lasting", "then"), [(False, []), (True, ["Say it."])])
@in_loop
async def test_an_agent_that_speaks_by_itself_owes_only_what_lasts(lasting: bool, then: list[str]) -> None:
    scene, line = talking()
    line.hold()
    scene.agent.prompter.say("Say it.", lasting=lasting)
    line.unhold()
    scene.answer(2)
    assert asked(scene) == then
    assert not scene.agent.prompter.owes_speech


@in_loop
async def test_an_agent_that_falls_silent_for_a_person_owes_nothing() -> None:
    scene, line = talking()
    line.mute("agent", True)
    scene.agent.prompter.say("Say it.")
    scene.agent.silence()
    assert not scene.agent.prompter.owes_speech


@pytest.mark.parametrize("kind", ["time_warning", "words", "greeting"])
@in_loop
async def test_nothing_is_asked_of_an_agent_that_nobody_hears(kind: str) -> None:
    """It would be cancelled, asked for again as it lasts, and cancelled, as long as the agent is muted."""
    scene, line = talking()
    line.mute("agent", True)
    prompter = scene.agent.prompter
    ask = {
        "time_warning": lambda: prompter.prompt("time_warning", 1),
        "words": lambda: prompter.say_exactly("We close at six."),
        "greeting": prompter.greet,
    }
    ask[kind]()
    assert asked(scene) == []
    line.mute("agent", False)
    assert asked(scene) == [{"time_warning": WARNING, "words": SAID, "greeting": "Say hello."}[kind]]


@pytest.mark.parametrize("how", ["mute", "hold"])
@pytest.mark.parametrize("lasting", [True, False])
@in_loop
async def test_what_was_asked_for_just_before_nobody_hears_the_agent_is_asked_for_once_they_do(
    how: str, lasting: bool
) -> None:
    scene, line = talking()
    scene.agent.prompter.say("Say it.", lasting=lasting)
    scene.engine.take()
    if how == "hold":
        line.hold()
        line.unhold()
        scene.agent.prompter.heard_again()
    else:
        line.mute("agent", True)
        line.mute("agent", True)
        line.mute("agent", False)
    assert asked(scene) == ["Say it."]
    assert not scene.agent.prompter.owes_speech


@in_loop
async def test_what_was_asked_for_just_before_a_person_has_the_caller_is_taken_back() -> None:
    """A session beside the call stays, and would ask for what lasts again and again."""
    scene, _ = talking()
    scene.agent.prompter.say("Say it.", lasting=True)
    scene.agent.silence()
    assert scene.engine.unheard == {}
    assert not scene.agent.prompter.owes_speech


@in_loop
async def test_a_muted_agent_is_not_asked_to_answer_the_caller() -> None:
    scene, line = talking(can=CAN - {"answers_itself"})
    line.mute("agent", True)
    scene.tell(SpeechStarted(), SpeechStopped(0.0))
    assert asked(scene) == []


@pytest.mark.parametrize("when", ["before the mute", "while muted"])
@in_loop
async def test_a_warning_is_not_owed_any_more_once_a_person_has_taken_the_caller_over(when: str) -> None:
    """It was said when they gave the caller back, or beside whom they gave the caller to."""
    scene, line = talking()
    if when == "while muted":
        line.mute("agent", True)
    scene.agent.prompter.prompt("time_warning", 1)
    scene.engine.take()
    line._is_taken = lambda: True
    line.mute("agent", True)
    line._is_taken = lambda: False
    line.mute("agent", False)
    scene.agent.prompter.learn("The operator has given the caller back.", speak=True)
    assert asked(scene) == [""]


@pytest.mark.parametrize(
    ("owed", "then"),
    [
        (["One.", "Two."], ["Two."]),
        (["One.", ""], ["One."]),
        (["", "One."], ["One."]),
        (["", ""], [""]),
        (["lasting 1", "One.", "Two."], ["lasting 1", "Two."]),
        (["One.", "lasting 1", "lasting 2"], ["One.", "lasting 1", "lasting 2"]),
        (["lasting 1", ""], ["lasting 1", ""]),
        (["lasting 1", "lasting 1"], ["lasting 1"]),
        ([f"lasting {number}" for number in range(9)], [f"lasting {number}" for number in range(5, 9)]),
    ],
)
@in_loop
async def test_what_lasts_is_owed_beside_the_newest_of_the_rest(owed: list[str], then: list[str]) -> None:
    scene, line = talking()
    line.mute("agent", True)
    for text in owed:
        scene.agent.prompter.say(text, lasting=text.startswith("lasting"))
    line.mute("agent", False)
    assert asked(scene) == then
    assert not scene.agent.prompter.owes_speech


@in_loop
async def test_the_sentence_after_a_hold_is_followed_by_what_lasts() -> None:
    scene, line = talking()
    line.hold()
    scene.agent.prompter.say("Say what you have found.")
    scene.agent.prompter.prompt("time_warning", 1)
    line.unhold()
    scene.agent.prompter.prompt("held", 1)
    assert asked(scene) == [prompt(Prompt.HELD), WARNING]


@in_loop
async def test_the_protected_greeting_is_asked_for_at_once_and_loses_nothing_that_is_owed() -> None:
    scene = Scene(greeting_protected=True)
    scene.ready()
    line = LineControl(scene.agent, scene.relay, hold_music="silence")
    line.mute("agent", True)
    scene.agent.prompter.say("Say it.", lasting=True)
    scene.agent.prompter.greet()
    assert asked(scene) == ["Say hello."]
    assert scene.agent.prompter.owes_speech


@in_loop
async def test_a_goodbye_waits_for_what_is_owed() -> None:
    scene, line = talking()
    line.mute("agent", True)
    scene.tell(ToolCalls("resp_2", (ToolCall("call_e", "end_call", "{}"),)))
    scene.agent.await_goodbye()
    await scene.agent.tool_calls.run("call_e")
    scene.agent.tool_turns.answer("call_e")
    assert events.GoodbyeHeard() not in scene.events, "the call ended before the goodbye"
    line.mute("agent", False)
    scene.answer(3)
    scene.hear(1.0)
    assert scene.events[-1] == events.GoodbyeHeard()
