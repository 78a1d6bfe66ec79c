"""The rows of transfers, and the table of a person's leg.

A person who takes a call over has a leg of their own, with a small machine of its own: `LEG_TABLE`, whose states are
those of `Model.human`. It can never end the caller's leg. What it means for the call, it gives to the call's machine as
a trigger (`signal`), within the same step.

A warm transfer leaves the caller with the agent until the person accepts; `transferring` is the short time in which the
two are joined, or in which the carrier rings the person for the caller (cold). In `bridged` the caller talks with the
person, and the agent is silent. Every state has a deadline, and what does not come about gives the caller back to the
agent: nobody is left on hold. A REFER has no leg of ours beside the caller's: the caller's own telephone system calls
the other address, and our leg ends when it is connected there.
"""

from __future__ import annotations

from typing import Final

from callflow.call.machine.action_parts import hang_up_human
from callflow.call.machine.actions import (
    note_failure,
    send_hangup,
    start_recovery,
    with_cause,
    with_requested_cause,
)
from callflow.call.machine.guards import (
    accepts,
    has_talked,
    human_has_left,
    human_is_there,
    in_farewell,
    is_cold,
    is_given,
    is_on_hold,
    is_refer,
    is_transferred,
    is_warm,
    person_speaks,
    takes_back,
)
from callflow.call.machine.model import (
    BRIDGED,
    BRIEFING,
    DIALLING,
    HANGUP,
    JOINED,
    JOINING,
    NO_LEG,
    RECOVERING,
    STREAMING,
    TRANSFERRING,
)
from callflow.call.machine.row import Row
from callflow.call.machine.transfer_actions import (
    await_referral,
    brief_human,
    dial_human,
    find_person,
    join_human,
    join_legs,
    leave_agent,
    refer,
    set_joined,
    set_referred,
    signal,
    start_ringing_human,
    stay_bridged,
    stay_transferring,
    take_back,
    transfer_failed,
    transfer_now,
)


WITH_AGENT: Final = (STREAMING, RECOVERING)
AWAY: Final = (TRANSFERRING, BRIDGED)
"""The agent does not have the caller."""

