"""What carriers held before their failover was set from here, as the database keeps it for an undo. See
`pointed_numbers.py`."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import URL, Connection, select

from callflow.contracts.failover import Provision
from callflow.contracts.numbers import Part
from callflow.history.database import Database, DatabaseError, look_at
from callflow.history.tables import provisions


_table = provisions.c


def look(url: URL) -> list[Provision]:
    """Return all that are kept there, oldest first, for somebody beside the server: nothing is changed and nothing is
    made; no database is nothing kept. Raises DatabaseError."""
    return look_at(url, lambda database: Provisions(database).all(), [], earlier=True)


class Provisions:
    """Every method raises what the driver raises."""

    def __init__(self, database: Database | None) -> None:
        """None: there is no database yet, so nothing is kept, and nothing can be."""
        self._database = database

    async def all(self) -> list[Provision]:
        """Return all that are kept, oldest first."""
        return await self._database.read(_all) if self._database is not None else []

    async def keep(self, one: Provision) -> None:
        """Keep this one, in place of the one of the same resource. Raises DatabaseError where there is no database."""
        await self._replace(one, kept=True)

    async def forget(self, one: Provision) -> None:
        """Keep this one no more. Raises DatabaseError where there is no database."""
        await self._replace(one, kept=False)

    async def _replace(self, one: Provision, *, kept: bool) -> None:
        if self._database is None:
            raise DatabaseError("there is no history to keep it in")

        def work(connection: Connection) -> None:
            key = (_table.carrier == one.carrier, _table.resource == one.part.resource)
            connection.execute(provisions.delete().where(*key))
            if kept:
                connection.execute(provisions.insert().values(_row(one)))

        await self._database.write(work)


def _row(one: Provision) -> dict[str, Any]:
    before, after = (msgspec.json.encode(dict(each)).decode() for each in (one.part.before, one.part.after))
    return {
        "carrier": one.carrier, "resource": one.part.resource, "about": one.about, "before": before, "after": after,
        "at": one.at,
    }  # fmt: skip


def _all(connection: Connection) -> list[Provision]:
    rows = connection.execute(select(provisions).order_by(_table.at, _table.resource)).mappings()
    return [
        Provision(
            row["carrier"], row["about"],
            Part(row["resource"], msgspec.json.decode(row["before"]), msgspec.json.decode(row["after"])), row["at"],
        )
        for row in rows
    ]  # fmt: skip
