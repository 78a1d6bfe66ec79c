"""What a call asks the caller lookup while it rings, and what it writes down of the answer."""

from __future__ import annotations

from typing import Protocol

from callflow.call.call_config import CallConfig
from callflow.contracts.caller_lookup import LookedUp, Question
from callflow.contracts.carrier import Carrier
from callflow.contracts.events import REFUSED, CallInitiated, CallRefused
from callflow.contracts.printable import quoted
from callflow.journal import notes


class Asking(Protocol):
    """The call that asks."""

    id: str
    carrier: Carrier
    from_number: str
    to_number: str


def question(call: Asking, event: CallInitiated) -> Question:
    """Return the question about a call that rings."""
    return Question(
        call=call.id, carrier=call.carrier.name, from_number=call.from_number or event.from_number,
        to_number=call.to_number or event.to_number,
    )  # fmt: skip


def refusal(event: CallInitiated, found: LookedUp) -> CallRefused:
    """Return the event that takes the place of a refused call's first one."""
    return CallRefused(reason=REFUSED, why=found.refuse, from_number=event.from_number, to_number=event.to_number)


def lookup_note(config: CallConfig, found: LookedUp) -> notes.CallerLookup:
    """Return the note about an answer. `config`: that of the call under it."""
    problems = list(found.problems)
    if found.profile not in ("", config.profile):
        problems.append(f"there is no profile {quoted(found.profile)}")
    return notes.CallerLookup(
        outcome=found.outcome, ms=found.ms, why=found.why, profile=found.profile, variables=dict(found.variables),
        left_out=list(config.left_out), problems=problems,
    )  # fmt: skip
