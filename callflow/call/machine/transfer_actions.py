"""Actions of transfers: a person is rung, told who calls and joined with the caller, and the agent takes the caller
back."""

from __future__ import annotations

from callflow.call.machine.action_parts import (
    Action,
    arm,
    connect_engine,
    disarm,
    restream,
    transfer_over,
)
from callflow.call.machine.model import DIALLING, JOINED, Model, Step
from callflow.contracts import commands as do
from callflow.contracts.events import HUMAN, TransferRequested


def dial_human(model: Model, step: Step) -> None:
    """Ring the person, while the caller stays with the agent."""
    if isinstance(step.event, TransferRequested):
        _begin_transfer(model, step.event)
        step.commands.append(
            do.Dial(leg=HUMAN, number=step.event.number, ring_seconds=step.event.ring_seconds, stream=False)
        )
        step.commands.append(do.TellTransfer(outcome="rings"))
        arm(model, step, "transfer")


def start_ringing_human(model: Model, step: Step) -> None:
    """Count the time of the person anew: the carrier begins to ring them, perhaps after it has kept the dial queued."""
    arm(model, step, "transfer")


def transfer_now(model: Model, step: Step) -> None:
    """Let the carrier ring the person for the caller; the agent is silent from now on."""
    if isinstance(step.event, TransferRequested):
        _begin_transfer(model, step.event)
        leave_agent(model, step)
        step.commands.append(do.Transfer(number=step.event.number, ring_seconds=step.event.ring_seconds))
        arm(model, step, "transfer")


def find_person(model: Model, step: Step) -> None:
    """Ask the carrier where the person is before the two are torn apart: nobody has told that the person has answered,
    but they may talk with the caller all the same."""
    step.commands.append(do.FindPerson())
    disarm(model, step, "transfer")
    arm(model, step, "join")


def refer(model: Model, step: Step) -> None:
    """Ask the carrier to refer the caller. The agent keeps them until the carrier has taken the command."""
    if isinstance(step.event, TransferRequested):
        model.transfer = step.event.mode
        step.commands.append(do.Refer(address=step.event.number))
        arm(model, step, "transfer")


def await_referral(model: Model, step: Step) -> None:
    """Wait for the referral, whose command the carrier has taken: it may have ended the stream for it."""
    leave_agent(model, step)
    arm(model, step, "transfer")


def set_referred(model: Model, step: Step) -> None:
    """Note that the caller is connected elsewhere: our leg is of no use any more (RFC 5589: who has referred hangs
    up)."""
    transfer_over(model, step, "referred")


def _begin_transfer(model: Model, event: TransferRequested) -> None:
    model.transfer, model.takes_back, model.human = event.mode, event.takes_back, DIALLING


def brief_human(model: Model, step: Step) -> None:
    """Tell the person about the caller, and ask whether they take the call."""
    step.commands.append(do.Brief(leg=HUMAN))


def signal(name: str) -> Action:
    """Make the action that gives the call's own machine this trigger."""

    def give(model: Model, step: Step) -> None:
        step.signals.append(name)

    give.__name__ = f"signal_{name}"
    return give


def leave_agent(model: Model, step: Step) -> None:
    """Silence the agent: its stream and its session end. Its time limit is not counted while the caller talks with a
    person."""
    step.commands.append(do.SilenceAgent())
    model.media = "lost"
    model.greeted = True  # whoever comes back from a person is not greeted
    model.tries = model.stream_restarts = 0
    for deadline in ("transfer", "warning", "call", "bridged", "grace", "restream", "last_words", "engine", "backoff"):
        disarm(model, step, deadline)
    model.engine = "none"


def join_human(model: Model, step: Step) -> None:
    """Connect the caller with the person."""
    step.commands.append(do.Join(leg=HUMAN))


def join_legs(model: Model, step: Step) -> None:
    """Connect both legs with each other, and limit the time that this takes."""
    step.commands += (do.Join(leg=HUMAN), do.Join())
    arm(model, step, "join")


def set_joined(model: Model, step: Step) -> None:
    """Note that the caller talks with the person."""
    model.human = JOINED
    disarm(model, step, "join")
    disarm(model, step, "transfer")
    arm(model, step, "bridged")


def stay_bridged(model: Model, step: Step) -> None:
    """Let the caller and the person go on talking, as they did without the process that is gone."""
    for deadline in ("transfer", "join"):
        disarm(model, step, deadline)
    arm(model, step, "bridged")


def stay_transferring(model: Model, step: Step) -> None:
    """Let the person be rung, or be joined with the caller, as in the process that has given the call."""
    for deadline in ("transfer", "join"):
        if deadline in model.armed:
            arm(model, step, deadline)


def transfer_failed(outcome: str) -> Action:
    """Make the action that ends a transfer which has not come about, while the agent has the caller."""

    def end(model: Model, step: Step) -> None:
        transfer_over(model, step, outcome)

    end.__name__ = f"transfer_failed_{outcome}"
    return end


def take_back(outcome: str) -> Action:
    """Make the action with which the agent takes the caller back: a stream is requested, and a session if there is
    none."""

    def back(model: Model, step: Step) -> None:
        transfer_over(model, step, outcome)
        model.back, model.media, model.cause = True, "lost", ""
        model.tries = model.stream_restarts = 0
        restream(model, step)
        if model.engine != "connecting":
            connect_engine(model, step)

    back.__name__ = f"take_back_{outcome}"
    return back
