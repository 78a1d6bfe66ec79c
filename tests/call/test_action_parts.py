"""Parts that several actions of the machine share: a deadline is armed and disarmed as the model believes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.call.machine import action_parts
from callflow.call.machine.model import DEADLINES, DIALLING, JOINED, MESSAGE, NO_LEG, STREAMING, Model, Step
from callflow.contracts import commands as do
from callflow.contracts.events import HUMAN, Event


def made(**fields: Any) -> tuple[Model, Step]:
    model = Model()
    for name, value in fields.items():
        setattr(model, name, value)
    return model, Step(Event(), STREAMING, STREAMING)


def test_a_deadline_that_does_not_run_is_not_disarmed_and_one_that_runs_begins_again() -> None:
    model, step = made()
    action_parts.disarm(model, step, "grace")
    assert step.commands == []
    action_parts.arm(model, step, "grace")
    action_parts.arm(model, step, "grace")
    action_parts.disarm(model, step, "grace")
    action_parts.disarm(model, step, "grace")
    assert step.commands == [do.Arm(deadline="grace"), do.Arm(deadline="grace"), do.Disarm(deadline="grace")]
    assert model.armed == frozenset()


@settings(max_examples=25)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(DEADLINES)), max_size=20))
def test_what_the_model_believes_to_run_is_what_was_armed(acts: list[tuple[bool, str]]) -> None:
    model, step = made()
    for on, deadline in acts:
        (action_parts.arm if on else action_parts.disarm)(model, step, deadline)
    running = set[str]()
    for command in step.commands:
        if isinstance(command, do.Arm):
            running.add(command.deadline)
        elif isinstance(command, do.Disarm):
            running.remove(command.deadline)
    assert model.armed == running


@pytest.mark.parametrize(("farewell", "message"), [("", False), (MESSAGE, True), ("clip", False)])
def test_a_session_is_for_the_caller_or_for_a_machine(farewell: str, message: bool) -> None:
    model, step = made(farewell=farewell)
    action_parts.connect_engine(model, step)
    assert step.commands == [do.ConnectEngine(message=message), do.Arm(deadline="engine")]
    assert model.engine == "connecting"


def test_each_further_stream_is_counted() -> None:
    model, step = made()
    action_parts.restream(model, step)
    action_parts.restream(model, step)
    assert model.stream_restarts == 2
    assert step.commands.count(do.StartStream()) == 2
    assert "restream" in model.armed


@pytest.mark.parametrize("human", [NO_LEG, DIALLING, JOINED])
def test_a_person_is_hung_up_once_and_only_if_there_is_one(human: str) -> None:
    model, step = made(human=human)
    action_parts.drop_human(model, step)
    action_parts.drop_human(model, step)
    assert step.commands == ([] if human == NO_LEG else [do.Hangup(leg=HUMAN)])
    assert model.human == NO_LEG


def test_the_end_of_a_transfer_leaves_nothing_of_it() -> None:
    model, step = made(
        human=JOINED, transfer="warm", takes_back=True, back=True,
        armed=frozenset({"transfer", "join", "bridged", "call"}),
    )  # fmt: skip
    action_parts.transfer_over(model, step, "left")
    assert (model.human, model.transfer, model.takes_back, model.back) == (NO_LEG, "", False, False)
    assert model.armed == {"call"}
    assert step.commands[0] == do.Hangup(leg=HUMAN)
    assert step.commands[-1] == do.TellTransfer(outcome="left")


def test_the_end_of_a_call_ends_its_transfer_if_there_is_one() -> None:
    model, step = made(back=True)
    action_parts.abandon_transfer(model, step)
    assert (model.back, step.commands) == (False, [])
    model.transfer = "cold"
    action_parts.abandon_transfer(model, step)
    action_parts.abandon_transfer(model, step)
    assert step.commands == [do.TellTransfer(outcome="call_ended")]


def test_a_caller_is_taken_off_hold_once_and_only_if_they_are() -> None:
    model, step = made()
    action_parts.end_hold(model, step)
    assert step.commands == []
    model.armed = frozenset({"hold"})
    action_parts.end_hold(model, step)
    action_parts.end_hold(model, step)
    assert step.commands == [do.Disarm(deadline="hold"), do.Unhold()]
