"""The machine of a line that has a fallback number, or a sentence of its own: every event from every state, too.

What holds on every edge without one (`test_machine.py`) holds on every edge with one. What is its own stands here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from callflow.call import machine
from callflow.call.machine import BRIDGED, HANGUP, RECOVERING, SPEAKING, TRANSFERRING, Fallback, Model, take
from callflow.contracts import commands as do
from callflow.contracts import events as ev
from callflow.contracts.events import Event
from tests.call import test_machine as walk
from tests.call.exploration import (
    FALLBACK,
    INBOUND,
    Edge,
    Graph,
    Node,
    done,
    failed,
    follow,
    graph,
    of_the_person,
    passed,
)


pytestmark = pytest.mark.exhaustive
SPOKEN = Fallback("+15550100010", 20, spoken=True)
SENTENCE = Fallback(spoken=True)
"""Nobody to be connected with, but a sentence."""
KINDS = {"a number": FALLBACK, "a number, and a sentence": SPOKEN}


@cache
def explored(fallback: Fallback) -> Graph:
    return graph(0, 1, fallback, INBOUND)


def of_own(edges: list[Edge]) -> list[Edge]:
    return [edge for edge in edges if any(isinstance(one, do.Transfer) and one.fallback for one in edge.step.commands)]


INVARIANTS: list[Callable[[], None]] = [
    walk.test_a_call_is_answered_at_most_once_and_never_after_it_was_found_answered,
    walk.test_the_engine_greets_once,
    walk.test_the_engine_greets_only_when_it_is_ready_and_somebody_is_there,
    walk.test_the_agent_is_prompted_only_when_it_can_speak_and_be_heard,
    walk.test_hangup_absorbs_everything,
    walk.test_the_end_releases_once_and_hangs_up_unless_the_carrier_said_that_it_is_over,
    walk.test_a_clip_is_played_only_while_the_stream_is_open,
    walk.test_the_carrier_speaks_only_to_somebody_who_listens_and_only_once,
    walk.test_media_is_open_only_while_streaming,
    walk.test_a_last_sentence_is_due_silently_only_while_it_rings,
    walk.test_every_live_call_has_a_deadline,
    walk.test_a_deadline_that_is_armed_does_something_when_it_passes,
    walk.test_arm_and_disarm_agree_with_what_the_model_believes,
    walk.test_there_is_a_way_to_hangup_from_everywhere_and_the_carriers_word_is_one,
    walk.test_a_repeat_makes_no_further_command_to_anybody,
    walk.test_a_carriers_command_is_never_given_twice_but_the_last_sentence_after_a_clip,
    walk.test_every_transfer_that_begins_is_told_to_end_once,
    walk.test_what_is_inert_has_no_consequence_at_all,
]


@pytest.mark.parametrize("kind", [pytest.param("a number", marks=pytest.mark.proof), "a number, and a sentence"])
def test_what_holds_without_a_fallback_holds_with_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = explored(KINDS[kind])
    print(f"{kind}: {len(found.nodes)} states, {len(found.edges)} steps")
    monkeypatch.setattr(walk, "graph", lambda: found)
    for holds in INVARIANTS:
        holds()


def test_whoever_this_line_cannot_serve_is_connected_once_and_never_from_a_call_that_rings() -> None:
    for fallback in (FALLBACK, SPOKEN):
        given = of_own(explored(fallback).edges)
        assert given
        for edge in given:
            assert edge.step.after == TRANSFERRING, edge
            assert edge.source.model.cause, f"the journal does not say why: {edge}"
            assert edge.target.model.fallback is None, edge
            assert "transfer" in edge.target.model.armed, edge
            assert do.Transfer(number=fallback.number, ring_seconds=20, fallback=True) in edge.step.commands


def test_the_sentence_before_it_never_ends_the_call() -> None:
    for fallback in (FALLBACK, SPOKEN):
        for edge in explored(fallback).edges:
            for one in edge.step.commands:
                if isinstance(one, do.Speak):
                    awaits = edge.target.model.fallback is not None and one.sentence in ("one-moment", "fallback")
                    assert one.goes_on == awaits, edge
    for node in explored(FALLBACK).nodes:
        if node.model.farewell == SPEAKING and node.model.sentence == "one-moment":
            for event in (ev.SpeakEnded(), failed(do.Speak.name), passed("farewell")):
                assert follow(node, event).step.after == TRANSFERRING, node


def connecting() -> list[Node]:
    return [node for node in explored(FALLBACK).nodes if node.model.transfer == "fallback"]


def test_where_nobody_takes_the_call_the_caller_hears_an_apology_and_then_the_end() -> None:
    nodes = [node for node in connecting() if node.model.state == TRANSFERRING]
    assert nodes
    gone: tuple[Event, ...] = (
        of_the_person(ev.CallHangup(cause="user_busy")), ev.CallResumed(), failed(do.Transfer.name),
        failed(do.FindPerson.name),
    )  # fmt: skip
    for node in nodes:
        for event in gone:
            edge = follow(node, event)
            assert edge.step.after == RECOVERING, edge
            assert do.Speak(sentence="sorry") in edge.step.commands, edge
            assert do.TellTransfer(outcome="not_reached") in edge.step.commands, edge
            assert follow(edge.target, ev.SpeakEnded()).step.after == HANGUP, edge


def test_who_is_connected_stays_so_until_one_of_them_hangs_up() -> None:
    nodes = [node for node in connecting() if node.model.state == TRANSFERRING]
    for node in nodes:
        joined = follow(node, of_the_person(ev.CallAnswered()))
        assert joined.step.after == BRIDGED, joined
        assert follow(joined.target, of_the_person(ev.CallHangup())).step.after == HANGUP
        assert follow(joined.target, ev.CallResumed()).step.after == HANGUP
        assert follow(joined.target, ev.CallRecovered(human="answered")).step.after == BRIDGED


def talking(fallback: Fallback | None) -> Model:
    model = Model(engine_tries=0, fallback=fallback)
    for event in (ev.CallInitiated(), ev.CallAnswered(), ev.EngineReady(), ev.MediaStarted()):
        take(model, event)
    return model


@pytest.mark.parametrize(
    ("fallback", "said"),
    [
        (None, do.PlayClip(clip="sorry")),
        (FALLBACK, do.PlayClip(clip="one-moment")),
        (SPOKEN, do.Speak(sentence="fallback", goes_on=True)),
        (SENTENCE, do.Speak(sentence="fallback")),
    ],
)
def test_what_the_caller_hears_when_the_model_is_gone(fallback: Fallback | None, said: do.Command) -> None:
    assert said in take(talking(fallback), ev.EngineLost(retry=False)).commands


def test_a_limit_that_is_reached_takes_the_same_way_and_without_a_fallback_it_is_a_goodbye() -> None:
    asked = ev.GoodbyeRequested(reason="budget", fall_back=True)
    model = talking(FALLBACK)
    assert do.PlayClip(clip="one-moment") in take(model, asked).commands
    assert (take(model, ev.ClipPlayed()).after, model.cause) == (TRANSFERRING, "budget")
    assert do.PlayClip(clip="goodbye") in take(talking(None), asked).commands
    assert do.PlayClip(clip="goodbye") in take(talking(FALLBACK), ev.GoodbyeRequested(reason="budget")).commands


def test_a_call_that_rings_is_answered_and_then_connected() -> None:
    model = Model(fallback=FALLBACK)
    take(model, ev.CallInitiated())
    assert take(model, ev.GoodbyeRequested(reason="budget", fall_back=True)).after == machine.RINGING
    take(model, ev.CallAnswered())
    assert model.farewell == SPEAKING
    assert take(model, ev.SpeakEnded()).after == TRANSFERRING
    assert take(model, done(do.Transfer.name)).after == TRANSFERRING
