"""Parts that several actions share: deadlines, the engine's connection, another stream, the person's leg."""

from __future__ import annotations

from collections.abc import Callable

from callflow.call.machine.model import NO_LEG, TO_MACHINE, Model, Step
from callflow.contracts import commands as do
from callflow.contracts.events import HUMAN, CallRecovered


Action = Callable[[Model, Step], None]


def arm(model: Model, step: Step, deadline: str) -> None:
    """Start a deadline."""
    model.armed |= {deadline}
    step.commands.append(do.Arm(deadline=deadline))


def disarm(model: Model, step: Step, deadline: str) -> None:
    """Stop a deadline, if it runs."""
    if deadline in model.armed:
        model.armed -= {deadline}
        step.commands.append(do.Disarm(deadline=deadline))


def connect_engine(model: Model, step: Step) -> None:
    """Open a session with the model, and limit the time until it is ready."""
    model.engine = "connecting"
    step.commands.append(do.ConnectEngine(message=model.farewell in TO_MACHINE))
    arm(model, step, "engine")


def restream(model: Model, step: Step) -> None:
    """Request another stream; it gets a token of its own."""
    model.stream_restarts += 1
    step.commands.append(do.StartStream())
    arm(model, step, "restream")


def hang_up_human(model: Model, step: Step) -> None:
    """Hang up the leg of the person to whom the call is transferred."""
    step.commands.append(do.Hangup(leg=HUMAN))


def drop_human(model: Model, step: Step) -> None:
    """Hang up the person's leg, if there is one."""
    if model.human != NO_LEG:
        model.human = NO_LEG
        hang_up_human(model, step)


def transfer_over(model: Model, step: Step, outcome: str) -> None:
    """End a transfer, and tell how it ended: the person's leg is hung up, if there is one."""
    drop_human(model, step)
    model.transfer, model.takes_back, model.back = "", False, False
    for deadline in ("transfer", "join", "bridged"):
        disarm(model, step, deadline)
    step.commands.append(do.TellTransfer(outcome=outcome))


def recover_transfer(model: Model, step: Step) -> None:
    """Go on with the transfer that is under way in the process that goes on with the call, if the one before has given
    it; else end it: nobody knows what the person's telephone has done meanwhile."""
    if model.transfer and isinstance(step.event, CallRecovered) and step.event.given:
        arm(model, step, "transfer")
    elif model.transfer:
        transfer_over(model, step, "interrupted")


def abandon_transfer(model: Model, step: Step) -> None:
    """End the transfer that is under way, if one is, because the call ends."""
    model.back = False
    if model.transfer:
        transfer_over(model, step, "call_ended")


def end_hold(model: Model, step: Step) -> None:
    """Take the caller off hold, if they are, because something else follows."""
    if "hold" in model.armed:
        disarm(model, step, "hold")
        step.commands.append(do.Unhold())
