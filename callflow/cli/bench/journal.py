"""The journal's part of `python server.py bench`: steps written, how long a step waits, search in many calls.

In this process and on a database in a temporary folder; made-up words in the frequencies of a language.
"""

from __future__ import annotations

import asyncio
import functools
import random
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, insert, text

from callflow.history.database import Database, url_of
from callflow.history.journal_writer import DurableJournal
from callflow.history.projection import words_of
from callflow.history.query import Query
from callflow.history.store import Store
from callflow.history.tables import SEARCH, conversations, iso, items
from callflow.journal import notes
from callflow.journal.journal import JournalEntry


_CALLS: Final = 100
_STEPS_A_SECOND: Final = 10
"""Steps of one call; a real call has fewer."""
_ITEMS: Final = 6
_CHUNK: Final = 5000
_VOCABULARY: Final = 20_000
_SEARCHES: Final = 200


async def measure(seconds: float, recorded: int) -> dict[str, Any]:
    """Measure for so many seconds, with `recorded` calls to search in. Returns figures by name, with their units."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(url_of(f"sqlite:///{folder}/bench.db", folder))
        await database.migrate()
        try:
            return {
                **await _journal(database, seconds),
                **(await _search(database, recorded) if recorded else {}),
                "database_mb": round((Path(folder) / "bench.db").stat().st_size / 1e6),
            }
        finally:
            await database.close()


async def _journal(database: Database, seconds: float) -> dict[str, Any]:
    journal = DurableJournal()
    journal.open(database)
    names = [str(uuid.uuid4()) for _ in range(_CALLS)]
    for name in names:
        note = notes.Began(carrier="telnyx", from_number="+15550100001", to_number="+15550100002")
        journal.note(JournalEntry.of(note, call=name, at=time.time()))
    await journal.flushed()
    waits: list[float] = []

    async def call(name: str, pause: float, until: float) -> int:
        step = 0
        await asyncio.sleep(random.random() * pause)
        while time.monotonic() < until:
            step += 1
            if step % 5 == 0:
                turn = notes.Turn(who="agent", item=f"item_{step}", text="So it is, as I said before.")
                journal.note(JournalEntry.of(turn, call=name, at=time.time(), step=step))
            began = time.monotonic()
            await journal.append(
                JournalEntry(
                    name, step, time.time(), {"event": "agent_heard", "leg": "caller"}, "streaming", "streaming", True
                )
            )
            if pause:
                waits.append(time.monotonic() - began)
                await asyncio.sleep(pause)
        return step

    pause = 1 / _STEPS_A_SECOND
    await asyncio.gather(*(call(name, pause, time.monotonic() + seconds) for name in names))
    began = time.monotonic()
    steps = sum(await asyncio.gather(*(call(name, 0.0, began + seconds) for name in names)))
    took = time.monotonic() - began
    await journal.close()
    waits.sort()
    return {
        "steps_per_second": round(steps / took),
        "step_wait_p50_ms": round(1000 * waits[len(waits) // 2], 1),
        "step_wait_p99_ms": round(1000 * waits[int(len(waits) * 0.99)], 1),
        "entries_lost": journal.counts["lost"],
    }


async def _search(database: Database, recorded: int) -> dict[str, Any]:
    dice = random.Random(1)
    words = [f"w{number:x}" for number in range(_VOCABULARY)]
    weights = [1 / (rank + 1) for rank in range(_VOCABULARY)]
    for first in range(1, recorded + 1, _CHUNK):
        said = dice.choices(words, weights, k=_CHUNK * _ITEMS * 8)
        ids = range(first, min(first + _CHUNK, recorded + 1))
        await database.write(functools.partial(_fill, ids=ids, said=said))
    store = Store(database)
    took: list[float] = []
    for number in range(_SEARCHES):
        wanted = " ".join(dice.choices(words, weights, k=1 + number % 3))
        since = "2026-02-01" if number % 4 == 0 else ""
        began = time.monotonic()
        await store.find(Query(words=wanted, since=since, limit=50))
        took.append(1000 * (time.monotonic() - began))
    took.sort()
    return {
        "recorded_calls": recorded,
        "search_p50_ms": round(took[len(took) // 2], 1),
        "search_p95_ms": round(took[int(len(took) * 0.95)], 1),
        "search_max_ms": round(took[-1], 1),
    }


def _fill(connection: Connection, ids: range, said: list[str]) -> None:
    """Insert made-up calls, with ids above those of the measured calls."""
    rows: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    searched: list[dict[str, Any]] = []
    place = 0
    for number in ids:
        key, at = 1_000_000 + number, iso(1_767_225_600 + number * 60)
        rows.append({
            "id": key, "stream_sid": f"MZ{number}", "phone_number": "+15550100002", "started_at": at, "ended_at": at,
            "caller_number": f"+1555{number:07}", "message_count": _ITEMS, "created_at": at,
        })  # fmt: skip
        for item in range(_ITEMS):
            line = " ".join(said[place : place + 8])
            place += 8
            lines.append({
                "conversation_id": key, "item_id": f"item_{item}", "item_type": "message", "role": "user",
                "content": words_of(line), "status": "completed", "timestamp": at, "created_at": at, "text": line,
            })  # fmt: skip
        searched.append({"id": key, "words": " ".join(each["text"] for each in lines[-_ITEMS:])})
    connection.execute(insert(conversations), rows)
    connection.execute(insert(items), lines)
    connection.execute(text(f"INSERT INTO {SEARCH} (rowid, words) VALUES (:id, :words)"), searched)
