"""Reads and changes the events that wait for their delivery, those that were delivered, and the dead letters.

Every method raises what the driver raises.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, exists, func, select, update

from callflow.history.database import Database
from callflow.history.deleted_conversations import deleted_calls
from callflow.history.events_out import DEAD, DELIVERED, WAITING
from callflow.history.tables import events_out, iso


_table = events_out.c
_MOST_ERROR: Final = 300
_MANY: Final = 1000
"""Rows that are deleted in one transaction, so that the journal never waits long for its turn."""


@dataclass(frozen=True, slots=True)
class DueEvent:
    """An event that is to be sent now. `tries`: how many there were already. `since`: see the table."""

    id: str
    call: str
    type: str
    body: str
    tries: int
    since: float


class EventStore:
    """The table of events for EVENTS_URL. All times are Unix time, in seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # For the sender

    async def due(self, now: float, most: int) -> tuple[list[DueEvent], float | None]:
        """Return the events that may be sent now, those that wait longest first, and when the next one will be due
        (None: no other waits). Of each call it is the first that waits, so that its events arrive in order."""
        earlier = events_out.alias()
        first = ~exists().where(earlier.c.call == _table.call, earlier.c.state == WAITING, earlier.c.seq < _table.seq)
        fields = (_table.id, _table.call, _table.type, _table.body, _table.tries, _table.since)
        ready = select(*fields).where(_table.state == WAITING, _table.next_at <= now, first)
        ready = ready.order_by(_table.next_at, _table.seq).limit(most)
        later = select(func.min(_table.next_at)).where(_table.state == WAITING, _table.next_at > now)

        def work(connection: Connection) -> tuple[list[DueEvent], float | None]:
            found = [DueEvent(*row) for row in connection.execute(ready)]
            return found, connection.execute(later).scalar()

        return await self._database.read(work)

    async def delivered(self, name: str, now: float) -> None:
        """Note that the receiver has an event. Its body is not needed any more, and may hold numbers and words."""
        await self._settle(name, state=DELIVERED, body="", settled_at=now, error=None)

    async def dead(self, name: str, now: float, error: str) -> None:
        """Make an event a dead letter. The next event of its call may be sent then."""
        await self._settle(name, state=DEAD, settled_at=now, error=error[:_MOST_ERROR])

    async def failed(self, event: DueEvent, next_at: float, error: str) -> None:
        """Note a try that failed; the next one is made at `next_at`. The other events of its call wait for it."""
        ours = update(events_out).where(_table.id == event.id, _table.state == WAITING)
        others = update(events_out).where(_table.call == event.call, _table.state == WAITING)

        def work(connection: Connection) -> None:
            connection.execute(ours.values(tries=event.tries + 1, error=error[:_MOST_ERROR]))
            connection.execute(others.values(next_at=next_at))

        await self._database.write(work)

    async def _settle(self, name: str, **values: Any) -> None:
        change = update(events_out).where(_table.id == name, _table.state == WAITING)
        await self._database.write(
            lambda connection: connection.execute(change.values(tries=_table.tries + 1, **values))
        )

    async def counts(self) -> tuple[int, int]:
        """Return how many wait, and how many are dead letters."""
        wanted = select(_table.state, func.count()).where(_table.state.in_((WAITING, DEAD))).group_by(_table.state)
        rows = await self._database.read(lambda connection: [tuple(row) for row in connection.execute(wanted)])
        found: dict[str, int] = dict(rows)
        return found.get(WAITING, 0), found.get(DEAD, 0)

    async def expire(self, state: str, before: float) -> int:
        """Delete the events of this state that were settled before that (Unix time, seconds), a part at a time. Returns
        how many it were; 0: there are no more."""
        old = select(_table.seq).where(_table.state == state, _table.settled_at < before).limit(_MANY)
        gone = delete(events_out).where(_table.seq.in_(old))
        return await self._database.write(lambda connection: connection.execute(gone).rowcount)

    # For operators

    async def dead_letters(self, limit: int, before: int) -> list[dict[str, Any]]:
        """Return dead letters, the newest first. `before`: only those with a smaller `seq`; 0: all."""
        wanted = select(events_out).where(_table.state == DEAD, _table.call.not_in(deleted_calls()))
        wanted = wanted.order_by(_table.seq.desc()).limit(limit)
        if before:
            wanted = wanted.where(_table.seq < before)

        def work(connection: Connection) -> list[dict[str, Any]]:
            return [_shown(row) for row in connection.execute(wanted).mappings()]

        return await self._database.read(work)

    async def state(self, name: str) -> str:
        """Return the state of an event; "": there is no such event."""
        wanted = select(_table.state).where(_table.id == name)
        return str(await self._database.read(lambda connection: connection.execute(wanted).scalar()) or "")

    async def again(self, name: str, now: float) -> bool:
        """Let a dead letter be sent again, as if it were new. False: there is no such dead letter."""
        change = update(events_out).where(_table.id == name, _table.state == DEAD)
        change = change.values(state=WAITING, tries=0, since=now, next_at=now, settled_at=None)
        return await self._database.write(lambda connection: connection.execute(change).rowcount) > 0


def _shown(row: Any) -> dict[str, Any]:
    return {
        "seq": row["seq"],
        "id": row["id"],
        "type": row["type"],
        "call": row["call"],
        "created_at": iso(row["at"]),
        "dead_since": iso(row["settled_at"]),
        "tries": row["tries"],
        "error": row["error"] or "",
        "payload": json.loads(row["body"]),
    }
