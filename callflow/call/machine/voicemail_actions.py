"""Actions of the rows for answering machines: see `voicemail_table.py`."""

from __future__ import annotations

from typing import Literal

from callflow.call.machine.action_parts import Action, abandon_transfer, arm, connect_engine, disarm, end_hold
from callflow.call.machine.model import AWAITS_BEEP, DEADLINES, MESSAGE, MESSAGE_DUE, STREAMING, TO_MACHINE, Model, Step
from callflow.contracts import commands as do


def await_beep(model: Model, step: Step) -> None:
    """Wait until the message may begin: a machine has answered. Silences the agent, and opens a session for the
    message."""
    _prepare_message(model, step)
    arm(model, step, "beep")


def _prepare_message(model: Model, step: Step) -> None:
    abandon_transfer(model, step)
    end_hold(model, step)
    model.cause, model.farewell = "machine", AWAITS_BEEP
    for deadline in DEADLINES:
        if deadline not in ("queue", "dial", "ring", "stream"):
            disarm(model, step, deadline)
    model.tries = model.stream_restarts = 0  # nothing is tried again for a machine
    connect_engine(model, step)


def leave_message(model: Model, step: Step) -> None:
    """Say the message now, or as soon as its session and the stream are there."""
    if model.farewell not in TO_MACHINE:
        _prepare_message(model, step)
    disarm(model, step, "beep")
    if "message" not in model.armed:
        arm(model, step, "message")
    model.farewell = MESSAGE_DUE
    go_on_with_message(model, step)


def go_on_with_message(model: Model, step: Step) -> None:
    """Say the message if it is due and can be heard."""
    is_heard = step.after == STREAMING and model.media == "open"
    if model.farewell == MESSAGE_DUE and model.engine == "ready" and is_heard:
        model.farewell = MESSAGE
        step.commands.append(do.LeaveMessage())


def because_of(who: Literal["machine", "fax"]) -> Action:
    """Make the action that ends the call for what has answered, whatever else was about to end it."""

    def note(model: Model, step: Step) -> None:
        model.cause = who

    note.__name__ = f"because_of_{who}"
    return note
