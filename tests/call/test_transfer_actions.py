"""What the actions of a transfer do, by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.call.machine import transfer_actions as actions
from callflow.call.machine.model import DIALLING, JOINED, NO_LEG
from callflow.contracts import commands as do
from callflow.contracts.events import HUMAN, TransferRequested
from tests.call.test_actions import Done, everything


WANTED = TransferRequested(number="+15550100009", ring_seconds=9, takes_back=True)


def test_a_person_is_rung_while_the_caller_stays_with_the_agent() -> None:
    done = Done(actions.dial_human, WANTED, media="open", engine="ready")
    assert done.commands == [
        do.Dial(leg=HUMAN, number="+15550100009", ring_seconds=9, stream=False), do.TellTransfer(outcome="rings"),
    ]  # fmt: skip
    assert (done.model.transfer, done.model.takes_back, done.model.human) == ("warm", True, DIALLING)
    assert (done.model.media, done.model.engine, done.armed) == ("open", "ready", ["transfer"])


def test_in_a_cold_transfer_the_agent_is_silent_first() -> None:
    done = Done(actions.transfer_now, TransferRequested(mode="cold", number="+1"), media="open", engine="ready")
    assert [type(one).__name__ for one in done.commands] == ["SilenceAgent", "Transfer"]
    assert (done.model.media, done.model.engine, done.model.armed) == ("lost", "none", frozenset({"transfer"}))


def test_the_agent_keeps_a_referred_caller_until_the_carrier_has_taken_the_command() -> None:
    done = Done(actions.refer, TransferRequested(mode="refer", number="sip:a@b"), media="open", engine="ready")
    assert done.commands == [do.Refer(address="sip:a@b")]
    assert (done.model.media, done.model.human) == ("open", NO_LEG)
    actions.await_referral(done.model, done.step)
    assert done.commands[-1] == do.SilenceAgent()
    assert (done.model.media, done.model.armed) == ("lost", frozenset({"transfer"}))


@pytest.mark.parametrize("action", [actions.dial_human, actions.transfer_now, actions.refer])
def test_nothing_begins_without_a_request(action: Any) -> None:
    done = Done(action)
    assert done.step.commands == []
    assert done.model.transfer == ""


def test_an_agent_that_leaves_takes_its_deadlines_along_and_greets_nobody_again() -> None:
    done = Done(actions.leave_agent, armed=everything(), tries=2, stream_restarts=1)
    assert done.model.greeted
    assert (done.model.tries, done.model.stream_restarts) == (0, 0)
    gone = {"transfer", "warning", "call", "bridged", "grace", "restream", "last_words", "engine", "backoff"}
    assert done.model.armed == everything(*gone)


def test_the_carrier_is_asked_for_a_person_before_anybody_is_torn_apart() -> None:
    done = Done(actions.find_person, armed=frozenset({"transfer"}))
    assert (done.commands, done.model.armed) == ([do.FindPerson()], frozenset({"join"}))


def test_both_legs_are_joined_and_from_then_on_their_talk_is_counted() -> None:
    done = Done(actions.join_legs, human=DIALLING, armed=frozenset({"transfer"}))
    assert done.commands == [do.Join(leg=HUMAN), do.Join()]
    actions.set_joined(done.model, done.step)
    assert (done.model.human, done.model.armed) == (JOINED, frozenset({"bridged"}))


def test_who_has_gone_on_talking_without_us_goes_on() -> None:
    done = Done(actions.stay_bridged, armed=frozenset({"transfer", "join", "bridged"}))
    assert done.model.armed == {"bridged"}
    assert done.armed == ["bridged"], "from now on"


@pytest.mark.parametrize("human", [NO_LEG, DIALLING])
def test_a_transfer_that_has_failed_leaves_nobody_ringing(human: str) -> None:
    done = Done(actions.transfer_failed("refused"), human=human, transfer="warm", armed=frozenset({"transfer"}))
    assert (do.Hangup(leg=HUMAN) in done.commands) is (human == DIALLING)
    assert done.commands[-1] == do.TellTransfer(outcome="refused")
    assert (done.model.transfer, done.model.armed) == ("", frozenset())


@pytest.mark.parametrize("engine", ["none", "connecting", "ready"])
def test_an_agent_that_takes_the_caller_back_needs_a_stream_and_a_session(engine: str) -> None:
    done = Done(
        actions.take_back("left"), engine=engine, media="open", cause="x", tries=2, stream_restarts=2, transfer="warm",
        human=JOINED,
    )  # fmt: skip
    assert (do.ConnectEngine() in done.commands) is (engine != "connecting")
    assert do.StartStream() in done.commands
    assert (done.model.back, done.model.media, done.model.cause) == (True, "lost", "")
    assert (done.model.tries, done.model.stream_restarts) == (0, 1)


def test_a_signal_is_for_the_calls_own_machine() -> None:
    done = Done(actions.signal("human_left"))
    assert (done.step.signals, done.step.commands) == (["human_left"], [])
    assert actions.signal("human_left").__name__ == "signal_human_left"
