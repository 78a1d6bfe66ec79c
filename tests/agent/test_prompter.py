"""What the engine is asked to say when the caller has not asked for anything."""

from __future__ import annotations

import pytest

from callflow.agent.prompts import Prompt, prompt
from callflow.contracts.engine import AudioDelta, SessionLost
from tests.agent.offline import Scene
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
