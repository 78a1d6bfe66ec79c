"""The do-not-call list: numbers that are never dialled, until somebody takes them off it.

It belongs to no call, so neither RETENTION_DAYS nor deleting calls shortens it. Numbers stand in it in clear, because a
number that is dialled is compared with them.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, select

from callflow.history.database import Database
from callflow.history.tables import do_not_call, iso


EVERY_BUSINESS: Final = ""
"""The business of an entry that holds for all of them."""
_table = do_not_call.c


class DoNotCall:
    """The list in one database. Every method raises what the driver raises.

    An entry is a dict of the table's columns. Numbers are in E.164, as `number_problem` of config/dial_rules.py has
    nothing against; any other form of a number is another one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, number: str, business: str = EVERY_BUSINESS) -> dict[str, Any] | None:
        """Return the entry that forbids this business to call a number: its own, or one of every business."""
        wanted = select(do_not_call).where(_table.number == number, _table.business.in_((EVERY_BUSINESS, business)))
        found = await self._database.rows(wanted.order_by(_table.business).limit(1))
        return found[0] if found else None

    async def listed(self, numbers: Collection[str], business: str = EVERY_BUSINESS) -> set[str]:
        """Return those of these numbers that this business must not call; a few hundred at a time."""
        wanted = select(_table.number).where(
            _table.number.in_(numbers), _table.business.in_((EVERY_BUSINESS, business))
        )
        return {row["number"] for row in await self._database.rows(wanted)}

    async def add(
        self, number: str, *, reason: str = "", added_by: str = "", business: str = EVERY_BUSINESS
    ) -> tuple[dict[str, Any], bool]:
        """Put a number on the list. Returns its entry, and whether that is new: one that is there stays as it is."""
        entry = {
            "number": number,
            "business": business,
            "reason": reason,
            "added_at": iso(datetime.now(UTC).timestamp()),
            "added_by": added_by,
        }

        def work(connection: Connection) -> tuple[dict[str, Any], bool]:
            is_new = connection.execute(select(_table.id).where(_is(number, business))).first() is None
            insert: Any = importlib.import_module(f"sqlalchemy.dialects.{connection.dialect.name}").insert
            # Another process may have added it meanwhile. Setting what it has makes the database return that row, too.
            adding = insert(do_not_call).on_conflict_do_update(
                index_elements=["number", "business"], set_={"number": number}
            )
            row = connection.execute(adding.returning(do_not_call), entry).one()
            return dict(row._mapping), is_new

        return await self._database.write(work)

    async def remove(self, number: str, business: str = EVERY_BUSINESS) -> bool:
        """Take the entry of this business off the list. False: there is none."""

        def work(connection: Connection) -> bool:
            return connection.execute(delete(do_not_call).where(_is(number, business))).rowcount > 0

        return await self._database.write(work)

    async def entry(self, number: str, business: str | None = None) -> dict[str, Any] | None:
        """Return the entry of one business for a number, and of no other; None: that of any business, first of every
        one."""
        wanted = select(do_not_call).where(_table.number == number).order_by(_table.business).limit(1)
        found = await self._database.rows(wanted if business is None else wanted.where(_table.business == business))
        return found[0] if found else None

    async def page(self, *, limit: int, before: int = 0, business: str | None = None) -> list[dict[str, Any]]:
        """Return so many entries, the newest first. `before`: the id of the last one of the page before; 0: from the
        beginning. `business`: of this one only; None: of all."""
        wanted = select(do_not_call).order_by(_table.id.desc()).limit(limit)
        wanted = wanted if business is None else wanted.where(_table.business == business)
        return await self._database.rows(wanted.where(_table.id < before) if before else wanted)


def _is(number: str, business: str) -> ColumnElement[bool]:
    return (_table.number == number) & (_table.business == business)
