"""The machine of all calls, built from the table with the library transitions. `take` applies one event to one call."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from transitions import Machine, State

from callflow.call.machine.actions import Action, release
from callflow.call.machine.model import (
    HANGUP,
    RINGING,
    STATES,
    Model,
    Step,
)
from callflow.call.machine.row import Row
from callflow.call.machine.table import TABLE
from callflow.contracts.events import (
    CALLER,
    DeadlinePassed,
    Event,
)


@cache
def _bound_for(state: str) -> Action:
    """Make the action that sets `Step.after`, for the actions of the row that run after it."""

    def note(_: Model, step: Step) -> None:
        step.after = state

    return note


def _build(table: Iterable[Row]) -> Machine:
    """Build one synchronous machine for all calls.

    The library is given the guards and actions themselves, and calls each with (model, step). Models are not
    registered with it: `add_model` sets attributes, and the model has slots.
    """
    machine = Machine(
        model=None,
        states=[State(state, on_enter=[release] if state == HANGUP else []) for state in STATES],
        initial=RINGING,
        auto_transitions=False,
        ignore_invalid_triggers=True,
    )
    for row in table:
        before: list[Any] = [*([_bound_for(row.dest)] if row.dest else []), *row.then]
        for source in row.sources:
            machine.add_transition(
                row.trigger, source, row.dest, conditions=[*row.when], unless=[*row.unless], before=before
            )
    return machine


# The library logs every operation, which takes a quarter of its time; the journal has the same facts.
logging.getLogger("transitions.core").disabled = True
_MACHINE: Final = _build(TABLE)
TRIGGERS: Final = tuple(dict.fromkeys(row.trigger for row in TABLE))


def take(model: Model, event: Event) -> Step:
    """Apply one event to one call: changes `model`, and returns the step with its commands.

    Total: any event in any state. Events of another leg are inert, as is a deadline that is not armed (it was disarmed
    while its event was queued). Never raises for an event.
    """
    step = Step(event, before=model.state, after=model.state)
    trigger = _MACHINE.events.get(event.trigger) if event.leg == CALLER else None
    if isinstance(event, DeadlinePassed) and trigger is not None:
        if event.deadline not in model.armed:
            trigger = None
        model.armed -= {event.deadline}
    if trigger is not None:
        step.taken = bool(trigger.trigger(model, model, step))
    step.after = model.state
    return step
