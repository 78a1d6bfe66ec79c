"""Reads the history: conversations and their items, the journal of a call, search, deletion.

Numbers are found however they are written (`+1 (415) 555-0100`); dates without a time mean the whole day, in UTC.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, ScalarSelect, Select, bindparam, delete, func, or_, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from callflow.contracts.errors import BadQuery
from callflow.history import spent_calls
from callflow.history.database import Database
from callflow.history.deleted_conversations import VISIBLE, deleted_calls
from callflow.history.older_schemas import fill_search
from callflow.history.prepared import Prepared
from callflow.history.query import TOO_MUCH, Query, can_be_stored, select_conversations, with_before
from callflow.history.tables import (
    MESSAGES,
    SEARCH,
    conversations,
    events_out,
    find_words,
    iso,
    items,
    recordings,
    steps,
    streams,
    transitions,
)
from callflow.journal.aliases import event_name, names_of
from callflow.journal.journal import JournalEntry
from callflow.media import waveform_peaks


log = logging.getLogger(__name__)

_MANY: Final = 200
"""Conversations that are deleted in one transaction, so that the journal never waits long for its turn."""
_MOST_ID: Final = 2**63 - 1
_ENDED: Final = Prepared(select(conversations.c.ended_at).where(conversations.c.call_id == bindparam("call")))
_SHOWN: Final = steps.c.call.not_in(deleted_calls())
"""Holds for steps of calls that nobody has deleted."""


class Store:
    """Reads conversations, items and journals from the database, and deletes them."""

    def __init__(self, database: Database, *, country: str = "US") -> None:
        """`country`: of numbers that are searched for without a country code."""
        self.database, self.country = database, country

    # Conversations

    async def find(self, query: Query) -> list[dict[str, Any]]:
        """Return the conversations that the query finds, each with every column of `tables.conversations`. Raises
        BadQuery."""
        # It may load large tables of numbers.
        chosen = await asyncio.to_thread(select_conversations, query, self.database.is_sqlite, self.country)
        gathers = bool(query.words.strip()) and self.database.is_sqlite and self.database.read_only

        def work(connection: Connection) -> list[dict[str, Any]]:
            if gathers:
                fill_search(connection)
            return [dict(row._mapping) for row in connection.execute(chosen)]

        return await self.database.read(work)

    def assumed(self, query: Query) -> str:
        """Return what to say where nothing is found: that a number was taken for one of this country. "": none was."""
        from callflow.config.phone_numbers import Numbers  # large tables: for those who search

        asked = (query.number, query.caller, query.called)
        given = next((each for each in asked if Numbers(self.country).assumes_country(each)), "")
        if not given:
            return ""
        return (
            f"{given} has no country code, and was looked for as a number of {self.country} (default_country): "
            "with + and the country code before it, that of another country is found."
        )

    async def conversation(self, name: str, *, hidden: bool = False) -> dict[str, Any] | None:
        """Return the row of `tables.conversations` that has this id: of any of its streams, or of its call. `hidden`:
        also one that was deleted a moment ago."""
        if not can_be_stored(name):
            return None
        of_stream = select(streams.c.conversation_id).where(streams.c.stream_sid == name)
        wanted = select(conversations).where(
            or_(conversations.c.stream_sid == name, conversations.c.call_id == name, conversations.c.id.in_(of_stream))
        )
        wanted = wanted if hidden else wanted.where(VISIBLE)
        rows = await self._rows(wanted.order_by(conversations.c.id).limit(1))
        return dict(rows[0]._mapping) if rows else None

    async def is_over(self, call: str) -> bool:
        """Return whether this call has ended, also one that was deleted a moment ago. False: or nothing is known of
        it."""

        def work(connection: Connection) -> bool:
            return any(ended is not None for (ended,) in _ENDED.all(connection, {"call": call}))

        return await self.database.read(work)

    async def of_carrier(self, carrier: str, name: str) -> dict[str, Any] | None:
        """Return the row of `tables.conversations` by the carrier's id of the call, also one that was deleted a moment
        ago."""
        if not name or not can_be_stored(name):
            return None
        wanted = select(conversations).where(
            conversations.c.carrier == carrier, conversations.c.carrier_call_id == name
        )
        rows = await self._rows(wanted.order_by(conversations.c.id.desc()).limit(1))
        return dict(rows[0]._mapping) if rows else None

    async def newest_calls(self, most: int, business: str = "") -> list[dict[str, Any]]:
        """Return the newest conversations, as `_LISTED` has them. `business`: whose; "": of all."""
        order = (conversations.c.started_at.desc(), conversations.c.id.desc())
        wanted = select(*_LISTED).where(VISIBLE).order_by(*order).limit(most)
        return await self.database.rows(wanted.where(conversations.c.business == business) if business else wanted)

    async def listed_call(self, name: str) -> dict[str, Any] | None:
        """Return the conversation of this call, by our id of it, by the carrier's, or by that of a stream, as `_LISTED`
        has it."""
        row = await self.conversation(name)
        if row is None and not can_be_stored(name):
            return None
        table = conversations.c
        chosen = table.id == row["id"] if row is not None else table.carrier_call_id == name
        found = await self.database.rows(select(*_LISTED).where(chosen, VISIBLE).order_by(table.id.desc()).limit(1))
        return found[0] if found else None

    async def listed_calls(self, calls: Sequence[str]) -> list[dict[str, Any]]:
        """Return the conversations of these calls, by our ids of them, as `_LISTED` has them; also those that were
        deleted a moment ago, because they were made."""
        return await self.database.rows(select(*_LISTED).where(conversations.c.call_id.in_(calls))) if calls else []

    async def items(self, conversation: int) -> list[dict[str, Any]]:
        """Return what was said in a conversation, in order: rows of `tables.items`."""
        wanted = select(items).where(items.c.conversation_id == conversation)
        order = (items.c.timestamp, items.c.created_at, items.c.id)
        return await self.database.rows(wanted.order_by(*order))

    async def details(self, conversation: int) -> dict[str, Any]:
        """Return `{"streams": […], "transitions": […], "recordings": […]}` of a conversation: rows of these tables
        without `id` and `conversation_id`. The recordings are the carrier's."""
        found: dict[str, Any] = {}
        for table in (streams, transitions, recordings):
            shown = [column for column in table.c if column.name not in ("id", "conversation_id")]
            wanted = select(*shown).where(table.c.conversation_id == conversation).order_by(table.c.id)
            found[table.name] = await self.database.rows(wanted)

        def rename() -> None:
            for moved in found["transitions"]:
                moved["event"] = event_name(moved["event"])

        await asyncio.to_thread(rename)
        return found

    async def add_items(self, conversation: int, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Add items that somebody else kept, as `posted_items.rows` makes them; those that we have stay.

        False: there is no such conversation any more. Raises BadQuery for what this database cannot hold."""
        try:
            await self.database.write(lambda connection: self._add(connection, conversation, rows))
        except IntegrityError:
            return False
        except DBAPIError as error:
            if str(getattr(error.orig, "sqlstate", "") or "")[:2] in TOO_MUCH:
                raise BadQuery("the conversation would be larger than this database can hold or search") from None
            raise
        return True

    def _add(self, connection: Connection, conversation: int, rows: Sequence[Mapping[str, Any]]) -> None:
        dialect = "sqlite" if self.database.is_sqlite else "postgresql"
        insert: Any = importlib.import_module(f"sqlalchemy.dialects.{dialect}").insert
        if rows:
            each = [{"conversation_id": conversation, **row} for row in rows]
            connection.execute(insert(items).on_conflict_do_nothing(), each)
        ours = conversations.c.id == conversation
        connection.execute(conversations.update().where(ours).values(message_count=MESSAGES))
        for statement in find_words(self.database.is_sqlite, "id = :id"):
            connection.execute(statement, {"id": conversation})
        # Of a call that is not ours nobody else will say that it is over.
        over = ours & conversations.c.ended_at.is_(None) & conversations.c.call_id.is_(None)
        ended = iso(datetime.now(UTC).timestamp())
        connection.execute(conversations.update().where(over).values(ended_at=ended))

    # The journal

    async def journal(self, call: str, *, hidden: bool = False) -> list[JournalEntry]:
        """Return every entry of one call, in order. `hidden`: also of one that was deleted a moment ago."""
        if not can_be_stored(call):
            return []
        wanted = select(steps).where(steps.c.call == call).order_by(steps.c.id)
        rows = await self._rows(wanted if hidden else wanted.where(_SHOWN))
        return await asyncio.to_thread(lambda: [entry_of(row) for row in rows])

    async def keyed_journal(self, call: str) -> list[tuple[int, JournalEntry]]:
        """Return every entry of one call, in order, each with the id of its row."""
        if not can_be_stored(call):
            return []
        rows = await self._rows(select(steps).where(steps.c.call == call, _SHOWN).order_by(steps.c.id))
        return await asyncio.to_thread(lambda: [(row.id, entry_of(row)) for row in rows])

    async def like(self, beginning: str, *, most: int = 10) -> list[dict[str, Any]]:
        """Return the conversation that has this id, or else those for which the id of the call or of a stream begins
        like that, newest first: rows of `tables.conversations`."""
        found = await self.conversation(beginning)
        if found is not None or not beginning or not can_be_stored(beginning):
            return [] if found is None else [found]
        alike = (
            conversations.c.call_id.istartswith(beginning, autoescape=True),
            conversations.c.stream_sid.istartswith(beginning, autoescape=True),
            conversations.c.id.in_(
                select(streams.c.conversation_id).where(streams.c.stream_sid.istartswith(beginning, autoescape=True))
            ),
        )
        wanted = select(conversations).where(or_(*alike), VISIBLE).order_by(conversations.c.id.desc())
        return [dict(row._mapping) for row in await self._rows(wanted.limit(most))]

    async def lately(self, kinds: Sequence[str], *, calls: int = 20) -> list[JournalEntry]:
        """Return the events and notes of these names in the newest calls: what went wrong in them, say."""
        newest = select(conversations.c.call_id).where(conversations.c.call_id.is_not(None), VISIBLE)
        newest = newest.order_by(conversations.c.id.desc()).limit(calls)
        names = [name for kind in kinds for name in names_of(kind)]
        alike = or_(*(steps.c.event.startswith(f'{{"event":"{name}"', autoescape=True) for name in names))
        rows = await self._rows(select(steps).where(steps.c.call.in_(newest), alike).order_by(steps.c.id))
        return await asyncio.to_thread(lambda: list(map(entry_of, rows)))

    async def unfinished(self, before: float | None = None) -> list[str]:
        """Return the calls that no process has let go of, oldest first. `before`: those that began before that (Unix
        time, in seconds)."""
        wanted = select(conversations.c.call_id).where(
            conversations.c.ended_at.is_(None), conversations.c.call_id.is_not(None)
        )
        if before is not None:
            wanted = wanted.where(conversations.c.started_at < iso(before))
        return [row.call_id for row in await self._rows(wanted.order_by(conversations.c.id))]

    # The end of things

    async def recordings_of(self, ids: Sequence[int]) -> list[str]:
        """Return what names the files of our own recordings of these conversations, for `remove_files`."""
        wanted = select(conversations.c.recording).where(conversations.c.id.in_(ids))
        return [row.recording for row in await self._rows(wanted) if row.recording]

    async def delete(self, ids: Sequence[int], now: float) -> tuple[list[str], list[str]]:
        """Delete conversations with all that belongs to them, and their journals; what they took of a day's budget
        stays.

        `now`: Unix time, in seconds. Returns their calls, and what names the files of their recordings: these are for
        the caller of this to delete.
        """
        wanted = select(conversations.c.call_id, conversations.c.recording).where(conversations.c.id.in_(ids))

        def work(connection: Connection) -> tuple[list[str], list[str]]:
            rows = connection.execute(wanted).all()
            spent_calls.keep(connection, ids, now)
            calls = [row.call_id for row in rows if row.call_id]
            if calls:
                connection.execute(delete(steps).where(steps.c.call.in_(calls)))
                connection.execute(delete(events_out).where(events_out.c.call.in_(calls)))
            if self.database.is_sqlite:
                for each in ids:
                    connection.execute(text(f"DELETE FROM {SEARCH} WHERE rowid = :id"), {"id": each})
            connection.execute(delete(conversations).where(conversations.c.id.in_(ids)))
            return calls, [row.recording for row in rows if row.recording]

        return await self.database.write(work)

    async def delete_strays(self, before: float, *, most: int = _MANY) -> int:
        """Delete journal entries from before that time (Unix time, seconds) of calls that have no conversation: their
        first entry was lost, or they were deleted while another process wrote. Returns of how many calls; at most
        `most` at a time."""
        known = select(conversations.c.id).where(conversations.c.call_id == steps.c.call).exists()
        end = min(max(round(before * 1_000_000) * 1000, 0), _MOST_ID)  # dates go further than the ids of rows
        strays = select(steps.c.call).where(steps.c.id < end, ~known).distinct()

        def work(connection: Connection) -> int:
            calls = list(connection.execute(strays.limit(most)).scalars())
            if calls:
                connection.execute(delete(steps).where(steps.c.call.in_(calls)))
            return len(calls)

        return await self.database.write(work)

    async def older_than(self, at: float, *, most: int = _MANY) -> list[int]:
        """Return the ids of conversations that began before that (Unix time, in seconds) and are over."""
        wanted = (
            select(conversations.c.id)
            .where(
                conversations.c.started_at < iso(at),
                or_(conversations.c.ended_at.is_not(None), conversations.c.call_id.is_(None)),
            )
            .order_by(conversations.c.id)
        )
        return [row.id for row in await self._rows(wanted.limit(most))]

    async def pages(self, query: Query) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield all that the query finds, a page at a time, as `find` returns it. Raises BadQuery."""
        before = query.before
        while page := await self.find(with_before(query, before)):
            yield page
            before = page[-1]["id"]

    async def _rows(self, wanted: Select[Any]) -> Sequence[Row[Any]]:
        return await self.database.read(lambda connection: connection.execute(wanted).all())


def _moment_of(*conditions: ColumnElement[bool]) -> ScalarSelect[Any]:
    """The moment of a conversation's first such transition."""
    of_it = transitions.c.conversation_id == conversations.c.id
    return select(func.min(transitions.c.at)).where(of_it, *conditions).scalar_subquery()


_LISTED: Final = (
    *(
        conversations.c[name]
        for name in (
            "stream_sid", "phone_number", "caller_number", "started_at", "ended_at", "duration_seconds", "call_id",
            "carrier", "carrier_call_id", "direction", "state", "hangup_cause", "hangup_source",
            "business", "answered_at",
        )
    ),
    _moment_of(transitions.c.after == "hangup").label("hung_up_at"),
)  # fmt: skip
"""What a list of calls tells of a conversation: columns, when it was answered, and when it was hung up (ISO 8601)."""


def entry_of(row: Row[Any]) -> JournalEntry:
    """Read the row of a journal entry. One that cannot be read any more takes its place all the same: the others of its
    call are worth having."""
    try:
        event, wanted = msgspec.json.decode(row.event), msgspec.json.decode(row.commands)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        event, wanted = {}, []
    if not isinstance(event, dict) or not isinstance(wanted, list):
        event, wanted = {}, []
    event.setdefault("event", "unreadable")
    return JournalEntry(row.call, row.step, row.at, event, row.before, row.after, bool(row.taken), wanted).renewed()


def remove_files(names: Sequence[str], folder: Path) -> None:
    """Delete recordings, which lie in that folder and nowhere else, and what is kept of each beside it."""
    for name in names:
        for part in name.split(","):
            path = (folder / part).resolve()
            if path.parent == folder.resolve():
                try:
                    path.unlink(missing_ok=True)
                    waveform_peaks.remove(path)
                except OSError as error:  # the others are to go, and so is the row
                    log.error("THE RECORDING %s OF A DELETED CALL CANNOT BE DELETED (%s)", part, type(error).__name__)
