"""The tools that operators have defined on the page, as the database keeps them, and every version of each.

A change is one transaction, and is made only if nothing has changed since the tools were read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, text

from callflow.history.database import Database
from callflow.history.prepared import Prepared
from callflow.history.tables import iso, own_tools


MOST_VERSIONS: Final = 50
"""Of one tool; the oldest go."""
_MOST_GONE: Final = 1000
"""Changes after which nothing is kept any more of a tool that was deleted."""
_LOCK: Final = 0x63616C6C746F6F6C
"""Of the advisory lock that a change holds in PostgreSQL."""
_row = own_tools.c
_NEWEST: Final = select(func.coalesce(func.max(_row.seq), 0))
_LOOK: Final = Prepared(_NEWEST)
_NEWEST_OF_EACH: Final = select(func.max(_row.seq)).group_by(_row.name)


@dataclass(frozen=True)
class StoredTools:
    """All that was there at one moment."""

    seq: int = 0
    """Of the newest change; 0: there was none."""
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The newest version of each tool by its name, also of those that were deleted: `version`, `changed`, `by`,
    `definition` (None: deleted)."""


class OwnToolStore:
    """The tools in one database. Every method raises what the driver raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self) -> int:
        """Return the number of the newest change; 0: there was none."""
        (newest,) = await self._database.read(lambda connection: _LOOK.first(connection, {})) or (0,)
        return int(newest)

    async def read(self) -> StoredTools:
        """Return the newest version of each tool, and the number of the newest change."""
        wanted = select(own_tools).where(_row.seq.in_(_NEWEST_OF_EACH)).order_by(_row.name)

        def work(connection: Connection) -> StoredTools:
            rows = [dict(row._mapping) for row in connection.execute(wanted)]
            return StoredTools(max((row["seq"] for row in rows), default=0), {row["name"]: _entry(row) for row in rows})

        return await self._database.read(work)

    async def versions(self, name: str) -> list[dict[str, Any]]:
        """Return the versions of a tool, the newest first, as `StoredTools.rows` has them."""
        wanted = select(own_tools).where(_row.name == name).order_by(_row.version.desc())
        return await self._database.read(
            lambda connection: [_entry(dict(row._mapping)) for row in connection.execute(wanted)]
        )

    async def put(self, name: str, definition: Mapping[str, Any] | None, *, by: str, seen: int) -> int | None:
        """Keep a tool; None: keep it no more. `seen`: `StoredTools.seq` of what the change was checked against.

        Returns the tool's new version; None: there was another change meanwhile, and nothing is done.
        """
        written = json.dumps(definition, ensure_ascii=False) if definition is not None else None

        def work(connection: Connection) -> int | None:
            if self._database.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            if connection.execute(_NEWEST).scalar_one() != seen:
                return None
            return _put(connection, name, written, by, seen + 1)

        return await self._database.write(work)


def _put(connection: Connection, name: str, written: str | None, by: str, seq: int) -> int:
    last = select(func.coalesce(func.max(_row.version), 0)).where(_row.name == name)
    version = int(connection.execute(last).scalar_one()) + 1
    now = iso(datetime.now(UTC).timestamp())
    entry = {
        "seq": seq, "name": name, "version": version, "changed_at": now, "changed_by": by, "definition": written,
    }  # fmt: skip
    connection.execute(insert(own_tools), entry)
    there = select(_row.name).where(_row.seq.in_(_NEWEST_OF_EACH), _row.definition.is_not(None)).scalar_subquery()
    is_old = (_row.name == name) & (_row.version <= version - MOST_VERSIONS)
    is_gone = (_row.seq <= seq - _MOST_GONE) & _row.name.not_in(there)
    connection.execute(delete(own_tools).where(is_old | is_gone))
    return version


def _entry(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": row["version"],
        "changed": row["changed_at"],
        "by": row["changed_by"],
        "definition": json.loads(row["definition"]) if row["definition"] is not None else None,
    }
