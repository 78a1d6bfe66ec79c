"""`server.py replay`: runs journals through this version's machine, and shows each decision that comes out otherwise.

Exit codes: 0, every decision comes out as in the journal; 1, at least one does not, or the call is not there; 2, the
words of the command or a journal cannot be used.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from callflow.call.replay import Divergence, Replay, replay
from callflow.cli.calls import find_call, open_store, refuse
from callflow.cli.journal_file import is_file_name, read_history
from callflow.contracts import printable
from callflow.contracts.errors import BadQuery, JournalFileError
from callflow.history.query import MOST, Query, moment
from callflow.history.tables import iso
from callflow.journal.journal import JournalEntry


_DURATION: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MOST_SHOWN: Final = 2000
"""Characters of one side of a difference."""

Journal = tuple[str, Sequence[JournalEntry]]
"""What it is called where something is wrong with it, and its entries in order."""


class Report:
    """Prints the differences as they are found, and counts."""

    def __init__(self) -> None:
        self.calls = self.steps = self.differ = self.unusable = 0

    def add(self, about: str, entries: Sequence[JournalEntry]) -> None:
        """Replay one call. Raises JournalFileError where its journal cannot be used."""
        done = _replayed(about, entries)
        self.calls += 1
        self.steps += done.taken
        self.differ += len(done.divergences)
        for each in done.divergences:
            _show(entries[0].call, each)

    def refuse(self, error: JournalFileError) -> None:
        """Say that one of several journals cannot be used, and go on."""
        self.unusable += 1
        refuse(error)

    @property
    def summary(self) -> str:
        """`3 calls, 41 steps, 0 differ`."""
        return f"{_counted(self.calls, 'call')}, {_counted(self.steps, 'step')}, {self.differ} differ"

    @property
    def code(self) -> int:
        """The exit code."""
        return 1 if self.differ else 2 if self.unusable else 0


async def run_replay(arguments: argparse.Namespace) -> int:
    """Replay one call, a file, a folder of files, or the calls of the history since then. Returns the exit code."""
    report = Report()
    name, since = arguments.call, arguments.since
    try:
        if (name is None) == (since is None):
            raise JournalFileError(
                "Say what to replay: a call, a file, a folder, or --since with a date or a duration; one of them."
            )
        if since is not None:
            await _replay_since(began_since(since, datetime.now(UTC)), report)
        elif _is_folder(name):
            _replay_folder(Path(name), report)
        else:
            about, entries = await _journal(name)
            report.add(about, entries)
            if not report.differ:
                steps = _counted(report.steps, "step")
                print(f"call {printable.line(entries[0].call)}: {steps}, every transition and command as recorded")
    except (JournalFileError, BadQuery) as error:
        return refuse(error)
    print(report.summary)
    return report.code


async def _journal(name: str) -> Journal:
    """The journal of one file, or of one call of the history."""
    if is_file_name(name):
        return name, read_history(Path(name))
    async with open_store() as store:
        row, entries = await find_call(store, name)
    return f"call {row['call_id'] or row['stream_sid']}", entries


def _replay_folder(folder: Path, report: Report) -> None:
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise JournalFileError(f"There is no file in the folder {folder} whose name ends in .jsonl.")
    for path in files:
        try:
            report.add(str(path), read_history(path))
        except JournalFileError as error:
            report.refuse(error)


async def _replay_since(began: str, report: Report) -> None:
    async for about, entries in _journals_since(began):
        try:
            report.add(about, entries)
        except JournalFileError as error:
            report.refuse(error)


async def _journals_since(began: str) -> AsyncIterator[Journal]:
    """The calls that began then (ISO 8601) or later, newest first; calls of an earlier system have no journal."""
    async with open_store() as store:
        async for page in store.pages(Query(since=began, limit=MOST)):
            for row in page:
                if row["call_id"] and (entries := await store.journal(row["call_id"])):
                    yield f"call {row['call_id']}", entries


def began_since(text: str, now: datetime) -> str:
    """Read `2026-01-31`, `2026-01-31T12:00:00Z`, or so long before `now`: `90s`, `30m`, `12h`, `7d`, `2w`.

    Returns the moment as it stands in the tables. Raises JournalFileError or BadQuery for anything else."""
    given = text.strip()
    if not given:
        raise JournalFileError("--since is empty: say a date, or how long ago, such as 7d.")
    found = _DURATION.fullmatch(given.lower())
    if found is None:
        try:
            return moment(given)
        except BadQuery as error:
            raise BadQuery(f"{error}, or how long ago: 90s, 30m, 12h, 7d, 2w") from None
    ago = timedelta(seconds=float(found[1]) * _SECONDS[found[2]])
    try:
        return iso((now - ago).timestamp())
    except (OverflowError, ValueError):
        raise JournalFileError(f"--since {given} is before the beginning of the calendar.") from None


def _replayed(about: str, entries: Sequence[JournalEntry]) -> Replay:
    if not any(entry.is_step for entry in entries):
        raise JournalFileError(f"There is no step in the journal of {about}, so there is nothing to replay.")
    try:
        return replay(entries, lenient=True)
    except Exception as error:  # whatever a file holds that looks like a journal
        raise JournalFileError(f"The journal of {about} makes no sense ({type(error).__name__}).") from None


def _show(call: str, each: Divergence) -> None:
    event = f" ({each.event})" if each.event else ""
    print(f"call {printable.line(call)} diverges at step {each.step}{event}, in what is called {each.what}:")
    for title, value in (("in the journal", each.recorded), ("comes out now", each.replayed)):
        print(f"  {title}  {printable.line(str(value))[:_MOST_SHOWN]}")


def _is_folder(name: str) -> bool:
    try:
        return bool(name.strip()) and Path(name).is_dir()
    except (OSError, ValueError):  # too long for a file, for instance
        return False


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
