"""`server.py calls`: the history of the calls, read in the terminal. Nothing in it is changed.

Exit codes: 0, there is an answer; 1, what was asked for is not there; 2, the words of the command or the history cannot
be used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from callflow.cli.journal_file import write_history
from callflow.cli.picture import from_journal
from callflow.cli.terminal import new_table, print_wide
from callflow.config.loader import load
from callflow.config.profiles import country
from callflow.contracts import printable
from callflow.contracts.errors import BadQuery, CallNotFound, JournalFileError, SettingsError
from callflow.contracts.hangup_causes import ended
from callflow.history.database import Database, DatabaseError, url_of
from callflow.history.query import Query
from callflow.history.store import Store
from callflow.history.views import OUTBOUND, numbers_of, plain
from callflow.journal import timeline
from callflow.journal.journal import JournalEntry


_FILTERS: Final = ("number", "text", "since", "until")
_SHORT: Final = 8
"""Characters of an id that tell one call from the others."""
_MOST_ALIKE: Final = 10


async def run_calls(arguments: argparse.Namespace) -> int:
    """Show one call, or list those that the options ask for. Returns the exit code."""
    try:
        if arguments.call is not None:
            return await _show(arguments)
        return await _list(arguments)
    except (JournalFileError, BadQuery) as error:
        return refuse(error)


async def _list(arguments: argparse.Namespace) -> int:
    chosen = {name: getattr(arguments, name) for name in _FILTERS}
    for name, value in chosen.items():
        if value is not None and not value.strip():
            raise JournalFileError(f"--{name} is empty: say what to look for, or leave it out.")
    for option, does in (("save", "writes down"), ("picture", "draws")):
        if getattr(arguments, option) is not None:
            raise JournalFileError(f"--{option} {does} one call: say which. `python server.py calls` lists them.")
    asked = {name: value or "" for name, value in chosen.items()}
    wanted = Query(
        number=asked["number"], words=asked["text"], since=asked["since"], until=asked["until"], limit=arguments.limit
    )
    async with open_store() as store:
        rows = await store.find(wanted)
    if not rows:
        note = store.assumed(wanted)
        print(f"No such calls are in the history.{f' {note}' if note else ''}")
        return 0
    titles = ("began", "call", "way", "with", "length", "turns", "cost", "ended because")
    table = new_table(titles, texts=("with", "ended because"))
    for row in rows:
        table.add_row(
            _cell(timeline.local(row["started_at"])[:16]),
            _cell(_short(row)),
            "out" if row["direction"] == OUTBOUND else "in",
            _cell(row["caller_number"] or "–"),
            _length(row["duration_seconds"]),
            str(row["message_count"] or 0),
            _dollars(row["cost_usd"]),
            _cell(ended(row)),
        )
    print_wide(table)
    return 0


async def _show(arguments: argparse.Namespace) -> int:
    given = [f"--{name}" for name in _FILTERS if getattr(arguments, name) is not None]
    if given:
        raise JournalFileError(f"{', '.join(given)}: this chooses among the calls; leave it out to see a single one.")
    async with open_store() as store:
        row, entries = await find_call(store, arguments.call)
        items = [] if entries else [plain(item) for item in await store.items(row["id"])]
    name = row["call_id"] or row["stream_sid"]
    if arguments.picture is not None:
        if not entries:
            raise JournalFileError(
                f"Of call {name} there is no journal: an earlier system kept none. Nothing is drawn."
            )
        kept = from_journal.keep(entries, Path(load().data_dir) / "recordings", arguments.picture, call=name)
        print(f"The call as a picture: {printable.line(str(kept.resolve()))}")
        if arguments.save is None:
            return 0
    if arguments.save is not None:
        if not arguments.save.strip():
            raise JournalFileError("--save is empty: say into which file.")
        if not entries:
            raise JournalFileError(
                f"Of call {name} there is no journal: an earlier system kept none. Nothing is saved."
            )
        write_history(Path(arguments.save), entries)
        print(f"{len(entries)} journal entries of call {name} are in {arguments.save}")
        return 0
    carrier = row["carrier"] or "of an earlier system"
    caller, called = numbers_of(row)
    way = "outbound, " if row["direction"] == OUTBOUND else ""
    print(f"call {name}, {carrier}, {way}from {caller or '–'} to {called or '–'}")
    cost = _dollars(row["cost_usd"])
    print(
        f"began {timeline.local(row['started_at'])}, {_length(row['duration_seconds'])} long, {cost} of the voice model"
    )
    print(f"ended: {ended(row)}" if row["ended_at"] else ended(row))
    print()
    for at, line in timeline.lines(entries, row["started_at"], items):
        print(f"{at:9.3f} s  {printable.line(line)}")
    return 0


@asynccontextmanager
async def open_store() -> AsyncIterator[Store]:
    """Open the history that the settings name, to read it only. Raises JournalFileError.

    Nothing else belongs into its block: errors there are told as the database's."""
    try:
        settings = load()
        url = url_of(settings.database_url, settings.data_dir)
    except SettingsError as error:
        raise JournalFileError("\n".join(error.problems)) from None
    except DatabaseError as error:
        raise JournalFileError(str(error)) from None
    database = Database(url, read_only=True)
    try:
        await database.check()
        yield Store(database, country=country(settings))
    except DatabaseError as error:
        raise JournalFileError(f"{str(error)[:1].upper()}{str(error)[1:]}") from None
    except (SQLAlchemyError, OSError) as error:
        raise JournalFileError(f"The history in {database.name} cannot be read: {database.trouble(error)}.") from None
    finally:
        await database.close()


