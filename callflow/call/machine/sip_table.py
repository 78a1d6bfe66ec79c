"""The rows of outbound calls that are conducted at the engine's SIP address: whoever answers is led there.

The conversation is a call of its own, which arrives over SIP and is linked by a header of ours. This one has no session
and no stream; it is `bridged` with the other, and ends with it. The carrier goes on listening for an answering machine
meanwhile: nobody waits for that, here as little as with a stream.
"""

from __future__ import annotations

from typing import Final, Literal

from callflow.call.machine.action_parts import arm, disarm
from callflow.call.machine.actions import note_failure, send_hangup
from callflow.call.machine.guards import carrier_asks, is_conversation, is_gone, machine_matters, still_rings
from callflow.call.machine.model import BRIDGED, HANGUP, RINGING, Model, Step
from callflow.call.machine.row import Row
from callflow.call.machine.voicemail_actions import because_of
from callflow.contracts import commands as do
from callflow.contracts.events import CallInitiated


LED: Final = "led"
_NOBODY: Final[tuple[Literal["machine", "fax"], ...]] = ("machine", "fax")


def leads_to_sip(model: Model, step: Step) -> bool:
    """Return whether the call is an outbound one that rings, and whoever answers is led to the engine's SIP address."""
    return model.dialled == "sip"


def is_led(model: Model, step: Step) -> bool:
    """Return whether whoever has answered was led to the engine's SIP address."""
    return model.dialled == LED


def came_back(model: Model, step: Step) -> bool:
    """Return whether the carrier asks what to do with somebody who was led to a SIP address."""
    return isinstance(step.event, CallInitiated) and bool(step.event.led)


def lead(model: Model, step: Step) -> None:
    """Lead whoever has answered to the engine's SIP address."""
    model.dialled = LED
    for deadline in ("ring", "queue", "dial"):
        disarm(model, step, deadline)
    step.commands.append(do.LeadToSip())
    arm(model, step, "bridged")


def go_on_ringing(model: Model, step: Step) -> None:
    """Wait on in the process that has taken the call back."""
    for deadline in ("queue", "dial", "ring"):
        if deadline in model.armed:
            arm(model, step, deadline)


def go_on_bridged(model: Model, step: Step) -> None:
    """Leave the conversation alone, which has gone on without the process that is gone."""
    arm(model, step, "bridged")


def led_is_over(model: Model, step: Step) -> None:
    """Note the cause: the conversation is over, or nobody has answered at that address."""
    is_over = isinstance(step.event, CallInitiated) and step.event.led == "over"
    model.cause = model.cause or ("completed" if is_over else "lead_to_sip_failed")


SIP_TABLE: Final[tuple[Row, ...]] = (
    Row("call_answered", RINGING, BRIDGED, (lead,), when=(leads_to_sip,)),
    Row("call_resumed", RINGING, BRIDGED, (lead,), when=(leads_to_sip,)),
    Row("media_started", RINGING, None, (), when=(leads_to_sip,)),
    Row("call_recovered", RINGING, None, (go_on_ringing,), when=(leads_to_sip, still_rings)),
    Row("call_recovered", RINGING, None, (go_on_ringing,), when=(leads_to_sip, carrier_asks)),
    Row("call_recovered", RINGING, BRIDGED, (lead,), when=(leads_to_sip,), unless=(is_gone,)),
    Row("call_recovered", BRIDGED, None, (go_on_bridged,), when=(is_led,), unless=(is_gone,)),
    *(
        Row(
            f"answered_by_{who}",
            BRIDGED,
            HANGUP,
            (because_of(who), send_hangup),
            when=(is_led, machine_matters),
            unless=(is_conversation,),
        )
        for who in _NOBODY
    ),
    Row("call_initiated", BRIDGED, HANGUP, (led_is_over, send_hangup), when=(is_led, came_back)),
    Row("lead_to_sip_failed", BRIDGED, HANGUP, (note_failure, send_hangup), when=(is_led,)),
    Row("lead_to_sip_gone", BRIDGED, HANGUP, (note_failure,), when=(is_led,)),
)
