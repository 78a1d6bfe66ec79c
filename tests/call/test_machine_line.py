"""Hold, mute, words and keys in the machine: what holds in every state that can be reached."""

from __future__ import annotations

import pytest

from callflow.call import machine
from callflow.call.machine import BRIDGED, RECOVERING, STREAMING, TRANSFERRING, Model, take
from callflow.contracts import commands as do
from callflow.contracts import events as ev
from tests.call.exploration import follow, graph, passed


pytestmark = pytest.mark.exhaustive


def held(node: object) -> bool:
    return "hold" in node.model.armed  # type: ignore[attr-defined]


def test_a_caller_is_on_hold_only_while_the_agent_would_have_them() -> None:
    nodes = [node for node in graph().nodes if held(node)]
    assert nodes
    for node in nodes:
        assert node.model.state in (STREAMING, RECOVERING), node
        assert not node.model.farewell, node
        assert not node.model.transfer, node
        assert node.model.greeted, node


def test_hold_and_its_end_are_told_to_the_line_in_turns() -> None:
    for edge in graph().edges:
        names = [name for name in edge.names if name in (do.Hold.name, do.Unhold.name)]
        before, after = held(edge.source), held(edge.target)
        if machine.is_over(edge.target.model):
            assert do.Hold.name not in names, edge
        elif isinstance(edge.event, ev.CallRecovered) and before and edge.step.taken:
            assert names == [do.Hold.name], edge
            assert after, edge
        else:
            wanted = {(False, True): [do.Hold.name], (True, False): [do.Unhold.name]}.get((before, after), [])
            assert names == wanted, edge


def test_nobody_speaks_to_a_caller_on_hold() -> None:
    for edge in graph().edges:
        if held(edge.source) and held(edge.target):
            spoken = {do.Prompt.name, do.Greet.name, do.Say.name, do.Announce.name, do.PlayDtmf.name, do.SendDtmf.name}
            assert not spoken & set(edge.names), edge


def test_hold_ends_when_it_is_asked_for_and_by_its_deadline_with_the_same_words() -> None:
    for node in graph().nodes:
        if held(node):
            asked, late = follow(node, ev.ResumeRequested()), follow(node, passed("hold"))
            assert not held(asked.target), asked
            assert asked.target.model.key() == late.target.model.key()
            said = [command for command in late.step.commands if isinstance(command, do.Prompt)]
            can_speak = (node.model.state, node.model.engine, node.model.media) == (STREAMING, "ready", "open")
            can_speak = can_speak and not taken_over(node)
            assert said == ([do.Prompt(about="held")] if can_speak else []), late


def test_who_has_muted_the_agent_may_end_that_while_a_person_has_the_caller() -> None:
    """Else the agent would be mute when it has the caller back."""
    for state in (TRANSFERRING, BRIDGED):
        model = Model()
        model.state = state
        assert take(model.copy(), ev.MuteRequested(party="agent", on=False)).commands == [
            do.Mute(party="agent", on=False)
        ]
        assert take(model.copy(), ev.MuteRequested(party="agent", on=True)).commands == []


def talking_call() -> Model:
    talking = Model()
    for event in (ev.CallInitiated(), ev.CallAnswered(), ev.EngineReady(), ev.MediaStarted()):
        take(talking, event)
    return talking


TAKES = ev.MuteRequested(party="agent", for_person=True)
GIVES_BACK = ev.MuteRequested(party="agent", on=False, for_person=True)


def taken_over(node: object) -> bool:
    model = node.model  # type: ignore[attr-defined]
    return model.state in (STREAMING, RECOVERING) and "bridged" in model.armed


def test_the_time_of_a_call_is_not_counted_while_a_person_speaks_and_theirs_is() -> None:
    nodes = [node for node in graph().nodes if taken_over(node)]
    assert nodes
    for node in nodes:
        assert not node.model.armed & {"warning", "call"}, node
        back = follow(node, GIVES_BACK)
        if not node.model.farewell:
            assert "warning" in back.target.model.armed, back
            assert "bridged" not in back.target.model.armed, back
        late = follow(node, passed("bridged"))
        assert late.target.model.farewell, late