TRANSFER_TABLE: Final[tuple[Row, ...]] = (
    # A transfer is requested: the person is rung, by us (warm) or by the carrier (cold).
    Row(
        "transfer_requested",
        STREAMING,
        None,
        (dial_human,),
        when=(is_warm,),
        unless=(in_farewell, is_transferred, is_on_hold, person_speaks),
    ),
    Row(
        "transfer_requested",
        STREAMING,
        TRANSFERRING,
        (transfer_now,),
        when=(is_cold,),
        unless=(in_farewell, is_transferred, is_on_hold, person_speaks),
    ),
    # The caller's own telephone system is asked to call somebody else in our place. Whether it has is told by the
    # carrier, perhaps before it has answered the command.
    Row(
        "transfer_requested",
        STREAMING,
        None,
        (refer,),
        when=(is_refer,),
        unless=(in_farewell, is_transferred, is_on_hold, person_speaks),
    ),
    Row("refer_done", WITH_AGENT, TRANSFERRING, (await_referral,), when=(is_refer,)),
    Row("refer_failed", WITH_AGENT, None, (transfer_failed("not_reached"),), when=(is_refer,)),
    Row("refer_gone", WITH_AGENT, HANGUP, (note_failure,), when=(is_refer,)),
    Row(
        "call_refer_completed",
        (*WITH_AGENT, TRANSFERRING),
        HANGUP,
        (with_cause("transferred"), set_referred, send_hangup),
        when=(is_refer,),
    ),
    Row("call_refer_failed", WITH_AGENT, RECOVERING, (leave_agent, take_back("not_reached")), when=(is_refer,)),
    Row("call_refer_failed", TRANSFERRING, RECOVERING, (take_back("not_reached"),), when=(is_refer,)),
    # It comes to nothing while the agent has the caller.
    Row("human_refused", WITH_AGENT, None, (transfer_failed("refused"),)),
    Row("human_gone", WITH_AGENT, None, (transfer_failed("not_reached"),)),
    Row("transfer_deadline", WITH_AGENT, None, (transfer_failed("not_reached"),)),
    # The person accepts: both are joined. Which of the carrier's words comes first does not matter.
    Row("human_accepted", WITH_AGENT, TRANSFERRING, (leave_agent, join_legs)),
    Row("human_joined", TRANSFERRING, BRIDGED, (set_joined,)),
    Row("join_done", TRANSFERRING, BRIDGED, (set_joined,), when=(is_warm,)),
    # They cannot be joined, or the person leaves: the caller is the agent's again.
    Row("join_gone", (TRANSFERRING, BRIDGED), HANGUP, (note_failure,)),
    Row("join_failed", TRANSFERRING, RECOVERING, (take_back("not_joined"),)),
    Row("join_deadline", TRANSFERRING, RECOVERING, (take_back("not_reached"),), when=(is_cold,)),
    Row("join_deadline", TRANSFERRING, RECOVERING, (take_back("not_joined"),)),
    Row("transfer_gone", (TRANSFERRING, BRIDGED), HANGUP, (note_failure,)),
    Row("transfer_failed", TRANSFERRING, RECOVERING, (take_back("not_reached"),)),
    Row("transfer_deadline", TRANSFERRING, None, (find_person,), when=(is_cold,)),
    Row("transfer_deadline", TRANSFERRING, RECOVERING, (take_back("not_reached"),)),
    Row("find_person_done", TRANSFERRING, BRIDGED, (set_joined,), when=(is_cold,)),
    Row("find_person_failed", TRANSFERRING, RECOVERING, (take_back("not_reached"),), when=(is_cold,)),
    Row("human_gone", TRANSFERRING, RECOVERING, (take_back("not_reached"),)),
    Row("human_gone", BRIDGED, RECOVERING, (take_back("left"),), when=(takes_back,)),
    Row("human_gone", BRIDGED, HANGUP, (with_cause("transferred"), send_hangup)),
    Row("call_resumed", TRANSFERRING, RECOVERING, (take_back("left"),), when=(has_talked, takes_back)),
    Row("call_resumed", TRANSFERRING, HANGUP, (with_cause("transferred"), send_hangup), when=(has_talked,)),
    Row("call_resumed", TRANSFERRING, RECOVERING, (take_back("not_reached"),)),
    Row("call_resumed", BRIDGED, RECOVERING, (take_back("left"),), when=(takes_back,)),
    Row("call_resumed", BRIDGED, HANGUP, (with_cause("transferred"), send_hangup)),
    Row("bridged_deadline", BRIDGED, HANGUP, (with_cause("too_long"), send_hangup)),
    # An operator or the server ends the call; the process that had it is gone.
    Row("goodbye_requested", AWAY, HANGUP, (with_requested_cause, send_hangup)),
    Row("call_recovered", BRIDGED, None, (stay_bridged,), when=(human_is_there,)),
    Row("call_recovered", BRIDGED, RECOVERING, (start_recovery, take_back("left")), when=(human_has_left, takes_back)),
    Row("call_recovered", BRIDGED, HANGUP, (with_cause("transferred"), send_hangup), when=(human_has_left,)),
    Row("call_recovered", TRANSFERRING, None, (stay_transferring,), when=(is_given,), unless=(is_refer,)),
    Row("call_recovered", AWAY, RECOVERING, (start_recovery, take_back("interrupted"))),
)

LEG_TABLE: Final[tuple[Row, ...]] = (
    Row("call_initiated", DIALLING, None, (start_ringing_human,), when=(is_warm,)),
    Row("call_answered", DIALLING, BRIEFING, (brief_human,), when=(is_warm,)),
    Row("call_answered", DIALLING, JOINED, (signal("human_joined"),), when=(is_cold,)),
    Row("call_bridged", JOINING, JOINED, (signal("human_joined"),)),
    Row("call_bridged", DIALLING, JOINED, (signal("human_joined"),), when=(is_cold,)),
    Row("dtmf", BRIEFING, JOINING, (signal("human_accepted"),), when=(accepts,)),
    Row("dtmf", BRIEFING, NO_LEG, (hang_up_human, signal("human_refused"))),
    # The carrier asks once more what to do with the person: an answer of ours has not reached it.
    Row("call_resumed", BRIEFING, None, (brief_human,)),
    Row("call_resumed", (JOINING, JOINED), None, (join_human,), when=(is_warm,)),
    Row("dial_failed", DIALLING, NO_LEG, (signal("human_gone"),)),
    Row("brief_failed", BRIEFING, NO_LEG, (hang_up_human, signal("human_gone"))),
    Row("brief_gone", BRIEFING, NO_LEG, (signal("human_gone"),)),
    Row("join_failed", (JOINING, JOINED), NO_LEG, (hang_up_human, signal("human_gone"))),
    Row("join_gone", (JOINING, JOINED), NO_LEG, (signal("human_gone"),)),
    Row("call_hangup", (DIALLING, BRIEFING, JOINING, JOINED), NO_LEG, (signal("human_gone"),)),
)
