"""What became of a call of a campaign: by its status and cause, and by its journal where these do not say. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from callflow.contracts import commands, hangup_causes
from callflow.contracts.events import CALLER, CommandFailed, MessageLeft
from callflow.journal.journal import JournalEntry


ANSWERED: Final = "answered"
CANCELED: Final = "canceled"
MACHINE: Final = "machine"
"""A machine has answered, and was told nothing, or not to the end."""
MESSAGE_LEFT: Final = "message_left"
"""A machine has answered, and was told all that there was to say."""
UNKNOWN: Final = "unknown"
"""Nobody knows whether the telephone has rung, or was answered."""
REFUSED: Final = "refused"
"""The carrier called nobody, for a reason that is not the number's: it is called again, and no attempt is used up."""
OUTCOMES: Final = ("busy", "no_answer", "failed", MACHINE, UNKNOWN)
"""Outcomes of a call after which the number may be called again."""
_UNKNOWN_CAUSES: Final = frozenset({
    "interrupted", "dial_lost", "not_at_carrier", "not_answered",
    "normal_clearing", "already_ended",  # somebody hung up who must have picked up while we were away
})  # fmt: skip
"""Causes of calls that were not answered as far as we know, after which another call may bother somebody who was."""
_MACHINES: Final = frozenset({MACHINE, "fax"})
_OUTCOME_OF: Final = {"completed": ANSWERED, "busy": "busy", "no-answer": "no_answer", "canceled": CANCELED}

About = Literal["limit", "account", "unknown"]
"""See `callflow.contracts.errors.Refuses`."""
MOST_REFUSED: Final = 10
"""Refusals of one row that use up no attempt of it: whatever is refused more often counts, so that it has an end."""
_FIRST_WAIT_SECONDS, _MOST_WAIT_SECONDS = 10.0, 1800.0
_LIMITED: Final = (hangup_causes.CARRIER_LIMIT, hangup_causes.NOT_DIALLED)
_NOT_DIALLED: Final = frozenset({"dial_failed", "dial_lost", *_LIMITED})
"""Causes of calls that may have been refused."""


class Refusal(NamedTuple):
    """The carrier refused to call anybody, so that no telephone has rung."""

    about: About
    why: str


def outcome_of(status: str, cause: str) -> str:
    """Return what became of a call that is over. `status`: see `contracts/call_status.py`. `cause`: why it ended."""
    if cause in _MACHINES:
        return cause
    if status != "completed" and cause in _UNKNOWN_CAUSES:
        return UNKNOWN
    if status == "canceled" and cause == "shutdown":  # nobody wanted that end
        return "failed"
    return _OUTCOME_OF.get(status, "failed")


def may_be_refused(cause: str) -> bool:
    """Return whether a call that ended so may have been refused: then its journal says it."""
    return cause in _NOT_DIALLED


def refusal(cause: str, entries: Sequence[JournalEntry]) -> Refusal | None:
    """Return the refusal by which a call ended. None: there was none, or it is about the number.

    A dial whose answer was lost is none, but one that was answered with trouble of the carrier's own, and of which
    nothing was seen or found since.
    """
    if cause in _LIMITED:
        return Refusal("limit", _sentence(hangup_causes.why(cause)))
    failed = [
        entry.event for entry in entries
        if entry.name == CommandFailed.name and entry.event.get("command") == commands.Dial.name
        and entry.event.get("leg", CALLER) == CALLER
    ]  # fmt: skip
    if cause not in _NOT_DIALLED or not failed:
        return None
    about, why = failed[-1].get("refuses", ""), _sentence(str(failed[-1].get("reason") or hangup_causes.why(cause)))
    if about in ("limit", "account"):
        return Refusal(about, why)
    return Refusal("unknown", why) if cause == "dial_failed" and about != "number" else None


def message_was_left(entries: Sequence[JournalEntry]) -> bool:
    """Return whether an answering machine was told the whole message."""
    return any(entry.name == MessageLeft.name and entry.taken for entry in entries)


def wait_seconds(refused: int) -> float:
    """Return how long a row waits that was refused so many times."""
    return min(_FIRST_WAIT_SECONDS * 2.0 ** max(refused - 1, 0), _MOST_WAIT_SECONDS)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
