"""The machine of all calls, built from the table with the library transitions. `take` applies one event to one call."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from transitions import EventData, Machine, State, Transition
from transitions.core import Condition

from callflow.call.machine.action_parts import Action
from callflow.call.machine.actions import release
from callflow.call.machine.model import (
    HANGUP,
    LEG_STATES,
    NO_LEG,
    RINGING,
    STATES,
    Model,
    Step,
)
from callflow.call.machine.row import Row
from callflow.call.machine.table import TABLE
from callflow.call.machine.transfer_table import LEG_TABLE
from callflow.contracts.events import (
    CALLER,
    HUMAN,
    DeadlinePassed,
    Event,
)


@cache
def _bound_for(state: str) -> Action:
    """Make the action that sets `Step.after`, for the actions of the row that run after it."""

    def note(_: Model, step: Step) -> None:
        step.after = state

    return note


# The library's parts, with nothing done that no row asks for. It looks up by name what is given to it as a string, and
# runs further lists of callbacks around each attempt: ours are functions, and those lists would be empty. Most attempts
# are of rows whose guards do not hold, so that this is a third of a step.


class _Condition(Condition):
    """A guard, which is a function of (model, step)."""

    def check(self, event_data: EventData) -> bool:
        return bool(self.func(*event_data.args) == self.target)  # type: ignore[operator]


class _Transition(Transition):
    """A row, from one of its sources: it has conditions and what is done before the change, and nothing else."""

    condition_cls = _Condition

    def execute(self, event_data: EventData) -> bool:
        for condition in self.conditions:
            if not condition.check(event_data):
                return False
        event_data.machine.callbacks(self.before, event_data)
        if self.dest:
            self._change_state(event_data)
        return True


class _Machine(Machine):
    """Machine of those transitions, whose callbacks are functions of (model, step)."""

    transition_cls = _Transition

    def callbacks(self, funcs: Iterable[Any], event_data: EventData) -> None:
        for func in funcs:
            func(*event_data.args)


def _build(table: Iterable[Row], states: Iterable[str], initial: str, attribute: str) -> _Machine:
    """Build one synchronous machine for all calls. `attribute`: where the model has the state.

    The library is given the guards and actions themselves, and calls each with (model, step). Models are not
    registered with it: `add_model` sets attributes, and the model has slots.
    """
    machine = _Machine(
        model=None,
        model_attribute=attribute,
        states=[State(state, on_enter=[release] if state == HANGUP else []) for state in states],
        initial=initial,
        auto_transitions=False,
        ignore_invalid_triggers=True,
    )
    for row in table:
        bound = [_bound_for(row.dest)] if row.dest and attribute == "state" else []
        before: list[Any] = [*bound, *row.then]
        for source in row.sources:
            machine.add_transition(
                row.trigger, source, row.dest, conditions=[*row.when], unless=[*row.unless], before=before
            )
    return machine


# The library logs every operation; the journal has the same facts.
logging.getLogger("transitions.core").disabled = True
_MACHINE: Final = _build(TABLE, STATES, RINGING, "state")
_LEG_MACHINE: Final = _build(LEG_TABLE, LEG_STATES, NO_LEG, "human")
TRIGGERS: Final = tuple(dict.fromkeys(row.trigger for row in TABLE))


def take(model: Model, event: Event) -> Step:
    """Apply one event to one call: changes `model`, and returns the step with its commands.

    Total: any event in any state. Events of a leg that nobody knows are inert, as is a deadline that is not armed (it
    was disarmed while its event was queued). Never raises for an event.
    """
    step = Step(event, before=model.state, after=model.state)
    if event.leg == HUMAN:
        trigger = _LEG_MACHINE.events.get(event.trigger) if model.state != HANGUP else None
    else:
        trigger = _MACHINE.events.get(event.trigger) if event.leg == CALLER else None
    if isinstance(event, DeadlinePassed) and trigger is not None:
        if event.deadline not in model.armed:
            trigger = None
        model.armed -= {event.deadline}
    if trigger is not None:
        step.taken = bool(trigger.trigger(model, model, step))
    for signal in step.signals:
        step.after = model.state
        _MACHINE.events[signal].trigger(model, model, step)
    step.after = model.state
    return step
