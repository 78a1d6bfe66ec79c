"""The status of a call in the words of Twilio's REST API, whatever its carrier. Pure.

Vendor: www.twilio.com/docs/voice/api/call-resource#call-status-values
"""

from __future__ import annotations

from typing import Final, Literal

from callflow.contracts.hangup_causes import REFUSED_BY_US


CallStatus = Literal["queued", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled"]
Direction = Literal["inbound", "outbound"]

_BUSY: Final = frozenset({
    "user_busy",  # the line; `busy` is that in Twilio's word, too
    *REFUSED_BY_US,  # the caller heard busy
    "call_rejected", "rejected",  # declined: these words have none of their own for it
})  # fmt: skip
_NO_ANSWER: Final = frozenset({"no_answer", "timeout"})
_CANCELED: Final = frozenset({
    "originator_cancel", "canceled",  # by whoever dialled
    "operator", "agent", "shutdown",  # we no longer wanted it
})  # fmt: skip
_ANSWERED: Final = frozenset({"machine", "fax"})
"""The carrier may tell who has answered before it tells of the answer."""
COMPLETED: Final = "completed"
"""Twilio's word for the end of a call that was answered: an end before that has words of its own (/docs/voice/api/
call-resource#call-status-values). So of a call that we dialled it proves an answer that we were not told of."""
_HUNG_UP: Final = frozenset({"normal_clearing", COMPLETED, "already_ended"})
"""Hung up in the ordinary way: before an answer, by whoever the direction says."""


def call_status(
    *, state: str, cause: str, direction: Direction, was_answered: bool, is_at_carrier: bool = True
) -> CallStatus:
    """Return the status.

    `state`: the machine's (`hangup`: it is over). `cause`: why it ended; see `hangup_causes`. `was_answered`: it left
    `ringing` for a state in which both sides can be heard: then it is `completed`, whatever ended it. `is_at_carrier`:
    the carrier has given it an id; an outbound call without one is `queued`.
    """
    if state != "hangup":
        if was_answered or state != "ringing":
            return "in-progress"
        return "ringing" if is_at_carrier or direction == "inbound" else "queued"
    if was_answered or cause in _ANSWERED or (cause == COMPLETED and direction == "outbound"):
        return "completed"
    if cause in _HUNG_UP:  # whoever rang gave up; or whoever was rung, and that is no answer
        return "canceled" if direction == "inbound" else "no-answer"
    for status, causes in _UNANSWERED:
        if cause in causes:
            return status
    return "failed"


_UNANSWERED: Final[tuple[tuple[CallStatus, frozenset[str]], ...]] = (
    ("busy", _BUSY), ("no-answer", _NO_ANSWER), ("canceled", _CANCELED),
)  # fmt: skip
