"""Campaigns and their rows in the database. Every method raises what the driver raises.

Where events are sent, the one that tells the end of a row is written in the transaction that ends it.

A row is taken by one statement, which no other process can take it by: PostgreSQL skips rows that are locked, SQLite
lets one writer in at a time. Nothing here waits long, because the journal writes to the same database.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Update, delete, func, insert, select, update

from callflow.history.database import Database
from callflow.history.events_out import EventMaker
from callflow.history.tables import campaign_rows, campaigns, iso


LOADING: Final = "loading"
RUNNING: Final = "running"
PAUSED: Final = "paused"
CANCELLED: Final = "cancelled"
FINISHED: Final = "finished"
OVER: Final = (CANCELLED, FINISHED)

WAITING: Final = "waiting"
DIALLING: Final = "dialling"
DONE: Final = "done"
GIVEN_UP: Final = "given_up"
SKIPPED: Final = "skipped"
_ENDS: Final = (DONE, GIVEN_UP, SKIPPED, CANCELLED)
"""States of a row that it does not leave any more."""
ROW_STATES: Final = (WAITING, DIALLING, *_ENDS)

_NOT_WRITTEN: Final = "the rows could not be written: send the list again, with a new key"
_MANY: Final = 200
"""Rows that are written in one transaction, so that the journal never waits long for its turn."""
_MANY_CHANGES: Final = 1000
"""The same of rows that are changed alike, or deleted."""
_MOST_CHANGES: Final = 10_000
_PAUSE: Final = 0.002
"""Seconds between two such transactions: the journal's turn."""
_MOST_REASONS: Final = 20
_MOST_REASON: Final = 300
_table, _row = campaigns.c, campaign_rows.c
_waits: Final = select(_row.row).where(_row.campaign == _table.id, _row.state == WAITING).exists()
"""A campaign has rows that wait."""
_Found = TypeVar("_Found")


