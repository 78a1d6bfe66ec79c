"""Tool calls as parts of the conversation: who has the turn while one runs, and what follows its answer."""

from __future__ import annotations

import pytest

from callflow.agent.line_control import LineControl
from callflow.agent.prompts import Prompt, prompt, tool_answered
from callflow.agent.tool_calls import ENDS_CALL
from callflow.contracts import events
from callflow.contracts.engine import SessionLost, SpeechStarted, ToolCalls
from callflow.contracts.tools import ToolCall
from tests.agent.offline import CAN, Scene
from tests.in_loop import in_loop


LOOK = ToolCall("call_a", "look_up", '{"what":"taxi"}')


def posted(scene: Scene) -> list[events.ToolCalled]:
    return [event for event in scene.events if isinstance(event, events.ToolCalled)]


async def answered(scene: Scene, *names: str) -> None:
    for name in names:
        await scene.agent.tool_calls.run(name)
        scene.agent.tool_turns.answer(name)


@in_loop
async def test_a_tool_is_called_once_and_its_answer_given_once() -> None:
    scene = Scene()
    scene.ready()
    call = ToolCall("call_a", "look_up", "{}")
    scene.tell(ToolCalls("resp_1", (call, call)))
    assert scene.events[1:] == [events.ToolCalled(id="call_a", tool="look_up", arguments="{}")]
    await scene.agent.tool_calls.run("call_a")
    scene.agent.tool_turns.answer("call_a")
    scene.agent.tool_turns.answer("call_a")
    assert scene.engine.take() == [("tool", "call_a", '"look_up was run"', True)]


@in_loop
async def test_the_agent_has_the_turn_while_a_tool_runs_and_when_it_is_answered() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(ToolCalls("resp_1", (LOOK,)))
    assert scene.turns.is_answer_due
    await answered(scene, LOOK.id)
    assert scene.turns.is_answer_due, "it has to say what it has found"
    (fact,) = scene.agent.conversation.turns
    assert (fact.who, fact.text) == ("system", tool_answered("look_up", LOOK.arguments, '"look_up was run"'))


@in_loop
async def test_several_tools_of_one_response_are_each_asked_for_in_order() -> None:
    scene = Scene()
    scene.ready()
    calls = tuple(ToolCall(f"call_{number}", "look_up", "{}") for number in range(3))
    scene.tell(ToolCalls("resp_1", calls))
    assert [event.id for event in posted(scene)] == [call.id for call in calls]
    await answered(scene, "call_2", "call_0", "call_1")
    assert [asked[1] for asked in scene.engine.take()] == ["call_2", "call_0", "call_1"]


@in_loop
async def test_an_engine_that_calls_nothing_changes_nothing() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(ToolCalls("resp_1", ()))
    assert posted(scene) == []
    assert not scene.turns.is_answer_due


@in_loop
async def test_a_tool_that_is_not_done_or_not_known_is_not_answered() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(ToolCalls("resp_1", (LOOK,)))
    scene.agent.tool_turns.answer(LOOK.id)
    scene.agent.tool_turns.answer("never called")
    scene.agent.tool_turns.answer("")
    assert scene.engine.take() == []
    assert scene.agent.conversation.turns == []


@in_loop
async def test_a_call_that_speaks_and_ends_leaves_no_answer_due() -> None:
    """It has said goodbye in the same breath: to ask it for more would keep the caller on the line."""
    scene = Scene()
    scene.ready()
    scene.answer()
    scene.hear(1.0)
    scene.engine.take()
    scene.tell(ToolCalls("resp_1", (ToolCall("call_e", ENDS_CALL, "{}"),)))
    await answered(scene, "call_e")
    assert scene.engine.take() == [("tool", "call_e", '"end_call was run"', False)]
    assert not scene.turns.is_answer_due


@in_loop
async def test_while_another_tool_runs_the_answer_is_still_due() -> None:
    scene = Scene()
    scene.ready()
    scene.answer()
    scene.hear(1.0)
    scene.tell(ToolCalls("resp_1", (ToolCall("call_e", ENDS_CALL, "{}"), LOOK)))
    await answered(scene, "call_e")
    assert scene.turns.is_answer_due


@in_loop
async def test_a_result_ends_the_wait_for_a_goodbye_that_was_heard() -> None:
    scene = Scene()
    scene.ready()
    scene.answer()
    scene.tell(ToolCalls("resp_1", (ToolCall("call_e", ENDS_CALL, "{}"),)))
    scene.agent.await_goodbye()
    scene.hear(1.0)
    assert events.GoodbyeHeard() not in scene.events, "the tool is still running"
    await answered(scene, "call_e")
    assert scene.events[-1] == events.GoodbyeHeard()


@in_loop
async def test_a_result_without_any_session_is_kept_as_a_result_that_nobody_was_told() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(ToolCalls("resp_1", (LOOK,)))
    scene.agent.sessions.leave()
    await answered(scene, LOOK.id)
    assert "tool" not in [asked[0] for asked in scene.engines[0].take()]
    assert scene.agent.conversation.turns == [], "as it was not told, it is no part of the conversation"


@in_loop
async def test_a_result_that_comes_after_a_new_session_is_that_ones() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(ToolCalls("resp_1", (LOOK,)))
    scene.tell(SessionLost("dropped"))
    scene.ready()
    await answered(scene, LOOK.id)
    assert "tool" not in [asked[0] for asked in scene.engines[0].take()]
    assert [asked[:2] for asked in scene.engines[1].take() if asked[0] == "tool"] == [("tool", LOOK.id)]


