"""The agent between engine, media and machine, without sockets."""

from __future__ import annotations

import pytest

from callflow.agent.prompts import Prompt, prompt
from callflow.contracts import events
from callflow.contracts.engine import (
    ErrorReported,
    HostedTool,
    ResponseFailed,
    SessionLost,
    SpeechStarted,
    SpeechStopped,
)
from callflow.journal import notes
from tests.agent.offline import Scene
from tests.in_loop import in_loop


@in_loop
async def test_a_session_that_is_ready_is_an_event_and_greets_when_told() -> None:
    scene = Scene()
    scene.ready()
    assert scene.events == [events.EngineReady()]
    assert scene.engine.take() == []
    scene.agent.prompter.greet()
    assert scene.engine.take() == [("response", "Say hello.")]
    assert scene.turns.is_answer_due


@in_loop
async def test_an_answer_after_a_loss_proves_that_all_works_again() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(SessionLost("gone"))
    scene.ready()
    scene.answer()
    assert events.AgentHeard() not in scene.events
    scene.hear(0.5)
    assert scene.events[-1] == events.AgentHeard()


@in_loop
async def test_a_clip_after_a_loss_proves_nothing() -> None:
    """A session that was opened and lost again and again had no end, if the caller heard a clip in between."""
    scene = Scene()
    scene.ready()
    scene.tell(SessionLost("gone"))
    scene.ready()
    assert scene.turns.interject("one-moment")
    scene.turns.no_answer_due()
    scene.hear(0.5)
    assert events.AgentHeard() not in scene.events


@in_loop
async def test_what_the_engine_tells_of_its_vendors_tools_is_written_down() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(HostedTool("m1", "shop", "buy", "{}", "2 left", ok=True))
    expected = notes.HostedTool(id="m1", server="shop", tool="buy", arguments="{}", output="2 left")
    assert scene.took(notes.HostedTool) == [expected]


@in_loop
async def test_the_goodbye_is_reported_when_it_was_heard() -> None:
    scene = Scene()
    scene.ready()
    scene.answer()
    scene.agent.await_goodbye()
    assert events.GoodbyeHeard() not in scene.events
    scene.hear(0.5)
    assert scene.events[-1] == events.GoodbyeHeard()


@in_loop
async def test_a_goodbye_that_the_caller_interrupts_is_called_off() -> None:
    scene = Scene()
    scene.ready()
    scene.answer()
    scene.agent.await_goodbye()
    scene.now += 0.2
    scene.tell(SpeechStarted())
    assert scene.events[-1] == events.GoodbyeInterrupted()
    told = [items for what, *rest in scene.engine.take() if what == "context" for items in rest]
    assert told[0][0].text == prompt(Prompt.CALLED_OFF)


@in_loop
async def test_an_answer_that_fails_is_covered_by_a_clip_once() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(SpeechStarted(), SpeechStopped(500.0), ResponseFailed("no quota"))
    assert scene.took(notes.Filler) == [notes.Filler(clip="trouble")]
    scene.hear(0.5)
    assert events.AgentHeard() not in scene.events, "the excuse counts as an answer"
    scene.tell(SpeechStarted(), SpeechStopped(500.0), ResponseFailed("no quota"))
    assert scene.took(notes.Filler) == [notes.Filler(clip="trouble")], "an excuse for each answer that fails"
    assert scene.events[-1] == events.EngineLost(reason="it cannot answer: no quota", retry=False)


@in_loop
async def test_an_error_that_does_not_end_the_session_is_noted() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(ErrorReported("bad_value", "no such voice"))
    assert scene.notes == [notes.EngineComplaint(code="bad_value", message="no such voice")]


@in_loop
async def test_a_fact_of_an_operator_is_answered_and_noted_as_it_may_be_shown() -> None:
    scene = Scene()
    scene.ready()
    scene.agent.respond_to("The card number is 4111.", shown="A card number was given.")
    assert [each[0] for each in scene.engine.take()] == ["context", "response"]
    assert scene.notes == [notes.Fact(text="A card number was given.")]
    assert scene.agent.conversation.turns[-1].text == "A card number was given."


@pytest.mark.parametrize("shut", ["hold", "mute"])
@in_loop
async def test_a_fact_is_only_learned_while_the_caller_would_not_hear_the_answer(shut: str) -> None:
    """The agent is muted while an operator speaks in its place, and was asked to answer all the same."""
    scene = Scene()
    scene.ready()
    if shut == "hold":
        scene.relay.gates.hold(True)
    else:
        scene.relay.gates.mute("agent", True)
    scene.agent.respond_to("They typed 4 7.", shown="They typed 4 7.")
    assert [each[0] for each in scene.engine.take()] == ["context"]
    assert scene.notes == [notes.Fact(text="They typed 4 7.")]


@in_loop
async def test_an_engine_that_says_nothing_is_tried_twice() -> None:
    scene = Scene()
    scene.ready()
    scene.agent.engine_silent("it is silent")
    assert scene.events[-1] == events.EngineLost(reason="it is silent", retry=True)
    scene.ready()
    scene.agent.engine_silent("it is silent")
    assert scene.events[-1] == events.EngineLost(reason="it is silent", retry=False)