async def find_call(store: Store, beginning: str) -> tuple[dict[str, Any], list[JournalEntry]]:
    """Return the one conversation that is meant, a row of `tables.conversations`, and its journal. Raises CallNotFound
    if there is none, and JournalFileError if the beginning is empty or several calls begin like that."""
    if not beginning.strip():
        raise JournalFileError("The id of the call is empty. `python server.py calls` lists them.")
    found = await store.like(beginning.strip(), most=_MOST_ALIKE + 1)
    if not found:
        raise CallNotFound(
            f'No call in the history begins with "{beginning[:80]}". `python server.py calls` lists them.'
        )
    if len(found) > 1:
        many = f"More than {_MOST_ALIKE}" if len(found) > _MOST_ALIKE else str(len(found))
        names = ", ".join(row["call_id"] or row["stream_sid"] for row in found[:_MOST_ALIKE])
        raise JournalFileError(f'{many} calls begin with "{beginning[:80]}": {names}. Say more of it.')
    row = found[0]
    return row, await store.journal(row["call_id"]) if row["call_id"] else []


async def id_of(beginning: str) -> str:
    """Return the id of the one call of the history that is meant. Raises JournalFileError."""
    async with open_store() as store:
        row, _ = await find_call(store, beginning)
    return str(row["call_id"] or row["stream_sid"])


def _cell(text: str) -> Text:
    """As text: rich would read brackets as markup."""
    return Text(printable.line(text))


def _short(row: Any) -> str:
    """What `calls` takes as an id. Those of an earlier system begin alike: more of them is shown."""
    return str(row["call_id"])[:_SHORT] if row["call_id"] else str(row["stream_sid"])[: 2 * _SHORT]


def _length(seconds: float | None) -> str:
    return "–" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _dollars(usd: float | None) -> str:
    return "unknown" if usd is None else f"${usd:.4f}"


def refuse(error: Exception) -> int:
    """Print why a command cannot do what it was asked for. Returns the exit code."""
    text = str(error)
    print(text if text.endswith((".", "?")) else f"{text}.", file=sys.stderr)
    return 1 if isinstance(error, CallNotFound) else 2