@in_loop
async def test_a_caller_who_speaks_while_a_tool_runs_has_the_turn() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(SpeechStarted())
    scene.tell(ToolCalls("resp_1", (LOOK,)))
    assert len(posted(scene)) == 1
    assert not scene.turns.is_answer_due


# While the caller does not hear the agent


def told(scene: Scene) -> list[tuple[object, ...]]:
    return [asked[:1] if asked[0] == "context" else asked for asked in scene.engine.take()]


@in_loop
async def test_a_result_that_comes_while_the_agent_is_muted_is_spoken_about_when_it_is_heard_again() -> None:
    """The model is told at once, and speaks when somebody hears it: what it said before would be cut off, and nobody
    would ask it again."""
    scene = Scene()
    scene.ready()
    line = LineControl(scene.agent, scene.relay, hold_music="silence")
    scene.tell(ToolCalls("resp_1", (LOOK,)))
    line.mute("agent", True)
    await answered(scene, LOOK.id)
    assert told(scene) == [("tool", LOOK.id, '"look_up was run"', False)], "it was asked to speak to nobody"
    assert (scene.turns.is_answer_due, scene.agent.is_quiet) == (False, False), "whoever has the call next must speak"
    line.mute("agent", False)
    assert told(scene) == [("response", "")], "it was not asked when it was heard again"
    assert scene.turns.is_answer_due
    scene.answer(2)
    scene.hear(1.0)
    line.mute("agent", True)
    line.mute("agent", False)
    assert told(scene) == [], "it was asked twice"


@pytest.mark.parametrize(
    ("last", "muted_again", "then"),
    [
        ("look_up", False, [("tool", "call_b", '"look_up was run"', True)]),
        ("look_up", True, [("tool", "call_b", '"look_up was run"', False), ("response", "")]),
        (ENDS_CALL, False, [("tool", "call_b", '"end_call was run"', False), ("response", "")]),
    ],
)
@in_loop
async def test_of_two_tools_the_last_result_asks(last: str, muted_again: bool, then: list[tuple[object, ...]]) -> None:
    """`last`: the tool that still runs when the agent is heard again; `end_call` was called in the goodbye's breath."""
    scene = Scene()
    scene.ready()
    scene.answer()
    scene.hear(1.0)
    line = LineControl(scene.agent, scene.relay, hold_music="silence")
    response = "resp_1" if last == ENDS_CALL else "resp_2"
    scene.tell(ToolCalls("resp_2", (LOOK,)), ToolCalls(response, (ToolCall("call_b", last, "{}"),)))
    line.mute("agent", True)
    await answered(scene, LOOK.id)
    told(scene)
    line.mute("agent", False)
    assert told(scene) == [], "it was asked while a tool still runs"
    line.mute("agent", muted_again)
    await answered(scene, "call_b")
    line.mute("agent", False)
    assert told(scene) == then


@in_loop
async def test_on_hold_and_muted_it_speaks_when_neither_is_left() -> None:
    scene = Scene()
    scene.ready()
    line = LineControl(scene.agent, scene.relay, hold_music="silence")
    scene.tell(ToolCalls("resp_1", (LOOK,)))
    line.mute("agent", True)
    line.hold()
    await answered(scene, LOOK.id)
    line.mute("agent", False)
    assert told(scene) == [("tool", LOOK.id, '"look_up was run"', False)]
    line.unhold()
    assert told(scene) == [], "the machine asks then"
    scene.agent.prompter.prompt("held", 1)
    assert told(scene) == [("response", prompt(Prompt.HELD))]
    line.mute("caller", True)
    line.mute("caller", False)
    assert told(scene) == [], "it was asked twice"


@in_loop
async def test_whoever_gives_the_caller_back_asks_for_the_one_sentence_that_follows() -> None:
    scene = Scene()
    scene.ready()
    line = LineControl(scene.agent, scene.relay, hold_music="silence", is_taken=lambda: True)
    scene.tell(ToolCalls("resp_1", (LOOK,)))
    line.mute("agent", True)
    await answered(scene, LOOK.id)
    line.mute("agent", False)
    assert told(scene) == [("tool", LOOK.id, '"look_up was run"', False)]
    scene.agent.prompter.learn("You have the caller back.", speak=True)
    assert told(scene) == [("context",), ("response", "")]


@pytest.mark.parametrize("about", ["back", "held", "keys_failed"])
@in_loop
async def test_whatever_else_is_to_be_said_while_the_agent_is_muted_waits_too(about: str) -> None:
    scene = Scene()
    scene.ready()
    line = LineControl(scene.agent, scene.relay, hold_music="silence")
    line.mute("agent", True)
    scene.agent.prompter.prompt(about, 1)
    assert "response" not in [asked[0] for asked in told(scene)]
    line.mute("agent", False)
    assert [asked[0] for asked in told(scene)] == ["response"]


@in_loop
async def test_a_model_that_cannot_be_stopped_is_given_the_result_so_that_it_learns_it() -> None:
    """The part of it that runs tools passes the result on only when it goes on."""
    scene = Scene(can=CAN - {"cancels"})
    scene.ready()
    line = LineControl(scene.agent, scene.relay, hold_music="silence")
    scene.tell(ToolCalls("resp_1", (LOOK,)))
    line.mute("agent", True)
    told(scene)
    await answered(scene, LOOK.id)
    assert told(scene) == [("tool", LOOK.id, '"look_up was run"', True)]
    line.mute("agent", False)
    assert told(scene)[-1] == ("response", "")
