"""The agent between engine, media and machine, without sockets."""

from __future__ import annotations

from callflow.agent.prompts import Prompt, prompt
from callflow.contracts import events
from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    ErrorReported,
    HostedTool,
    ResponseDone,
    ResponseFailed,
    ResponseStarted,
    SessionExpiring,
    SessionLost,
    SessionReady,
    SpeechStarted,
    SpeechStopped,
    ToolCalls,
)
from callflow.contracts.tools import ToolCall
from callflow.engines.openai_live.turns import LiveTurns
from callflow.journal import notes
from tests.agent.offline import CAN, Scene
from tests.in_loop import in_loop, settle


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


@in_loop
async def test_what_the_engine_tells_of_its_vendors_tools_is_written_down() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(HostedTool("m1", "shop", "buy", "{}", "2 left", ok=True))
    expected = notes.HostedTool(id="m1", server="shop", tool="buy", arguments="{}", output="2 left")
    assert scene.took(notes.HostedTool) == [expected]


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
    scene.tell(ResponseFailed("no quota"))
    assert scene.events[-1] == events.EngineLost(reason="it cannot answer: no quota", retry=False)


@in_loop
async def test_an_error_that_does_not_end_the_session_is_noted() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(ErrorReported("bad_value", "no such voice"))
    assert scene.notes == [notes.EngineComplaint(code="bad_value", message="no such voice")]


@in_loop
async def test_a_protected_greeting_is_heard_before_the_caller_may_interrupt() -> None:
    scene = Scene(disclosure="This call is recorded.")
    heard = []
    scene.agent.greeting_heard = lambda: heard.append(True)
    scene.ready()
    assert scene.engine.context.turn_detection is False
    scene.agent.prompter.greet()
    scene.engine.take()
    scene.answer()
    scene.tell(SpeechStarted())
    assert "clear" not in scene.stream.sent
    scene.hear(0.5)
    assert heard == [True]
    asked = scene.engine.take()
    assert asked == [("turn_detection", True), ("response", prompt(Prompt.SAID_OVER))]
    assert scene.took(notes.Protected)[0].in_full


@in_loop
async def test_a_fact_of_an_operator_is_answered_and_noted_as_it_may_be_shown() -> None:
    scene = Scene()
    scene.ready()
    scene.agent.respond_to("The card number is 4111.", shown="A card number was given.")
    assert [each[0] for each in scene.engine.take()] == ["context", "response"]
    assert scene.notes == [notes.Fact(text="A card number was given.")]
    assert scene.agent.conversation.turns[-1].text == "A card number was given."


@in_loop
async def test_an_engine_that_says_nothing_is_tried_twice() -> None:
    scene = Scene()
    scene.ready()
    scene.agent.engine_silent("it is silent")
    assert scene.events[-1] == events.EngineLost(reason="it is silent", retry=True)
    scene.ready()
    scene.agent.engine_silent("it is silent")
    assert scene.events[-1] == events.EngineLost(reason="it is silent", retry=False)
