"""Searches of the history that operators have saved under a name, for all of them, or all of one business."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update

from callflow.history.database import Database
from callflow.history.tables import iso, saved_views


MOST_VIEWS: Final = 200
"""Of one business, and of those who are bound to none."""
_row = saved_views.c


class SavedViews:
    """The views in one database. Every method raises what the driver raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def listed(self, business: str) -> list[dict[str, Any]]:
        """Return the views of a business ("": of those who are bound to none), by name: `name`, `filters`, `changed`,
        `by`."""
        wanted = select(saved_views).where(_row.business == business).order_by(_row.name)

        def work(connection: Connection) -> list[dict[str, Any]]:
            return [
                {
                    "name": row.name, "filters": json.loads(row.filters), "changed": row.changed_at,
                    "by": row.changed_by,
                }
                for row in connection.execute(wanted)
            ]  # fmt: skip

        return await self._database.read(work)

    async def put(self, name: str, filters: Mapping[str, str], *, business: str, by: str) -> bool | None:
        """Save a view, in the place of one of the same name. Returns whether it is new; None: there are too many."""
        values = {
            "filters": json.dumps(filters, ensure_ascii=False), "changed_by": by,
            "changed_at": iso(datetime.now(UTC).timestamp()),
        }  # fmt: skip
        this = (_row.name == name) & (_row.business == business)
        changing = update(saved_views).where(this).values(**values).execution_options(preserve_rowcount=True)
        count = select(func.count()).where(_row.business == business)

        def work(connection: Connection) -> bool | None:
            if connection.execute(changing).rowcount:
                return False
            if connection.execute(count).scalar_one() >= MOST_VIEWS:
                return None
            connection.execute(insert(saved_views).values(name=name, business=business, **values))
            return True

        return await self._database.write(work)

    async def delete(self, name: str, business: str) -> bool:
        """Delete a view. False: there is none of this name."""
        this = (_row.name == name) & (_row.business == business)
        wanted = delete(saved_views).where(this).execution_options(preserve_rowcount=True)
        return await self._database.write(lambda connection: connection.execute(wanted).rowcount) > 0
