"""What numbers led to before they were pointed at this server, as the database keeps it for an undo.

In the database and not in a file of its own: every process that shares it sees the same, two at once do not overwrite
each other, and it is as private, and in the same backup, as the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from callflow.contracts.numbers import Part, Pointed
from callflow.history.database import Database, DatabaseError
from callflow.history.tables import pointed_numbers


_table = pointed_numbers.c


class PointedNumbers:
    """Every method raises what the driver raises."""

    def __init__(self, database: Database | None) -> None:
        """None: there is no database yet, so nothing is kept, and nothing can be."""
        self._database = database

    async def all(self) -> list[Pointed]:
        """Return all that are kept, oldest first."""
        return await self._database.read(_all) if self._database is not None else []

    async def put(self, kept: Sequence[Pointed]) -> None:
        """Keep these numbers; each takes the place of the one of the same number. Raises DatabaseError where there is
        no database."""
        await self.replace((), kept)

    async def replace(self, gone: Sequence[Pointed], kept: Sequence[Pointed]) -> None:
        """Keep the first ones no more, and the others from now on, in one transaction. Raises DatabaseError where there
        is no database."""

        if self._database is None:
            raise DatabaseError("there is no history to keep it in")

        def work(connection: Connection) -> None:
            for one in (*gone, *kept):
                key = (_table.carrier == one.carrier, _table.number == one.number, _table.temporary == one.temporary)
                connection.execute(pointed_numbers.delete().where(*key))
            if kept:
                connection.execute(pointed_numbers.insert(), [_row(one) for one in kept])

        await self._database.write(work)


def _row(one: Pointed) -> dict[str, Any]:
    parts = [[part.resource, dict(part.before), dict(part.after)] for part in one.parts]
    return {
        "carrier": one.carrier, "number": one.number, "temporary": one.temporary, "address": one.address,
        "parts": msgspec.json.encode(parts).decode(), "at": one.at,
    }  # fmt: skip


def _all(connection: Connection) -> list[Pointed]:
    rows = connection.execute(select(pointed_numbers).order_by(_table.at)).mappings()
    return [
        Pointed(
            row["carrier"], row["number"], row["address"],
            tuple(Part(*each) for each in msgspec.json.decode(row["parts"])), row["at"], bool(row["temporary"]),
        )
        for row in rows
    ]  # fmt: skip
