"""What the actions for answering machines do, by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.call.machine import voicemail_actions as actions
from callflow.call.machine.model import AWAITS_BEEP, MESSAGE, MESSAGE_DUE, RECOVERING, STREAMING
from callflow.contracts import commands as do
from tests.call.test_actions import Done, everything


KEPT = {"queue", "dial", "ring", "stream"}


def test_a_machine_silences_the_agent_and_the_message_waits_for_the_beep() -> None:
    done = Done(actions.await_beep, armed=everything("beep"), tries=2, stream_restarts=1, transfer="warm")
    assert (done.model.cause, done.model.farewell) == ("machine", AWAITS_BEEP)
    assert done.model.armed == KEPT | {"engine", "beep"}
    assert do.ConnectEngine(message=True) in done.commands
    assert do.TellTransfer(outcome="call_ended") in done.commands
    assert do.Unhold() in done.commands
    assert (done.model.tries, done.model.stream_restarts) == (0, 0)


@pytest.mark.parametrize(
    ("fields", "after", "said"),
    [
        ({"engine": "ready", "media": "open"}, STREAMING, True),
        ({"engine": "connecting", "media": "open"}, STREAMING, False),
        ({"engine": "ready", "media": "lost"}, STREAMING, False),
        ({"engine": "ready", "media": "open"}, RECOVERING, False),
    ],
)
def test_the_message_is_said_as_soon_as_it_can_be_heard_and_once(
    fields: dict[str, Any], after: str, said: bool
) -> None:
    done = Done(actions.leave_message, after=after, farewell=AWAITS_BEEP, armed=frozenset({"beep"}), **fields)
    assert (done.commands == [do.LeaveMessage()]) is said
    assert done.model.farewell == (MESSAGE if said else MESSAGE_DUE)
    assert done.model.armed == {"message"}
    actions.go_on_with_message(done.model, done.step)
    assert done.commands.count(do.LeaveMessage()) == said


def test_a_message_that_is_due_goes_on_under_the_same_deadline() -> None:
    done = Done(actions.leave_message, farewell=MESSAGE_DUE, armed=frozenset({"message"}))
    assert done.armed == []


def test_a_message_for_a_machine_that_was_not_known_gets_a_session_first() -> None:
    done = Done(actions.leave_message, engine="ready", media="open")
    assert done.commands == [do.ConnectEngine(message=True)]
    assert (done.model.farewell, done.model.engine) == (MESSAGE_DUE, "connecting")


@pytest.mark.parametrize("farewell", ["", AWAITS_BEEP, MESSAGE, "clip"])
def test_only_a_message_that_is_due_is_said(farewell: str) -> None:
    assert Done(actions.go_on_with_message, farewell=farewell, engine="ready", media="open").commands == []


@pytest.mark.parametrize("who", ["machine", "fax"])
def test_what_has_answered_is_the_cause_whatever_was_before(who: Any) -> None:
    assert Done(actions.because_of(who), cause="limit").model.cause == who
