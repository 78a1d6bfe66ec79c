"""Why a call ended, in words for people. A carrier's cause is read in its `webhooks.py`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


REFUSED_BY_US: Final = ("busy", "caller_busy", "caller_limit", "budget", "closed", "draining", "refused")
"""Why a new call is refused here."""
CARRIER_LIMIT: Final = "carrier_limit"
"""The carrier took the call and did not make it: in its own words it was rejected, as by whoever was called."""
NOT_DIALLED: Final = "not_dialled"
"""The carrier took the call, and it was still in its queue when we gave it up: no telephone has rung."""
_CAUSES: Final = {
    "normal_clearing": "it was hung up in the ordinary way",
    "completed": "it was hung up in the ordinary way",
    "originator_cancel": "the caller gave up before it was answered",
    "canceled": "the caller gave up before it was answered",
    "user_busy": "the line was busy",
    "no_answer": "nobody answered",
    "timeout": "nobody answered in time",
    "call_rejected": "it was rejected",
    "rejected": "it was rejected",
    "machine": "an answering machine had answered",
    "fax": "a fax machine had answered",
    "not_found": "the carrier found nobody under that number",
    "failed": "the carrier could not connect it",
    "time_limit": "the carrier's time limit was reached",
    "agent": "the agent ended it, after its last words",
    "operator": "an operator ended it",
    "no_input": "the caller said nothing any more, although they were asked",
    "too_long": "it reached max_call_seconds",
    "shutdown": "the server was stopped",
    "busy": "too many calls were live (MAX_CONCURRENT_CALLS), or the loop was late (ADMISSION_LAG_MS)",
    "caller_busy": "this caller had as many calls at once as they may (MAX_CALLS_PER_CALLER)",
    "caller_limit": "this caller had as many calls within an hour as they may (MAX_CALLS_PER_CALLER_HOUR)",
    "budget": "the calls of that day had taken what they may (GET /api/budget)",
    "closed": "the line was not open at that hour (hours)",
    "refused": "the caller lookup refused it (CALLER_LOOKUP)",
    "draining": "the server was being stopped, and took no new calls",
    "interrupted": "the server died, and the call was over when it came back",
    "stream_lost": "its audio was lost and could not be had back",
    "stream_failed": "the carrier could not open its audio stream: is PUBLIC_BASE_URL right?",
    "stream_timeout": "the carrier never opened its audio stream: is PUBLIC_BASE_URL right?",
    "codec_refused": "its audio came in a form that cannot be read here, or the carrier read nothing of ours",
    "engine_lost": "the voice model was lost, and no other session could be had",
    "engine_timeout": "the voice model was not there in time (engine_seconds)",
    "not_answered": "the carrier never said that it was answered",
    "dial_failed": "the carrier did not dial it",
    NOT_DIALLED: "the carrier had not begun to dial it in time: it was asked for more calls than it dials at once",
    CARRIER_LIMIT: "the carrier did not put it through: a limit of the account, or of whom it may call",
    "transferred": "it had been passed on to a person",
    "dial_lost": "the carrier never said whether it had dialled it",
    "already_ended": "the carrier said that it was over already",
    "not_ours": "it turned out to be somebody else's",
    "not_at_carrier": "the carrier had it no more, and had not said so",
    "our_fault": "of a fault in Callflow: the log of that moment has it",
    "unspecified": "the carrier did not say why",
}
_OUTBOUND: Final = {
    "originator_cancel": "we gave up before it was answered",
    "canceled": "we gave up before it was answered",
    "busy": "the line was busy",
    "no_input": "the person who was called said nothing any more, although they were asked",
}
"""What means something else of a call that we dialled. `busy` is the carrier's word there: Callflow has no such limit
for it."""
_ALIKE: Final = (
    ("no_answer", "timeout"),
    ("canceled", "originator_cancel"),
    ("rejected", "call_rejected"),
    ("completed", "normal_clearing"),
)
"""The carriers' words for the same: Twilio's (www.twilio.com/docs/voice/api/call-resource#call-status-values) and
Telnyx's (developers.telnyx.com: `call.hangup`)."""
_WIDER: Final = {"busy": ("user_busy",), "failed": ("not_found", CARRIER_LIMIT)}
"""What a word means as well: `busy` is also ours, and what Twilio calls `failed`, Telnyx tells more closely."""
KNOWN: Final = frozenset(_CAUSES)
"""Every cause that has words of its own. Carriers may send others."""
_SOURCES: Final = {
    "inbound": {"caller": "by the caller", "callee": "by us"},
    "outbound": {"caller": "by us", "callee": "by the person who was called"},
}
_COMPARED: Final = "as a comparison with it showed"


def meant_by(cause: str) -> tuple[str, ...]:
    """Return the causes that somebody means who looks for this one: itself, and what other carriers say for it."""
    for words in _ALIKE:
        if cause in words:
            return words
    return (cause, *_WIDER.get(cause, ()))


def ended(row: Mapping[str, Any]) -> str:
    """Return why a call of the history ended, or that it has not. `row`: with `ended_at`, `hangup_cause`,
    `hangup_source`, `call_id`, `state`, and `direction` (of an earlier system: none)."""
    if row["ended_at"]:
        return why(row["hangup_cause"], row["hangup_source"], row.get("direction"))
    if row["call_id"] is None:
        return "no end is in the history"
    if row["state"] == "hangup":
        return "it is over, and its last words are still to come"
    return "it has not ended"


def why(cause: str | None, source: str | None = "", direction: str | None = "inbound") -> str:
    """Return a cause as a clause: `it was hung up in the ordinary way, by the caller`.

    `source`: who hung up, in the carrier's words: `caller` (who dialled), `callee`. `direction`: inbound or outbound.
    """
    if not cause:
        return "why is not in the history"
    told = _OUTBOUND.get(cause) if direction == "outbound" else None
    told = told or _CAUSES.get(cause)
    if told is None:
        told = f"a command to the carrier failed ({cause})" if cause.endswith("_failed") else cause.replace("_", " ")
    whose = _whose(cause, source, direction)
    return f"{told}, {whose}" if whose else told


def _whose(cause: str, source: str | None, direction: str | None) -> str:
    if cause not in ("normal_clearing", "completed", "not_at_carrier"):
        return ""
    if source == "reconciliation":
        return _COMPARED
    return _SOURCES["outbound" if direction == "outbound" else "inbound"].get(source or "", "")
