"""The agent of a call whose audio never comes here: it knows only what the engine tells of what the caller hears."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.agent.agent_state import AgentState
from callflow.agent.conversation import MS_A_WORD
from callflow.agent.prompts import Prompt, prompt
from callflow.contracts import events
from callflow.contracts.engine import (
    KeyPressed,
    PlayoutBegan,
    PlayoutEnded,
    ResponseDone,
    ResponseStarted,
    SessionLost,
    SessionReady,
    SpeechStarted,
    SpeechStopped,
    Transcript,
)
from callflow.contracts.media import SpeechSegmentId
from callflow.contracts.tools import ToolCall
from callflow.journal import notes
from callflow.media.remote_line import ENCODING, RemoteLine
from tests.agent.offline import CAN, Scene
from tests.in_loop import in_loop


CAN_HERE = (CAN - {"interrupts_itself"}) | {"plays_itself"}


def remote(*, answered: bool = True, can: frozenset[Any] = CAN_HERE, **config: Any) -> Scene:
    scene = Scene(line=RemoteLine, can=can, **config)
    if answered:
        scene.relay.answered()
        scene.ready()
    scene.events.clear()
    return scene


def said(scene: Scene, *items: str, response: str = "resp_1", text: str = "one two three four") -> None:
    """Let the caller begin to hear a response with these messages."""
    scene.tell(ResponseStarted(response))
    for item in items:
        scene.tell(Transcript("agent", item, text, final=True))
    scene.tell(PlayoutBegan(response))


def flows(scene: Scene) -> bool:
    return scene.relay.is_flowing


def plays(scene: Scene) -> bool:
    return scene.turns.is_unplayed


def awaits_audio(scene: Scene) -> bool:
    return scene.turns.latency.waits_for_audio


@in_loop
async def test_a_session_beside_the_call_is_its_stream_once() -> None:
    scene = remote(answered=False)
    scene.relay.answered()
    scene.agent.connect()
    assert not flows(scene)
    scene.tell(SessionReady(), SessionReady())
    assert flows(scene)
    assert [event for event in scene.events if isinstance(event, events.MediaStarted)] == [
        events.MediaStarted(encoding=ENCODING)
    ]


@in_loop
async def test_a_call_with_a_relay_does_nothing_of_this() -> None:
    scene = Scene()
    scene.ready()
    scene.events.clear()
    told = scene.agent.remote
    told.ready()
    told.began(PlayoutBegan("resp_1"))
    told.ended(PlayoutEnded("resp_1", 500, ("item_1",), {"item_1": 100}))
    told.words(Transcript("agent", "item_1", "Hello.", final=True))
    told.restored({"call_1": "{}"}, was_there=True)
    assert not told.lost(SessionLost("gone", over=True))
    assert not told.silence()
    assert told.resumes() == ""
    assert told.describe() is None
    assert (scene.events, scene.engine.take(), scene.agent.conversation.turns) == ([], [], [])
    assert not scene.agent.sessions.was_there


@in_loop
async def test_what_is_played_to_its_end_was_heard() -> None:
    scene = remote()
    said(scene, "item_1")
    assert plays(scene)
    scene.tell(PlayoutEnded("resp_1", 900, ("item_1",)))
    assert not plays(scene)
    turn = scene.agent.conversation.turn("item_1")
    assert turn is not None
    assert (turn.is_heard, turn.interrupted, turn.has_sound) == (True, False, True)


@in_loop
async def test_words_alone_are_expected_to_be_heard() -> None:
    scene = remote()
    scene.tell(Transcript("caller", "item_0", "Hello?", final=False))
    assert not plays(scene)
    scene.tell(Transcript("agent", "item_1", "Good", final=False))
    assert plays(scene)
    scene.now += 4.0
    assert not plays(scene), "they were never played"


CUTS: list[tuple[str, dict[str, int], list[tuple[str, int, int]]]] = [
    ("only the second", {"b": 300}, [("b", 300, 4 * MS_A_WORD)]),
    ("the first", {"a": 600}, [("a", 600, 4 * MS_A_WORD), ("b", 0, 4 * MS_A_WORD)]),
    ("both", {"a": 5000, "b": 0}, [("a", 5000, 5000), ("b", 0, 4 * MS_A_WORD)]),
    ("nothing is told", {}, [("a", 0, 4 * MS_A_WORD), ("b", 0, 4 * MS_A_WORD)]),
    ("one that nobody knows", {"x": 100}, [("a", 0, 4 * MS_A_WORD), ("b", 0, 4 * MS_A_WORD)]),
]


@pytest.mark.parametrize(("told", "cuts"), [row[1:] for row in CUTS], ids=[row[0] for row in CUTS])
@in_loop
async def test_of_a_response_that_was_cut_off_the_rest_was_not_heard(
    told: dict[str, int], cuts: list[tuple[str, int, int]]
) -> None:
    scene = remote()
    said(scene, "a", "b")
    scene.tell(SpeechStarted(), PlayoutEnded("resp_1", 700, ("a", "b"), told))
    (note,) = scene.took(notes.Interrupted)
    assert note.by_caller
    assert [(cut.item, cut.heard_ms, cut.received_ms) for cut in note.cuts] == cuts


@in_loop
async def test_a_cut_that_nobody_spoke_for_is_not_the_callers() -> None:
    scene = remote()
    said(scene, "a")
    scene.tell(PlayoutEnded("resp_1", 700, ("a",), {"a": 100}))
    (note,) = scene.took(notes.Interrupted)
    assert not note.by_caller


@in_loop
async def test_an_end_without_any_message_or_beginning_is_harmless() -> None:
    scene = remote()
    scene.tell(PlayoutEnded("resp_9", 0, ()), PlayoutEnded("resp_9", 0, (), {}), PlayoutEnded("resp_9", 0, ("a",)))
    assert not plays(scene)
    assert scene.took(notes.Interrupted) == []


@in_loop
async def test_the_first_word_is_when_the_caller_begins_to_hear() -> None:
    scene = remote()
    scene.now += 0.25
    said(scene, "a")
    assert scene.turns.first_word_ms == 250


@in_loop
async def test_keys_are_reported() -> None:
    scene = remote()
    scene.tell(KeyPressed("#"), KeyPressed("#"))
    assert scene.events == [events.Dtmf(digit="#", source="stream")] * 2


@pytest.mark.parametrize("stops_itself", [True, False])
@in_loop
async def test_who_speaks_stops_the_speech_and_an_engine_that_stops_itself_is_not_told_twice(
    stops_itself: bool,
) -> None:
    scene = remote(can=CAN_HERE | {"interrupts_itself"} if stops_itself else CAN_HERE)
    said(scene, "a")
    scene.tell(SpeechStarted())
    asked = [each for each in scene.engine.take() if each[0] == "cancel"]
    assert bool(asked) is not stops_itself
    assert set(asked) <= {("cancel", "resp_1")}


# The session's end


@pytest.mark.parametrize(("referred", "cause"), [(False, "completed"), (True, "transferred")])
@in_loop
async def test_the_end_of_the_session_is_the_end_of_the_call(referred: bool, cause: str) -> None:
    scene = remote()
    if referred:
        scene.agent.silence()
        assert ("turn_detection", False) in scene.engine.take()
        assert not flows(scene)
    scene.tell(SessionLost("closed", over=True))
    assert scene.events == [events.CallHangup(cause=cause)]


@in_loop
async def test_a_call_that_is_over_before_there_was_a_session_is_hung_up_all_the_same() -> None:
    """An accept whose answer was lost may not have been obeyed, and the caller waits."""
    scene = remote(answered=False)
    scene.relay.answered()
    scene.agent.connect()
    scene.tell(SessionLost("not found", over=True))
    assert scene.events == [events.HangupRequested(reason="already_ended")]


@in_loop
async def test_a_session_that_breaks_is_not_the_end_of_the_call() -> None:
    scene = remote()
    said(scene, "a")
    scene.tell(SessionLost("dropped"))
    assert scene.events == [events.EngineLost(reason="dropped", retry=True)]
    assert not plays(scene), "nothing tells of it any more"


@in_loop
async def test_a_referred_caller_who_comes_back_is_not_taken_for_referred_any_more() -> None:
    scene = remote()
    scene.agent.silence()
    scene.tell(SessionLost("dropped"))
    scene.ready()
    scene.events.clear()
    scene.tell(SessionLost("closed", over=True))
    assert scene.events == [events.CallHangup(cause="completed")]


@in_loop
async def test_an_answer_to_a_referred_caller_is_stopped() -> None:
    scene = remote()
    scene.agent.silence()
    scene.engine.take()
    scene.tell(PlayoutBegan("resp_7"))
    assert ("cancel", "resp_7") in scene.engine.take()


@pytest.mark.parametrize(("due", "playing", "then"), [(False, False, "listen"), (True, False, "answer"),
                                                      (True, True, "listen")])  # fmt: skip
@in_loop
async def test_how_a_conversation_goes_on_whose_session_was_opened_again(due: bool, playing: bool, then: str) -> None:
    scene = remote()
    if due:
        scene.tell(SpeechStarted(), SpeechStopped(0.0))
    if playing:
        said(scene, "a")
        scene.turns.expect_speech()
    scene.tell(SessionLost("dropped"))
    scene.ready()
    assert scene.agent.sessions.resumed
    assert scene.agent.remote.resumes() == then


@in_loop
async def test_a_first_session_goes_on_with_nothing() -> None:
    assert remote().agent.remote.resumes() == ""


@pytest.mark.parametrize("was_there", [True, False])
@in_loop
async def test_tools_of_another_process_are_answered_once_if_the_session_knows_of_them(was_there: bool) -> None:
    scene = remote(answered=False)
    state = AgentState(
        turns=[], interruptions=0, greeting_is_over=True, changes={}, usage={}, first_word_ms=None,
        left_quietly=False, unanswered={"call_1": '{"error":"lost"}'}, had_session=was_there,
    )  # fmt: skip
    scene.agent.restore(state, 1.0)
    scene.relay.answered()
    scene.ready()
    tools = [each for each in scene.engine.take() if each[0] in ("tool", "context") and "call_1" in str(each)]
    wanted = [("context", [ToolCall("call_1", "", "")]), ("tool", "call_1", '{"error":"lost"}', True)]
    assert tools == wanted * was_there
    scene.tell(SessionLost("dropped"))
    scene.ready()
    assert not any(each[0] == "tool" for each in scene.engine.take())


# The last sentence


@in_loop
async def test_the_last_sentence_is_the_agents_and_the_caller_cannot_interrupt_it() -> None:
    scene = remote()
    scene.relay.play_clip("sorry")
    asked = scene.engine.take()
    assert ("response", prompt(Prompt.SAY, text="sorry")) in asked
    assert ("turn_detection", False) in asked
    assert scene.turns.taking.protected
    said(scene, "a", response="resp_1")
    assert events.ClipPlayed(clip="sorry") not in scene.events
    scene.tell(PlayoutEnded("resp_1", 900, ("a",)))
    assert scene.events.count(events.ClipPlayed(clip="sorry")) == 1


@in_loop
async def test_an_answer_that_was_under_way_and_is_heard_late_is_not_the_last_sentence() -> None:
    """The call ended with it, before its last sentence was said."""
    scene = remote()
    scene.tell(ResponseStarted("resp_1"), Transcript("agent", "a", "one two", final=False))
    scene.relay.play_clip("sorry")
    scene.tell(PlayoutBegan("resp_1"), PlayoutEnded("resp_1", 300, ("a",), {"a": 300}))
    assert events.ClipPlayed(clip="sorry") not in scene.events
    said(scene, "b", response="resp_2")
    scene.tell(PlayoutEnded("resp_2", 900, ("b",)))
    assert scene.events.count(events.ClipPlayed(clip="sorry")) == 1


@in_loop
async def test_without_a_session_the_last_sentence_counts_as_said() -> None:
    scene = remote()
    scene.tell(SessionLost("dropped"))
    scene.events.clear()
    scene.relay.play_clip("sorry")
    assert scene.events == [events.ClipPlayed(clip="sorry")]


@in_loop
async def test_messages_before_the_one_that_was_cut_prove_what_was_heard_of_a_protected_sentence() -> None:
    scene = remote(disclosure="This call is recorded.")
    scene.agent.prompter.greet()
    said(scene, "a")
    scene.tell(PlayoutEnded("resp_1", 900, ("a",)))
    found = scene.agent.protected_greeting.proof(scene.relay.playout, scene.agent.conversation, scene.now, in_full=True)
    assert (found.heard_ms, found.of_ms) == (900, 900)
    assert SpeechSegmentId("a", 0, 1) in scene.agent.protected_greeting._ms


@in_loop
async def test_a_greeting_of_several_messages_whose_lengths_nobody_tells_was_heard_in_full() -> None:
    scene = remote(disclosure="This call is recorded.")
    scene.agent.prompter.greet()
    said(scene, "a", "b")
    scene.tell(ResponseDone("resp_1", "completed", answered=True, items=("a", "b")))
    scene.tell(PlayoutEnded("resp_1", 900, ("a", "b")))
    (note,) = scene.took(notes.Protected)
    assert note.in_full


@pytest.mark.parametrize("was_there", [True, False])
@in_loop
async def test_a_session_whose_conversation_is_there_hears_the_caller_again(was_there: bool) -> None:
    """The one that it was before may have been told to hear nobody."""
    scene = remote(answered=False)
    scene.agent.remote.restored({}, was_there=was_there)
    scene.relay.answered()
    scene.ready()
    assert (("turn_detection", True) in scene.engine.take()) is was_there
    assert scene.agent.remote.resumes() == ("listen" if was_there else "")


@in_loop
async def test_a_caller_who_speaks_into_what_they_cannot_interrupt_has_not_cut_it_off() -> None:
    scene = remote()
    said(scene, "a")
    scene.turns.taking.protected = True
    scene.tell(SpeechStarted(), PlayoutEnded("resp_1", 700, ("a",), {"a": 100}))
    (note,) = scene.took(notes.Interrupted)
    assert not note.by_caller


@in_loop
async def test_an_agent_that_is_heard_has_answered_and_has_spoken() -> None:
    scene = remote()
    scene.tell(SpeechStarted(), SpeechStopped(0.0))
    assert awaits_audio(scene)
    said(scene, "a")
    assert not awaits_audio(scene)
    assert scene.turns.taking.has_spoken("resp_1")
