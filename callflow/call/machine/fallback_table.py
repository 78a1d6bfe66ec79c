"""The rows for a caller whom this line cannot serve: no session, no stream, or a limit that is reached.

There is one decision, `actions.fall_back`: the caller hears a sentence (`Model.farewell`, as every last sentence), and
is then connected with the fallback number by a cold transfer, in the states of every transfer. It is tried once. When
nobody takes the call there, the caller hears an apology, and that is the end.
"""

from __future__ import annotations

from typing import Final

from callflow.call.machine.action_parts import arm, disarm, transfer_over
from callflow.call.machine.actions import answer_only, fall_back, set_engine_lost, start_farewell, with_requested_cause
from callflow.call.machine.guards import (
    carrier_speaks,
    clip_plays,
    end_is_settled,
    falls_back,
    has_talked,
    in_farewell,
    is_dialled,
    is_fallback,
    unanswered,
    wants_fallback,
)
from callflow.call.machine.model import (
    DIALLING,
    FAREWELL_NONE,
    RECOVERING,
    RINGING,
    SORRY,
    TRANSFERRING,
    Model,
    Step,
)
from callflow.call.machine.row import AFTER_ANSWER, Row
from callflow.call.machine.transfer_actions import leave_agent
from callflow.contracts import commands as do


def transfer_to_fallback(model: Model, step: Step) -> None:
    """Let the carrier ring the fallback number for the caller, now that the sentence is over."""
    if model.fallback is not None:
        number, ring_seconds, _ = model.fallback
        model.fallback, model.farewell, model.sentence = None, FAREWELL_NONE, ""
        model.transfer, model.takes_back, model.human = "fallback", False, DIALLING
        disarm(model, step, "farewell")
        leave_agent(model, step)
        step.commands.append(do.Transfer(number=number, ring_seconds=ring_seconds, fallback=True))
        arm(model, step, "transfer")


def apologise(model: Model, step: Step) -> None:
    """Say sorry, and end: nobody takes the call at the fallback number either."""
    transfer_over(model, step, "not_reached")
    model.sentence = SORRY
    start_farewell(model, step)


FALLBACK_TABLE: Final[tuple[Row, ...]] = (
    # Somebody asks for it, for a reason that the machine need not know.
    Row("call_turned_away", RINGING, None, (answer_only, fall_back()), when=(unanswered, wants_fallback)),
    Row(
        "goodbye_requested",
        RINGING,
        None,
        (with_requested_cause, set_engine_lost, fall_back()),
        when=(wants_fallback,),
        unless=(unanswered, is_dialled, in_farewell),
    ),
    Row("goodbye_requested", RINGING, None, when=(wants_fallback, in_farewell), unless=(is_dialled,)),
    Row(
        "goodbye_requested",
        AFTER_ANSWER,
        None,
        (with_requested_cause, fall_back()),
        when=(wants_fallback,),
        unless=(end_is_settled,),
    ),
    # The sentence is over, or cannot be said, or its time is up.
    Row("clip_played", AFTER_ANSWER, TRANSFERRING, (transfer_to_fallback,), when=(clip_plays, falls_back)),
    Row("speak_ended", AFTER_ANSWER, TRANSFERRING, (transfer_to_fallback,), when=(carrier_speaks, falls_back)),
    Row("speak_failed", AFTER_ANSWER, TRANSFERRING, (transfer_to_fallback,), when=(carrier_speaks, falls_back)),
    Row("farewell_deadline", AFTER_ANSWER, TRANSFERRING, (transfer_to_fallback,), when=(falls_back,)),
    # Nobody takes the call there. Which of the carrier's words comes first does not matter.
    *(
        Row(news, TRANSFERRING, RECOVERING, (apologise,), when=(is_fallback,), unless=(has_talked,))
        for news in ("human_gone", "call_resumed", "transfer_failed", "find_person_failed", "join_deadline")
    ),
)
