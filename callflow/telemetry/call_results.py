"""Says by whose doing a call ended, and under which of the known causes it is counted. Pure."""

from __future__ import annotations

from typing import Final

from callflow.contracts import hangup_causes
from callflow.telemetry.metrics import COMMAND_FAILED, OTHER


ORDINARY: Final = frozenset({"normal_clearing", "completed", "already_ended"})
"""Somebody hung up: a success if the caller had heard the agent, else the caller did not wait for that."""
_RESULTS: Final = {
    "success": ("agent", "operator", "no_input", "too_long", "transferred"),
    "caller": (
        "originator_cancel", "canceled", "no_answer", "timeout", "user_busy", "call_rejected", "rejected", "machine",
        "fax", "caller_busy", "caller_limit", "refused", "not_ours",
    ),
    "carrier": (
        "not_found", "failed", "time_limit", "dial_failed", "dial_lost",
        hangup_causes.CARRIER_LIMIT, hangup_causes.NOT_DIALLED,
        "stream_lost", "stream_failed", "stream_timeout", "codec_refused", "not_answered", "not_at_carrier",
        "unspecified", COMMAND_FAILED, OTHER,
    ),
    "engine": ("engine_lost", "engine_timeout"),
    "ours": ("busy", "budget", "closed", "draining", "shutdown", "interrupted", "our_fault"),
}  # fmt: skip
_RESULT_OF: Final = {cause: result for result, causes in _RESULTS.items() for cause in causes}
KNOWN_CAUSES: Final = frozenset(_RESULT_OF) | ORDINARY


def causes_of(result: str) -> tuple[str, ...]:
    """Return the causes that are always counted under one of `metrics.RESULTS`: those of `ORDINARY` are a success or
    the caller's doing, depending on whether the caller heard the agent."""
    return _RESULTS[result]


def known_cause(cause: str) -> str:
    """Return the cause if it is one of `metrics.CAUSES`, else `command_failed` or `other`: carriers send any text."""
    if cause in hangup_causes.KNOWN:
        return cause
    return COMMAND_FAILED if cause in _COMMANDS_FAILED else OTHER


_COMMANDS_FAILED: Final = frozenset({"answer_failed", "reject_failed", "hangup_failed", "speak_failed"})
"""`stream_failed` is a cause of its own."""


def result_of(cause: str, *, heard_agent: bool) -> str:
    """Return one of `metrics.RESULTS`. `cause`: one of `metrics.CAUSES`; `heard_agent`: the caller heard the agent."""
    if cause in ORDINARY:
        return "success" if heard_agent else "caller"
    return _RESULT_OF[cause]