class CampaignStore:
    """Campaigns are dicts of the columns of their table, and so are rows. All times are Unix time, in seconds."""

    def __init__(self, database: Database, *, make_events: Callable[[str], EventMaker] | None = None) -> None:
        """`make_events`: makes what writes the events, given the kind of database; None: there are none."""
        self._database = database
        kind = "sqlite" if database.is_sqlite else "postgresql"
        self._new: Any = importlib.import_module(f"sqlalchemy.dialects.{kind}").insert
        self._events = make_events(kind) if make_events is not None else None
        self.on_events: Callable[[], None] = lambda: None
        """Told when events were written."""

    # Campaigns

    async def add(self, campaign: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> bool:
        """Write a campaign as `loading`, and its rows. It does not run before `set_state` lets it. Returns False, and
        writes nothing, if there is one with its id: another process may make it at this moment. If not all rows can be
        written, it is cancelled."""
        now = datetime.now(UTC).timestamp()
        entry = {
            "seq": int(now * 1_000_000), "created_at": iso(now), "state": LOADING, "error": "", "finished_at": None,
            **campaign,
        }  # fmt: skip
        if not await self._change(self._new(campaigns).values(entry).on_conflict_do_nothing(index_elements=["id"])):
            return False
        try:
            for begin in range(0, len(rows), _MANY):
                some = [{"campaign": campaign["id"], **row} for row in rows[begin : begin + _MANY]]
                await self._add_rows(some, now)
                await asyncio.sleep(_PAUSE)
        except Exception:
            with contextlib.suppress(Exception):  # else it stands still, and is broken off for that
                await self.set_state(campaign["id"], CANCELLED, of=[LOADING], now=now, error=_NOT_WRITTEN)
            raise
        return True

    async def _add_rows(self, rows: Sequence[Mapping[str, Any]], now: float) -> None:
        def work(connection: Connection) -> None:
            connection.execute(insert(campaign_rows), rows)
            self._tell_ends(connection, rows, now)

        await self._write(work)

    async def find(self, campaign: str) -> dict[str, Any] | None:
        """Return a campaign."""
        found = await self._database.rows(select(campaigns).where(_table.id == campaign))
        return found[0] if found else None

    async def page(self, *, limit: int, before: int = 0, business: str = "") -> list[dict[str, Any]]:
        """Return so many campaigns, the newest first. `before`: the `seq` of the last one of the page before.
        `business`: of this one only; "": of all."""
        wanted = select(campaigns).order_by(_table.seq.desc()).limit(limit)
        wanted = wanted.where(_table.business == business) if business else wanted
        return await self._database.rows(wanted.where(_table.seq < before) if before else wanted)

    async def running(self, now: float) -> list[dict[str, Any]]:
        """Return the campaigns that dial now."""
        wanted = select(campaigns).where(_table.state == RUNNING, _table.start_at <= now)
        return await self._database.rows(wanted.order_by(_table.seq))

    async def set_state(
        self, campaign: str, state: str, *, of: Sequence[str], now: float = 0.0, error: str = ""
    ) -> bool:
        """Change the state of a campaign that is in one of the states `of`. Returns whether it was."""
        values: dict[str, Any] = {"state": state, "error": error}
        if state in OVER:
            values["finished_at"] = now
        change = update(campaigns).where(_table.id == campaign, _table.state.in_(of)).values(**values)
        return await self._change(change) > 0

    async def cancel_rows(self, campaign: str, now: float) -> None:
        """Take all rows that wait out of a campaign."""
        some = select(_row.row).where(_row.campaign == campaign, _row.state == WAITING).limit(_MANY_CHANGES)
        change = update(campaign_rows).where(_row.campaign == campaign, _row.row.in_(some), _row.state == WAITING)
        change = change.values(state=CANCELLED, changed_at=now)
        await self._repeat(lambda connection: self._end_rows(connection, change, now))

    async def finish_cancelling(self, now: float) -> None:
        """Take the rows that still wait out of the campaigns that are cancelled: whoever cancelled one was stopped."""
        over = select(_table.id).where(_table.state == CANCELLED)
        for row in await self._database.rows(over.where(_waits)):
            await self.cancel_rows(row["id"], now)

    async def loading(self) -> list[dict[str, Any]]:
        """Return the campaigns whose rows are being written: `id`, `seq`, and `rows`, how many there are so far."""
        rows = select(func.coalesce(func.max(_row.row), 0)).where(_row.campaign == _table.id).scalar_subquery()
        wanted = select(_table.id, _table.seq, rows.label("rows")).where(_table.state == LOADING)
        return await self._database.rows(wanted.order_by(_table.seq))

    async def break_off(self, names: Sequence[str], now: float) -> int:
        """Cancel those of these campaigns whose rows are not all written: whoever wrote them is gone. Returns how
        many."""
        why = "the server was stopped while the rows were being written: send the list again"
        change = update(campaigns).where(_table.id.in_(names), _table.state == LOADING)
        broken = await self._change(change.values(state=CANCELLED, finished_at=now, error=why))
        await self.finish_cancelling(now)
        return broken

    async def expire(self, before: float) -> int:
        """Delete campaigns that were over before that (Unix time, seconds), with their rows. Returns how many."""
        old = select(_table.id).where(_table.state.in_(OVER), _table.finished_at < before)
        ids = [row["id"] for row in await self._database.rows(old)]
        for campaign in ids:
            some = select(_row.row).where(_row.campaign == campaign).limit(_MANY_CHANGES)
            gone = delete(campaign_rows).where(_row.campaign == campaign, _row.row.in_(some))
            await self._repeat(partial(_changed, change=gone))
            await self._change(delete(campaigns).where(_table.id == campaign))
        return len(ids)

    # What is told of a campaign

    async def counts(self, campaign: str) -> dict[str, dict[str, int]]:
        """Return how many rows there are by `state` and by `outcome`, and by `reason` of the skipped ones."""
        of = _row.campaign == campaign
        skipped = select(_row.reason, func.count()).where(of, _row.state == SKIPPED).group_by(_row.reason)
        statements = {
            "state": select(_row.state, func.count()).where(of).group_by(_row.state),
            "outcome": select(_row.outcome, func.count()).where(of, _row.outcome != "").group_by(_row.outcome),
            "reason": skipped.order_by(func.count().desc()).limit(_MOST_REASONS),
        }

        def work(connection: Connection) -> dict[str, dict[str, int]]:
            return {
                name: {str(key): int(count) for key, count in connection.execute(statement)}
                for name, statement in statements.items()
            }

        return await self._database.read(work)

    async def waiting(self, campaign: str) -> list[tuple[str, float]]:
        """Return for each text of zones from when on its first row waits, in Unix time (seconds)."""
        of = (_row.campaign == campaign, _row.state == WAITING)
        wanted = select(_row.zones, func.min(_row.next_at).label("at")).where(*of).group_by(_row.zones)
        return [(row["zones"], row["at"]) for row in await self._database.rows(wanted)]

    async def zones(self, campaign: str) -> list[str]:
        """Return the different texts of zones of all rows that may be called."""
        wanted = select(_row.zones).where(_row.campaign == campaign, _row.zones != "").distinct()
        return [row["zones"] for row in await self._database.rows(wanted)]

    async def rows(self, campaign: str, *, limit: int, after: int = 0, state: str = "") -> list[dict[str, Any]]:
        """Return so many rows, from the one after `after` on."""
        wanted = select(campaign_rows).where(_row.campaign == campaign, _row.row > after)
        wanted = wanted.where(_row.state == state) if state else wanted
        return await self._database.rows(wanted.order_by(_row.row).limit(limit))

    # Rows at work

    async def take(self, campaign: str, now: float, zones: Sequence[str], most: int) -> list[dict[str, Any]]:
        """Take rows that wait, of these texts of zones, to dial them: nobody else gets them. None of a campaign that
        does not run."""
        runs = select(_table.id).where(_table.id == campaign, _table.state == RUNNING).exists()
        due = select(_row.row).where(
            _row.campaign == campaign, _row.state == WAITING, _row.next_at <= now, _row.zones.in_(zones), runs
        )
        first = due.order_by(_row.next_at, _row.row).limit(most).with_for_update(skip_locked=True, of=campaign_rows)
        taken = first.cte("taken")
        change = (
            update(campaign_rows)
            .where(_row.campaign == campaign, _row.state == WAITING, _row.row.in_(select(taken.c.row)))
            .values(state=DIALLING, changed_at=now)
            .returning(campaign_rows)
        )
        return await self._database.write(lambda connection: [dict(row._mapping) for row in connection.execute(change)])

    async def dialling(self) -> list[dict[str, Any]]:
        """Return all rows that were taken and not settled."""
        return await self._database.rows(select(campaign_rows).where(_row.state == DIALLING))

    async def put_back(self, row: Mapping[str, Any], now: float, next_at: float, reason: str = "") -> None:
        """Let a row wait until `next_at`: it was taken and not dialled. The next attempt is the same one, with the same
        key."""
        await self._settle(row, state=WAITING, next_at=next_at, changed_at=now, reason=reason)

    async def skip(self, row: Mapping[str, Any], now: float, reason: str) -> None:
        """Note that a row may not be dialled."""
        await self._settle(row, state=SKIPPED, changed_at=now, reason=reason)

    async def settle(
        self, row: Mapping[str, Any], now: float, outcome: str, next_at: float | None, *, ok: bool, reason: str = ""
    ) -> str:
        """Note what became of the call of a row. `next_at`: when it is called again; None: not any more. `ok`: it was
        reached. `reason`: a sentence about the outcome. Returns the row's new state."""
        state = WAITING if next_at is not None else DONE if ok else GIVEN_UP
        await self._settle(
            row, state=state, tries=row["tries"] + 1, next_at=next_at or row["next_at"], changed_at=now,
            outcome=outcome, reason=reason,
        )  # fmt: skip
        return state

    async def _settle(self, row: Mapping[str, Any], **values: Any) -> None:
        if "reason" in values:
            values["reason"] = str(values["reason"])[:_MOST_REASON]
        ours = (_row.campaign == row["campaign"], _row.row == row["row"], _row.state == DIALLING)
        over = select(_table.id).where(_table.id == row["campaign"], _table.state == CANCELLED)

        def work(connection: Connection) -> None:
            if values["state"] == WAITING and connection.execute(over).first() is not None:
                values["state"] = CANCELLED
            self._end_rows(connection, update(campaign_rows).where(*ours).values(**values), values["changed_at"])

        await self._write(work)

    def _end_rows(self, connection: Connection, change: Update, now: float) -> int:
        """Change rows, and write the events of those that have come to their end. Returns how many were changed."""
        if self._events is None:
            return _changed(connection, change)
        rows = [dict(row._mapping) for row in connection.execute(change.returning(campaign_rows))]
        self._tell_ends(connection, rows, now)
        return len(rows)

    def _tell_ends(self, connection: Connection, rows: Sequence[Mapping[str, Any]], now: float) -> None:
        if self._events is not None:
            self._events.rows_done(connection, [row for row in rows if row["state"] in _ENDS], now)

    async def _write(self, work: Callable[[Connection], _Found]) -> _Found:
        found = await self._database.write(work)
        if self._events is not None and self._events.taken():
            self.on_events()
        return found

    async def _repeat(self, work: Callable[[Connection], int]) -> None:
        """Repeat a change of some rows, which returns how many it has changed, until none is left."""
        for _ in range(_MOST_CHANGES):
            if not await self._write(work):
                return
            await asyncio.sleep(_PAUSE)

    async def _change(self, change: Any, values: Sequence[Mapping[str, Any]] = ()) -> int:
        return await self._database.write(lambda connection: _changed(connection, change, values))


def _changed(connection: Connection, change: Any, values: Sequence[Mapping[str, Any]] = ()) -> int:
    """Return how many rows a change has changed."""
    return int(connection.execute(change, values or None).rowcount)
