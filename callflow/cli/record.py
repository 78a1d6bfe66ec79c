"""`server.py calls` and `server.py replay`: the record of the calls, read in the terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from rich import box
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from callflow import printable
from callflow.causes import why
from callflow.cli.terminal import Screen
from callflow.history.database import Database, DatabaseError, url_of
from callflow.history.store import BadQuery, Query, Store
from callflow.journal import Record
from callflow.profiles import country
from callflow.replay import replay
from callflow.settings import SettingsError, load
from callflow.timeline import told


_NEXT: Final = "Start the server once, or say where the record is: DATABASE_URL, or DATA_DIR."


class RecordError(Exception):
    """What cannot be read, and what to do about it."""


async def run_calls(arguments: argparse.Namespace) -> int:
    try:
        async with _store() as store:
            if arguments.call:
                return await _show(store, arguments.call, arguments.save)
            wanted = Query(
                number=arguments.number, words=arguments.text, since=arguments.since, until=arguments.until,
                limit=arguments.limit,
            )  # fmt: skip
            rows = await store.find(wanted)
    except (RecordError, BadQuery) as error:
        return _sorry(error)
    if not rows:
        where = f" {arguments.number} was looked for as one of {store.country}." if arguments.number else ""
        print(f"No such calls are on record.{where if not arguments.number.startswith('+') else ''}")
        return 0
    table = Table(box=box.HORIZONTALS, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("began", "call", "from", "length", "turns", "cost"):
        table.add_column(title, no_wrap=True)
    table.add_column("ended because", overflow="fold", min_width=20)
    for row in rows:
        table.add_row(
            _local(row["started_at"])[:16],
            _cell((row["call_id"] or row["stream_sid"])[:8]),
            _cell(row["caller_number"] or "–"),
            _length(row["duration_seconds"]),
            str(row["message_count"] or 0),
            _dollars(row["cost_usd"]),
            _cell(_ended(row)),
        )
    Screen().print(table)
    return 0


async def run_replay(arguments: argparse.Namespace) -> int:
    """0: every transition and command is as recorded. 1: the first divergence is shown. 2: there is no such record."""
    try:
        if _is_file(arguments.call):
            records = read_history(Path(arguments.call))
        else:
            async with _store() as store:
                records = await store.journal(await _name(store, arguments.call))
    except RecordError as error:
        return _sorry(error)
    if not any(record.is_step for record in records):
        return _sorry(RecordError("There is no step in this record, so there is nothing to replay."))
    done = replay(records)
    call = records[0].call
    if done.divergence is None:
        print(f"call {call}: {done.steps} steps, every transition and command as recorded")
        return 0
    print(f"call {call} diverges at step {done.divergence.step}, in what is called {done.divergence.what}:")
    print(f"  on record  {done.divergence.recorded}")
    print(f"  replayed   {done.divergence.replayed}")
    return 1


def _cell(text: str) -> Text:
    """As text: rich would read brackets as markup."""
    return Text(printable.line(text))


def _is_file(name: str) -> bool:
    return Path(name).is_file() or name.endswith(".jsonl")


def read_history(path: Path) -> list[Record]:
    """Raises RecordError."""
    decoder = msgspec.json.Decoder(Record)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return [decoder.decode(line) for line in lines if line.strip()]
    except msgspec.DecodeError as error:
        raise RecordError(f"{path} is not a record that `calls --save` wrote: {error}") from None


def write_history(path: Path, records: Sequence[Record]) -> None:
    path.write_bytes(b"".join(printable.json_of(record) + b"\n" for record in records))


@asynccontextmanager
async def _store() -> AsyncIterator[Store]:
    """The record as the settings name it, to be read only. Raises RecordError."""
    try:
        settings = load()
        url = url_of(settings.database_url, settings.data_dir)
    except SettingsError as error:
        raise RecordError("\n".join(error.problems)) from None
    except DatabaseError as error:
        raise RecordError(str(error)) from None
    if url.get_backend_name() == "sqlite" and not _is_file(url.database or ""):
        raise RecordError(f"There is no record in {url.database}. {_NEXT}")
    database = Database(url, read_only=True)
    try:
        yield Store(database, country=country(settings))
    except (SQLAlchemyError, OSError) as error:
        reason = database.trouble(error)
        raise RecordError(f"The record in {database.name} cannot be read: {reason}. {_NEXT}") from None
    finally:
        await database.close()


async def _name(store: Store, beginning: str) -> str:
    found = await store.calls_like(beginning)
    if len(found) == 1:
        return found[0]
    if not found:
        raise RecordError(f"No call on record begins with {beginning!r}. `python server.py calls` lists them.")
    raise RecordError(f"{len(found)} calls begin with {beginning!r}: {', '.join(found)}. Say more of it.")


async def _show(store: Store, beginning: str, save: str | None) -> int:
    name = await _name(store, beginning)
    row, records = await store.conversation(name), await store.journal(name)
    if save:
        write_history(Path(save), records)
        print(f"{len(records)} records of call {name} are in {save}")
        return 0
    assert row is not None
    print(f"call {name}, {row['carrier']}, from {row['caller_number'] or '–'} to {row['phone_number'] or '–'}")
    cost = _dollars(row["cost_usd"])
    print(f"began {_local(row['started_at'])}, {_length(row['duration_seconds'])} long, {cost} of the voice model")
    print(f"ended: {_ended(row)}" if row["ended_at"] else "it has not ended")
    print()
    began = records[0].at if records else 0.0
    for record in records:
        line = told(record)
        if line:
            print(f"{record.at - began:9.3f} s  {printable.line(line)}")
    return 0


def _ended(row: Any) -> str:
    return why(row["hangup_cause"], row["hangup_source"]) if row["ended_at"] else "it has not ended"


def _local(at: str) -> str:
    return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _length(seconds: int | None) -> str:
    return "–" if seconds is None else f"{seconds // 60}:{seconds % 60:02}"


def _dollars(usd: float | None) -> str:
    return "unknown" if usd is None else f"${usd:.4f}"


def _sorry(error: Exception) -> int:
    print(error, file=sys.stderr)
    return 2
