"""What the server finds when it looks at itself: a line each, in words, with what to do next. Nothing here waits.

`service.py` gathers what these functions judge; `alert_life_cycle.py` says when one of them becomes an alert.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any, Final

from callflow.contracts.diagnostics import Finding
from callflow.history.history import History
from callflow.switchboard.switchboard import Switchboard


_LITTLE, _TOO_LITTLE = 2 << 30, 512 << 20
"""Bytes free on the disk with the data."""
_MANY_WAIT: Final = 1000
"""Entries of the journal."""
_NEARLY: Final = 0.8
"""Of a ceiling."""
_MANY_FAILED: Final = 3
"""Of a carrier; one alone is a matter of its call."""
_LATE_MS: Final = 30.0
"""From which on the lag of the loop is heard as jitter."""
_HEARD_MS: Final = 150.0
"""From which on it is heard as gaps."""
_SLOW_MS: Final = 500.0
"""For the smallest question to the database."""
_STEP_SECONDS: Final = 2.0
"""By which the clock may be corrected without anybody noticing."""


def of_calls(board: Switchboard, most: int) -> Iterator[Finding]:
    """Judge how many calls are live. `most`: may be at once; 0: not known."""
    live = len(board.calls)
    if not board.is_accepting:
        yield Finding("calls", "wrong", f"no new call is taken; {live} live", "the server is ending: start it again")
    elif most and live >= most:
        remedy = "raise max_concurrent_calls, if this machine can carry more"
        yield Finding("calls", "wrong", f"{live} live, which is the limit: new callers get what when_full says", remedy)
    elif most and live >= most * _NEARLY:
        yield Finding(
            "calls", "note", f"{live} live of {most} at once", "beyond that, new callers get what when_full says"
        )
    else:
        yield Finding("calls", "ok", f"new ones are taken; {live} live{f' of {most} at once' if most else ''}")


def of_carriers(lost: int, failed: int, minutes: int) -> Finding:
    """Judge what carriers did not do in the last minutes. `lost`: ends of calls that they did not tell. `failed`:
    commands and streams that failed with them."""
    about = "carriers"
    if failed >= _MANY_FAILED:
        remedy = "look at the calls of these minutes, and at the carrier's own status page"
        what = f"{failed} of our commands or streams failed with them in the last {minutes} minutes"
        return Finding(about, "note", what, remedy)
    if lost >= _MANY_FAILED:
        remedy = "look whether webhooks of the carrier get through: ask the doctor"
        return Finding(about, "note", f"{lost} ends of calls were not told in the last {minutes} minutes", remedy)
    return Finding(about, "ok", f"they did what they were asked for in the last {minutes} minutes")


def of_engine(told: Mapping[str, Any]) -> Finding:
    """Judge the model's account, as `Account.describe` describes it."""
    why = f": {told['why']}" if told.get("why") else ""
    beside = told.get("beside")
    goes_on = isinstance(beside, Mapping) and beside.get("state") == "closed"
    match told.get("state", "closed"):
        case "open" if goes_on:
            remedy = "look at the model's account; profiles without a second engine take no calls"
            return Finding("model", "wrong", f"one engine does not answer, and the second takes its calls{why}", remedy)
        case "closed" if isinstance(beside, Mapping) and not goes_on:
            why = f": {beside['why']}" if beside.get("why") else ""
            remedy = "look at the model's account: key, limits and access to this model"
            return Finding("model", "wrong", f"the full-duplex engine does not answer{why}", remedy)
        case "open":
            probe = told.get("next_probe_in")
            again = f", and is tried again in {probe:.0f} s" if isinstance(probe, (int, float)) else ""
            remedy = "look at the model's account: key, limits and credit"
            return Finding("model", "wrong", f"it does not answer{again}{why}", remedy)
        case "probing":
            return Finding("model", "note", f"it did not answer, and is being tried again{why}")
        case _:
            return Finding("model", "ok", "it answers, as far as the last calls tell")


def of_database(history: History, took_ms: float | None) -> Finding:
    """Judge the database. `took_ms`: how long the smallest question took; inf: it has no answer; None: nobody asked."""
    about = "database"
    if not history.is_readable:
        trouble = f": {history.journal.trouble}" if history.journal.trouble else ""
        return Finding(about, "wrong", f"it is not open{trouble}", "calls go on without it; it is tried again")
    kind = "SQLite" if history.database.is_sqlite else "PostgreSQL"
    if took_ms is None:
        return Finding(about, "ok", f"{kind}, open")
    if took_ms == inf:
        return Finding(about, "wrong", f"{kind} does not answer", "look at its server or disk; calls go on without it")
    what = f"{kind}, open; it answers within {max(took_ms, 1):.0f} ms"
    if took_ms > _SLOW_MS:
        return Finding(about, "note", what, "it is slow: look at its disk, and at what else uses it")
    return Finding(about, "ok", what)


