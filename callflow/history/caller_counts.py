"""How many calls a caller has and has had at all nodes of a cluster: only the history knows."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, select

from callflow.contracts.hangup_causes import REFUSED_BY_US
from callflow.history.database import Database
from callflow.history.tables import conversations, iso


_MOST: Final = 1000
_OVER: Final = "hangup"
_c = conversations.c
_CALLS: Final = (
    select(_c.call_id, _c.started_at, _c.ended_at, _c.state, _c.hangup_cause)
    .where(
        _c.caller_number == bindparam("caller"),
        _c.direction == "inbound",
        _c.ended_at.is_(None) | (_c.started_at > bindparam("since")),
    )
    .limit(_MOST)
)


async def of_caller(database: Database, number: str, since: float) -> tuple[set[str], int]:
    """Return the ids of the caller's live calls, and how many calls were accepted since then (Unix time, seconds).
    `number`: as it is written down. Raises what the driver raises."""

    def work(connection: Connection) -> tuple[set[str], int]:
        begin = iso(since)
        found = connection.execute(_CALLS, {"caller": number, "since": begin}).all()
        # Whoever has hung up may ring again, although the last words of that call are still waited for.
        live = {str(row.call_id) for row in found if row.ended_at is None and row.state != _OVER}
        return live, sum(row.started_at > begin and row.hangup_cause not in REFUSED_BY_US for row in found)

    return await database.read(work)