def test_nobody_asks_the_agent_to_speak_while_a_person_speaks_in_its_place() -> None:
    for edge in graph().edges:
        if taken_over(edge.source) and taken_over(edge.target):
            assert not {do.Prompt.name, do.Greet.name} & set(edge.names), edge


def test_a_person_goes_on_without_the_model_and_the_agent_who_has_the_caller_back_asks_for_it_again() -> None:
    call = talking_call()
    assert [c.name for c in take(call, TAKES).commands] == ["mute", "disarm", "arm"]
    lost = take(call, ev.EngineLost(retry=False))
    assert (call.engine, call.farewell) == ("lost", "")
    assert not {"play_clip", "hangup", "speak"} & {each.name for each in lost.commands}
    back = take(call, GIVES_BACK)
    assert call.state == RECOVERING
    assert do.ConnectEngine() in back.commands
    assert take(call.copy(), ev.EngineReady()).after == STREAMING
    over = take(call.copy(), ev.EngineLost(retry=False))
    assert do.PlayClip(clip="sorry") in over.commands, "nobody speaks with the caller now"


def test_who_speaks_in_place_of_the_agent_may_come_back_in_the_next_process() -> None:
    call = talking_call()
    take(call, TAKES)
    take(call, ev.CallRecovered())
    assert "bridged" in call.armed
    assert "warning" not in call.armed
    for event in (ev.EngineReady(), ev.MediaStarted()):
        assert not any(each.name in ("prompt", "greet") for each in take(call, event).commands), "the agent is muted"
    take(call, GIVES_BACK)
    assert call.armed >= {"warning"}
    assert "bridged" not in call.armed


def test_silence_says_nothing_while_a_person_is_rung_for_the_caller() -> None:
    call = talking_call()
    take(call, ev.TransferRequested(number="+15550100077", mode="warm"))
    assert not take(call, ev.NoInput(time=3, last=True)).taken
    assert not take(call, ev.NoInput(time=1)).taken


def test_keys_that_the_carrier_refuses_are_told_to_the_agent() -> None:
    failed = ev.CommandFailed(command=do.SendDtmf.name, reason="422", by="agent")
    assert take(talking_call(), failed).commands == [do.Prompt(about="keys_failed")]
    for other in ({"by": "operator"}, {"by": "agent", "effect": "unknown"}):
        assert take(talking_call(), ev.CommandFailed(command=do.SendDtmf.name, **other)).commands == []  # type: ignore[arg-type]
    call = talking_call()
    take(call, TAKES)
    assert take(call, failed).commands == [], "the agent is muted"


def test_words_and_keys_go_the_way_that_the_request_names() -> None:
    talking = Model()
    for event in (ev.CallInitiated(), ev.CallAnswered(), ev.EngineReady(), ev.MediaStarted()):
        take(talking, event)
    assert take(talking.copy(), ev.SayRequested(id="7")).commands == [do.Say(id="7")]
    assert take(talking.copy(), ev.DtmfRequested(id="8")).commands == [do.PlayDtmf(id="8")]
    assert take(talking.copy(), ev.DtmfRequested(id="8", way="carrier")).commands == [do.SendDtmf(id="8")]
    assert take(talking.copy(), ev.MuteRequested(party="agent")).commands == [do.Mute(party="agent", on=True)]
    take(talking, ev.EngineLost())
    assert talking.state == RECOVERING
    assert take(talking.copy(), ev.SayRequested(id="7")).commands == []
    assert take(talking.copy(), ev.SayRequested(id="7", otherwise="carrier")).commands == [do.Announce(id="7")]


def test_noise_is_suppressed_once_when_the_caller_is_heard_and_only_if_wanted() -> None:
    for wanted in (False, True):
        model = Model(suppress_noise=wanted)
        given = []
        for event in (
            ev.CallInitiated(), ev.CallAnswered(), ev.EngineReady(), ev.MediaStarted(), ev.MediaLost(),
            passed("grace"), ev.MediaStarted(),
        ):  # fmt: skip
            given += [command.name for command in take(model, event).commands]
        assert given.count(do.SuppressNoise.name) == wanted
