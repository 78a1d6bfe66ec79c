"""Alerts in the database, and the events that tell of them. Every method raises what the driver raises."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from callflow.contracts.alert_states import CLOSED, OPEN, SEEN, STATES
from callflow.history.database import Database
from callflow.history.events_out import ALERT_CLOSED, ALERT_OPENED, EventMaker
from callflow.history.tables import alerts


_table = alerts.c
_STATES: Final[Mapping[str, ColumnElement[bool]]] = {
    OPEN: _table.closed_at.is_(None) & _table.seen_at.is_(None),
    SEEN: _table.closed_at.is_(None) & _table.seen_at.is_not(None),
    CLOSED: _table.closed_at.is_not(None),
}
_MOST_KEPT: Final = 1000
"""Alerts that are over."""
MOST_ONGOING: Final = 200
"""Of those that are not over, the oldest are read."""


class AlertStore:
    """Alerts are dicts of the columns of their table. All times are Unix time, in seconds."""

    def __init__(self, database: Database, *, make_events: Callable[[str], EventMaker] | None = None) -> None:
        """`make_events`: makes what writes the events, given the kind of database; None: there are none."""
        self._database = database
        kind = "sqlite" if database.is_sqlite else "postgresql"
        insert: Any = importlib.import_module(f"sqlalchemy.dialects.{kind}").insert
        new = insert(alerts)
        changed = {name: new.excluded[name] for name in ("severity", "what", "remedy", "over_at")}
        # What somebody has done by hand meanwhile stays.
        changed |= {name: func.coalesce(_table[name], new.excluded[name]) for name in ("seen_at", "closed_at")}
        self._put = new.on_conflict_do_update(index_elements=["id"], set_=changed)
        self._events = make_events(kind) if make_events is not None else None
        self.on_events: Callable[[], None] = lambda: None

    # For the process that finds them

    async def ongoing(self) -> list[dict[str, Any]]:
        """Return the alerts that are not over."""
        wanted = select(alerts).where(_table.over_at.is_(None)).order_by(_table.opened_at).limit(MOST_ONGOING)
        return await self._database.rows(wanted)

    async def save(self, rows: Sequence[Mapping[str, Any]], new: Sequence[str], now: float) -> None:
        """Write these alerts, as they are now. `new`: the ids of those that were never written; what is written twice
        makes one event."""

        def work(connection: Connection) -> None:
            for row in rows:
                before = connection.execute(select(_table.closed_at).where(_table.id == row["id"])).first()
                connection.execute(self._put, dict(row))
                if self._events is None:
                    continue
                if row["id"] in new:
                    self._events.alert(connection, ALERT_OPENED, {**row, "closed_at": None, "closed_by": ""}, now)
                if row["closed_at"] is not None and (before is None or before.closed_at is None):
                    self._events.alert(connection, ALERT_CLOSED, row, now)

        await self._database.write(work)
        self._tell()

    async def expire(self, before: float) -> None:
        """Delete those that were over before that (Unix time, seconds), and those over the bound, the oldest first."""
        is_over = _table.over_at.is_not(None)
        newest = select(_table.id).where(is_over).order_by(_table.opened_at.desc()).limit(_MOST_KEPT)
        gone = delete(alerts).where(is_over, (_table.over_at < before) | _table.id.not_in(newest))
        await self._database.write(lambda connection: connection.execute(gone))

    # For operators

    async def page(self, state: str, limit: int) -> list[dict[str, Any]]:
        """Return alerts of a state, or of all ("": the newest first)."""
        wanted = select(alerts).order_by(_table.opened_at.desc(), _table.id).limit(limit)
        return await self._database.rows(wanted.where(_STATES[state]) if state else wanted)

    async def counts(self) -> dict[str, int]:
        """Return how many there are in each state."""

        def work(connection: Connection) -> dict[str, int]:
            count = select(func.count()).select_from(alerts)
            return {name: connection.execute(count.where(_STATES[name])).scalar() or 0 for name in STATES}

        return await self._database.read(work)

    async def find(self, id_: str) -> dict[str, Any] | None:
        """Return an alert; None: there is none of this id."""
        found = await self._database.rows(select(alerts).where(_table.id == id_))
        return found[0] if found else None

    async def see(self, id_: str, by: str, now: float) -> bool:
        """Note that somebody has seen an alert. False: none of this id is open."""
        change = update(alerts).where(_table.id == id_, _STATES["open"]).values(seen_at=now, seen_by=by)
        return await self._database.write(lambda connection: connection.execute(change).rowcount) > 0

    async def close(self, id_: str, by: str, now: float) -> bool:
        """Close an alert by hand. False: none of this id is open or seen."""
        change = update(alerts).where(_table.id == id_, _table.closed_at.is_(None)).values(closed_at=now, closed_by=by)

        def work(connection: Connection) -> bool:
            if connection.execute(change).rowcount == 0:
                return False
            if self._events is not None:
                row = connection.execute(select(alerts).where(_table.id == id_)).mappings().one()
                self._events.alert(connection, ALERT_CLOSED, dict(row), now)
            return True

        closed = await self._database.write(work)
        self._tell()
        return closed

    def _tell(self) -> None:
        if self._events is not None and self._events.taken():
            self.on_events()
