"""The route that tells in words what is set up, how the server is, and what to do about what is missing.

It tells what `/health`, `/metrics` and `/api/budget` tell in figures. Everything is read when it is asked for.
"""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from quart import Quart, Response
from sqlalchemy.exc import SQLAlchemyError

from callflow.contracts.diagnostics import Finding
from callflow.contracts.secret_text import NOT_SHOWN, Secrets
from callflow.history.delivery.sender import Sender
from callflow.history.history import History
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.budget import Spending
from callflow.web.responses import json_response, query_parameters


_LITTLE, _TOO_LITTLE = 2 << 30, 512 << 20
"""Bytes free on the disk with the data."""
_MANY_WAIT: Final = 1000
"""Entries of the journal."""
_NEARLY: Final = 0.8
"""Of a ceiling."""
_NO_SECRETS: Final = Secrets(())


@dataclass(frozen=True, slots=True)
class Checklist:
    """What the application knows of itself."""

    setup: Sequence[Finding] = ()
    data: Path = field(default_factory=Path)
    """The folder with history and recordings."""
    most_calls: int = 0
    """At once; 0: not known."""
    secrets: Secrets = _NO_SECRETS


def add_checks(
    app: Quart,
    switchboard: Callable[[], Switchboard],
    history: History,
    engine: Callable[[], Mapping[str, Any]],
    checklist: Callable[[], Checklist],
    *,
    sender: Sender | None,
    spending: Spending | None,
) -> None:
    """Add the route to the app. `engine`: describes the model's account, as `Account.describe` does. `sender`: sends
    events; None: EVENTS_URL is not set. `spending`: see `Budget.describe`; None: that is not counted."""

    async def spent() -> Mapping[str, Any] | None:
        try:
            return await spending() if spending is not None else None
        except (SQLAlchemyError, OSError):
            return None

    @app.get("/api/checks")
    @query_parameters()
    async def checks() -> Response:
        """Tell what is set up, and how the server is: a list each of what was looked at."""
        known = await asyncio.to_thread(checklist)
        free = await asyncio.to_thread(_free, known.data)
        board = switchboard()
        now = [
            *_calls(board, known.most_calls),
            _engine(engine()),
            *_history(history),
            _loop(board.load.p99_ms, is_overloaded=board.load.is_overloaded),
            _disk(free),
            *_budget(await spent()),
            _events(sender.describe() if sender is not None else None),
        ]
        told = {"setup": [_told(one, known.secrets) for one in known.setup], "now": [*map(dataclasses.asdict, now)]}
        return json_response({"at": history.now(), **told})


def _told(finding: Finding, secrets: Secrets) -> dict[str, Any]:
    told = dataclasses.asdict(finding)
    return {**told, "what": NOT_SHOWN, "remedy": ""} if secrets.within(f"{finding.what} {finding.remedy}") else told


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _calls(board: Switchboard, most: int) -> Iterator[Finding]:
    live = len(board.calls)
    if not board.is_accepting:
        yield Finding("calls", "wrong", f"no new call is taken; {live} live", "the server is ending: start it again")
    elif most and live >= most:
        remedy = "raise max_concurrent_calls, if this machine can carry more"
        yield Finding("calls", "wrong", f"{live} live, which is the limit: new callers hear busy", remedy)
    elif most and live >= most * _NEARLY:
        yield Finding("calls", "note", f"{live} live of {most} at once", "beyond that, new callers hear busy")
    else:
        yield Finding("calls", "ok", f"new ones are taken; {live} live{f' of {most} at once' if most else ''}")
    if lost := board.counts.get("lost_hangups", 0):
        remedy = "look whether webhooks of the carrier get through: `python server.py doctor`"
        yield Finding("carriers", "note", f"{lost} times a carrier did not say that a call was over", remedy)


def _engine(told: Mapping[str, Any]) -> Finding:
    why = f": {told['why']}" if told.get("why") else ""
    match told.get("state", "closed"):
        case "open":
            probe = told.get("next_probe_in")
            again = f", and is tried again in {probe:.0f} s" if isinstance(probe, (int, float)) else ""
            remedy = "look at the model's account: key, limits and credit"
            return Finding("model", "wrong", f"it does not answer{again}{why}", remedy)
        case "probing":
            return Finding("model", "note", f"it did not answer, and is being tried again{why}")
        case _:
            return Finding("model", "ok", "it answers, as far as the last calls tell")


def _history(history: History) -> Iterator[Finding]:
    journal = history.journal
    if not history.is_readable:
        trouble = f": {journal.trouble}" if journal.trouble else ""
        yield Finding("database", "wrong", f"it is not open{trouble}", "calls go on without it; it is tried again")
    else:
        yield Finding("database", "ok", "SQLite, open" if history.database.is_sqlite else "PostgreSQL, open")
    lost = journal.counts["lost"] + journal.counts["unwritable"]
    if journal.trouble and history.is_readable:
        remedy = "look at the disk and at the database; what waits is written when they are back"
        yield Finding("journal", "wrong", f"nothing can be written: {journal.trouble}", remedy)
    elif journal.waiting > _MANY_WAIT:
        yield Finding("journal", "note", f"{journal.waiting} entries wait", "the database is slow: look at its disk")
    elif lost:
        what = f"it is written, but {lost} entries were lost since the start"
        yield Finding("journal", "note", what, "the log says when and why")
    elif history.is_readable:
        yield Finding("journal", "ok", f"it is written; {journal.waiting} entries wait")


def _loop(late_ms: float, *, is_overloaded: bool) -> Finding:
    what = f"audio is handled {late_ms:.1f} ms late at most, in 99 of 100 cases"
    if is_overloaded:
        remedy = "this machine is too busy: end other work on it, or lower max_concurrent_calls"
        return Finding("time", "wrong", f"{what}: new callers hear busy", remedy)
    return Finding("time", "ok", what)


def _disk(free: int | None) -> Finding:
    if free is None:
        return Finding("disk", "note", "how much is free cannot be told", "look whether the data folder is there")
    what = f"{free / (1 << 30):.1f} GB free for history and recordings"
    if free < _LITTLE:
        remedy = "make room, or set RETENTION_DAYS, so that old calls are deleted"
        return Finding("disk", "wrong" if free < _TOO_LITTLE else "note", what, remedy)
    return Finding("disk", "ok", what)


def _budget(told: Mapping[str, Any] | None) -> Iterator[Finding]:
    if told is None:
        return
    named = [("all calls", told["all"]), *((f"profile {one['profile']}", one) for one in told["profiles"])]
    for name, one in named:
        used = one.get("used")
        if used is None or used < _NEARLY:
            continue
        what = f"{name} used {used:.0%} of what they may take today"
        if used >= 1:
            yield Finding("budget", "wrong", what, "no new call is taken before tomorrow: raise the ceiling, or wait")
        else:
            yield Finding("budget", "note", what, "at 100 % no new call is taken before tomorrow")
    whole = told["all"]
    if not told["known"]:
        yield Finding("budget", "note", "what calls took before the start is not known yet", "the history is asked")
    elif whole.get("used", 0) < _NEARLY:
        calls = "1 call" if whole["calls"] == 1 else f"{whole['calls']} calls"
        ceiling = "" if "used" in whole else "; there is no ceiling for a day"
        yield Finding("budget", "ok", f"{calls} today, ${whole['usd']:.2f}{ceiling}")


def _events(told: Mapping[str, Any] | None) -> Finding:
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