def of_journal(history: History, lost: int, minutes: int) -> Iterator[Finding]:
    """Judge what waits to be written. `lost`: entries that never will be, of the last minutes."""
    about, journal = "journal", history.journal
    if journal.trouble and history.is_readable:
        remedy = "look at the disk and at the database; what waits is written when they are back"
        yield Finding(about, "wrong", f"nothing can be written: {journal.trouble}", remedy)
    elif lost:
        what = f"{lost} entries were lost in the last {minutes} minutes"
        yield Finding(about, "wrong", what, "the log says when and why; look at the disk and at the database")
    elif journal.waiting > _MANY_WAIT:
        yield Finding(about, "note", f"{journal.waiting} entries wait", "the database is slow: look at its disk")
    elif history.is_readable:
        yield Finding(about, "ok", f"it is written; {journal.waiting} entries wait")


def of_loop(late_ms: float, *, is_overloaded: bool, felt_ms: float = 0.0, why: str = "") -> Finding:
    """Judge the lag of the event loop. `late_ms`: by its own work, at the 99th percentile, which decides about new
    calls. `felt_ms`: for whatever reason, at the 90th. `why`: what `lost_time` says."""
    what = f"audio is handled {late_ms:.1f} ms late at most, in 99 of 100 cases"
    if is_overloaded:
        remedy = "this machine is too busy: end other work on it, or lower max_concurrent_calls"
        return Finding("time", "wrong", f"{what}: new callers hear busy", remedy)
    if felt_ms > max(_LATE_MS, late_ms):  # not by what this process does
        what = f"audio is handled {felt_ms:.0f} ms late, or more, in one of ten cases{why}"
        remedy = "callers hear it: give this process more of a processor, or end other work on this machine"
        return Finding("time", "wrong" if felt_ms > _HEARD_MS else "note", what, remedy)
    if late_ms > _LATE_MS:
        return Finding("time", "note", what, "callers may hear it: look what else this machine does, and at slow tools")
    return Finding("time", "ok", what)


def lost_time(throttled: float, stolen: float, minutes: int) -> str:
    """Return who took away how many seconds of processor time in the last minutes, as a clause; "": hardly any."""
    by = {"a limit of this process (cpu quota)": throttled, "the host of this machine (steal)": stolen}
    told = [f"{seconds:.0f} s by {who}" for who, seconds in by.items() if seconds >= 1]
    return f": in the last {minutes} minutes processor time was taken away, {' and '.join(told)}" if told else ""


def of_clock(step: float, minutes: int) -> Finding:
    """Judge by how many seconds the clock of this machine was set in the last minutes."""
    if abs(step) < _STEP_SECONDS:
        return Finding("clock", "ok", "it runs evenly")
    remedy = "let NTP keep it right: signatures of carriers are refused where it is minutes off"
    return Finding("clock", "note", f"it was set by {step:+.0f} s in the last {minutes} minutes", remedy)


def of_disk(free: int | None) -> Finding:
    """Judge the bytes that are free; None: that cannot be told."""
    if free is None:
        return Finding("disk", "note", "how much is free cannot be told", "look whether the data folder is there")
    what = f"{free / (1 << 30):.1f} GB free for history and recordings"
    if free < _LITTLE:
        remedy = "make room, or set RETENTION_DAYS, so that old calls are deleted"
        return Finding("disk", "wrong" if free < _TOO_LITTLE else "note", what, remedy)
    return Finding("disk", "ok", what)


def of_budget(told: Mapping[str, Any] | None) -> Iterator[Finding]:
    """Judge what the calls of today took, as `Budget.describe` tells it; None: that is not counted, or not known."""
    if told is None:
        return
    named = [("all calls", "", told["all"])]
    named += [(f"profile {one['profile']}", f"budget: {one['profile']}", one) for one in told["profiles"]]
    for name, key, one in named:
        used = one.get("used")
        if used is None or used < _NEARLY:
            continue
        what = f"{name} used {used:.0%} of what they may take today"
        if used >= 1:
            remedy = "no new call is taken before tomorrow: raise the ceiling, or wait"
            yield Finding("budget", "wrong", what, remedy, key)
        else:
            yield Finding("budget", "note", what, "at 100 % no new call is taken before tomorrow", key)
    whole = told["all"]
    if not told["known"]:
        yield Finding("budget", "note", "what calls took before the start is not known yet", "the history is asked")
    elif whole.get("used", 0) < _NEARLY:
        calls = "1 call" if whole["calls"] == 1 else f"{whole['calls']} calls"
        ceiling = "" if "used" in whole else "; there is no ceiling for a day"
        yield Finding("budget", "ok", f"{calls} today, ${whole['usd']:.2f}{ceiling}")


def of_events(told: Mapping[str, Any] | None) -> Finding:
    """Judge the delivery of events, as `Sender.describe` describes it; None: none are sent."""
    about = "events"
    if told is None:
        return Finding(about, "ok", "none are sent: EVENTS_URL is not set")
    if told.get("trouble"):
        remedy = "look at the receiver; what waits is sent again by itself"
        return Finding(about, "wrong", f"they do not arrive ({told['trouble']}); {told['waiting']} wait", remedy)
    if told["dead"]:
        remedy = "GET /api/events/dead lists them, and each can be sent again"
        return Finding(about, "note", f"{told['dead']} were given up; {told['waiting']} wait", remedy)
    return Finding(about, "ok", f"they arrive; {told['waiting']} wait")
