"""Finds the calls that the filters of `GET /Calls.json` ask for.

Vendor: www.twilio.com/docs/voice/api/call-resource.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from time import monotonic

from callflow.sandbox.twilio.call import Call
from callflow.sandbox.twilio.errors import ApiError
from callflow.sandbox.twilio.parameters import LIST_CALLS
from callflow.sandbox.twilio.validation import Form, check_names


def found(calls: Iterable[Call], form: Form, lags_s: float) -> list[Call]:
    """Return the calls that the filters of a query ask for, newest first. Raises ApiError (400) for an odd filter.

    A call that is younger than `lags_s` is not in the list yet.
    """
    check_names(form, LIST_CALLS)
    tests = [_test(name, value) for name, value in form if value and not name.startswith("Page")]
    now = monotonic()
    listed = [call for call in calls if now - call.started_at >= lags_s]
    return [call for call in reversed(listed) if all(test(call) for test in tests)]


def _test(name: str, value: str) -> Callable[[Call], bool]:
    match name:
        case "To":
            return lambda call: call.to_number == value
        case "From":
            return lambda call: call.from_number == value
        case "Status":
            return lambda call: call.status == value
        case "ParentCallSid":
            return lambda call: call.parent is not None and call.parent.sid == value
    first, last = _span(name, value)
    # Whether a call without a start time (it is queued) is found by one is not documented (unknown): by its creation.
    if name.startswith("StartTime"):
        return lambda call: first <= (call.started or call.created).replace(microsecond=0) <= last
    return lambda call: call.finished is not None and first <= call.finished.replace(microsecond=0) <= last


def _span(name: str, value: str) -> tuple[datetime, datetime]:
    """The first and the last second that a filter of times lets through; a value is a date or a time, in UTC."""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise ApiError(400, 20001, f"{name} {value} is no date") from None
    at = at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
    until = at + timedelta(days=1, seconds=-1) if len(value) == len("2026-01-01") else at
    if name.endswith(">"):
        return at, datetime.max.replace(tzinfo=UTC)
    if name.endswith("<"):
        return datetime.min.replace(tzinfo=UTC), until
    return at, until
