"""A model that counts its ids anew in each session: nothing of a later session is taken for something of an earlier."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from callflow.agent.agent_state import AgentState
from callflow.agent.conversation import Turn
from callflow.agent.session_ids import _CHANGED, SessionIds, last_number
from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    EngineEvent,
    HostedTool,
    ItemAdded,
    PlayoutEnded,
    ResponseDone,
    ResponseStarted,
    SessionLost,
    SessionReady,
    SpeechStarted,
    SpeechStopped,
    ToolCalls,
    Transcript,
)
from callflow.contracts.events import ToolCalled
from callflow.contracts.tools import ToolCall
from tests.agent.offline import Scene
from tests.in_loop import in_loop


def replace_session(scene: Scene, how: str) -> None:
    if how == "lost":
        scene.tell(SessionLost("dropped"))
        scene.ready()
    else:
        scene.agent.sessions.rotate()
        scene.tell(SessionReady())
    scene.engine.take()


@pytest.mark.parametrize("how", ["lost", "rotated"])
@in_loop
async def test_audio_under_the_ids_of_one_that_was_cut_off_in_another_session_is_played(how: str) -> None:
    scene = Scene()
    scene.ready()
    scene.answer(ms=900, whole=False)
    scene.now += 0.3
    scene.tell(SpeechStarted(), SpeechStopped())
    replace_session(scene, how)
    scene.stream.sent.clear()
    scene.answer(ms=900, whole=False)
    assert sum(len(sent) for sent in scene.stream.sent if isinstance(sent, bytes)) > 800
    scene.now += 0.3
    scene.tell(SpeechStarted())
    (told,) = [asked for asked in scene.engine.take() if asked[0] == "truncate"]
    assert told[1] == "item_1", "the model is told of its own id"


@in_loop
async def test_words_under_an_id_of_another_session_do_not_take_the_place_of_those_before() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(Transcript("agent", "item_1", "How can I help you?", True))
    scene.tell(ItemAdded("caller", "item_2"), Transcript("caller", "item_2", "My order.", True))
    replace_session(scene, "lost")
    scene.tell(Transcript("agent", "item_1", "Sorry, the line was bad.", True))
    scene.tell(Transcript("agent", "item_2", "It is on its way.", True))
    told = [(turn.who, turn.item, turn.text) for turn in scene.agent.conversation.turns]
    assert told == [
        ("agent", "item_1", "How can I help you?"),
        ("caller", "item_2", "My order."),
        ("agent", "item_1~2", "Sorry, the line was bad."),
        ("agent", "item_2~2", "It is on its way."),
    ]


@in_loop
async def test_a_tool_call_with_an_id_of_another_session_is_run_and_answered() -> None:
    scene = Scene()
    scene.ready()

    async def called() -> list[str]:
        scene.events.clear()
        scene.tell(ToolCalls("resp_1", (ToolCall("call_1", "look", "{}"),)))
        ids = [event.id for event in scene.events if isinstance(event, ToolCalled)]
        for name in ids:
            await scene.agent.tool_calls.run(name)
            scene.agent.tool_turns.answer(name)
        return [asked[1] for asked in scene.engine.take() if asked[0] == "tool"]

    assert await called() == ["call_1"]
    replace_session(scene, "lost")
    assert await called() == ["call_1"]
    assert scene.agent.tool_calls.runs == 2


@in_loop
async def test_a_tool_call_of_an_earlier_session_keeps_its_id_in_the_next() -> None:
    scene = Scene()
    scene.ready()
    replace_session(scene, "lost")
    scene.tell(ToolCalls("resp_1", (ToolCall("call_1", "look", "{}"),)))
    scene.tell(SessionLost("dropped"))
    scene.ready()
    (context,) = [asked[1] for asked in scene.engine.take() if asked[0] == "context"]
    await scene.agent.tool_calls.run("call_1~2")
    scene.agent.tool_turns.answer("call_1~2")
    assert [item.id for item in context if isinstance(item, ToolCall)] == ["call_1~2"]
    assert [asked[1] for asked in scene.engine.take() if asked[0] == "tool"] == ["call_1~2"]


@in_loop
async def test_a_call_that_another_process_had_goes_on_with_ids_of_its_own() -> None:
    scene = Scene()
    turns = [Turn("agent", "item_1", "Good day."), Turn("caller", "item_2~3", "Hello?")]
    state = AgentState(
        turns=turns, interruptions=0, greeting_is_over=True, changes={}, usage={}, first_word_ms=None,
        left_quietly=False, last_session=3,
    )  # fmt: skip
    scene.agent.restore(state, 1.0)
    scene.ready()
    scene.tell(Transcript("agent", "item_1", "I am back.", True))
    assert [turn.item for turn in turns] == ["item_1", "item_2~3"]
    assert scene.agent.conversation.turns[-1].item == "item_1~4"


@in_loop
async def test_a_session_that_finds_its_conversation_there_has_the_ids_of_the_one_before() -> None:
    scene = Scene()
    scene.ready()
    replace_session(scene, "lost")
    scene.agent.sessions.was_there = True
    replace_session(scene, "lost")
    scene.tell(Transcript("agent", "item_1", "Where were we?", True))
    assert scene.agent.conversation.turns[-1].item == "item_1~2"


@in_loop
async def test_a_tool_call_that_a_session_is_reminded_of_has_the_id_that_it_knows() -> None:
    """So a process that takes a call over SIP back answers it; under another id the answer was for no call."""
    scene = Scene()
    scene.ready()
    replace_session(scene, "lost")
    scene.agent.sessions.add_context([ToolCall("call_1~2", "", "")])
    scene.agent.sessions.answer_tool("call_1~2", "{}", speak=True)
    assert scene.engine.take() == [("context", [ToolCall("call_1", "", "")]), ("tool", "call_1", "{}", True)]


def test_no_event_with_an_id_is_forgotten() -> None:
    ids = {"id", "response", "item", "items", "calls", "cut"}
    with_ids = {kind for kind in get_args(EngineEvent) if ids & {*kind._fields}}
    assert with_ids == {*_CHANGED, AudioDelta}


EVENTS: list[tuple[Any, Any]] = [
    (ResponseStarted("r"), ResponseStarted("r~3")),
    (AudioDelta("r", "i", 1, b"x"), AudioDelta("r~3", "i~3", 1, b"x")),
    (AudioDelta("", "i", 1, b"x"), AudioDelta("", "i~3", 1, b"x")),
    (AudioDone("", "i", 1), AudioDone("", "i~3", 1)),
    (ResponseDone("r", "completed", items=("a", "b")), ResponseDone("r~3", "completed", items=("a~3", "b~3"))),
    (PlayoutEnded("r", 5, ("a",), {"a": 3}), PlayoutEnded("r~3", 5, ("a~3",), {"a~3": 3})),
    (PlayoutEnded("r", 5), PlayoutEnded("r~3", 5)),
    (HostedTool("m", "s", "t", "{}", "x", True), HostedTool("m~3", "s", "t", "{}", "x", True)),
    (SpeechStarted(), SpeechStarted()),
]


@pytest.mark.parametrize(("event", "marked"), EVENTS)
def test_each_event_has_the_ids_of_its_session(event: Any, marked: Any) -> None:
    assert SessionIds(3).marked(event) == marked
    assert SessionIds(3).of_session("i~3") == "i"
    assert SessionIds(3).of_session("i~2") == "i~2"
    assert SessionIds(1).are_plain


def test_the_number_of_the_last_session_is_told_by_its_ids() -> None:
    assert last_number([]) == 1
    assert last_number(["item_1", "", "a~b", "a~12", "item_9~3", "a~99999999"]) == 12
