"""The settings for coming calls that operators have changed, as the database keeps them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import URL, Connection, select

from callflow.history.database import Database, look_at
from callflow.history.tables import iso, kept_settings


DEFAULT: Final = "default"
"""The profile that holds for every number, before those of settings.toml."""
_table = kept_settings.c
_OURS: Final = select(_table.name, _table.value).where(_table.profile == DEFAULT).order_by(_table.name)


class StoredOverrides:
    """By name, each value as JSON. Every method raises what the driver raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> dict[str, str]:
        return await self._database.read(_ours)

    async def change(self, values: Mapping[str, str], gone: Sequence[str]) -> dict[str, str]:
        """Keep these, and those no more. Returns all that is kept from then on, whoever else has changed it."""

        def work(connection: Connection) -> dict[str, str]:
            self._change(connection, values, gone)
            return _ours(connection)

        return await self._database.write(work)

    async def clear(self) -> None:
        """Keep nothing any more."""

        def work(connection: Connection) -> None:
            connection.execute(kept_settings.delete().where(_table.profile == DEFAULT))

        await self._database.write(work)

    def _change(self, connection: Connection, values: Mapping[str, str], gone: Sequence[str]) -> None:
        if gone:
            connection.execute(kept_settings.delete().where(_table.profile == DEFAULT, _table.name.in_(gone)))
        if values:
            dialect = "sqlite" if self._database.is_sqlite else "postgresql"
            insert: Any = importlib.import_module(f"sqlalchemy.dialects.{dialect}").insert
            now = iso(datetime.now(UTC).timestamp())
            adding = insert(kept_settings)
            new = {"value": adding.excluded.value, "changed_at": adding.excluded.changed_at}
            rows = [
                {"profile": DEFAULT, "name": name, "value": text, "changed_at": now}
                for name, text in sorted(values.items())  # in one order, so that no two wait for each other
            ]
            connection.execute(adding.on_conflict_do_update(index_elements=["profile", "name"], set_=new), rows)


def _ours(connection: Connection) -> dict[str, str]:
    return {row.name: row.value for row in connection.execute(_OURS)}


def look(url: URL) -> dict[str, str]:
    """What is kept there, for somebody beside the server: nothing is changed and nothing is made; no database is
    nothing kept. Raises DatabaseError."""
    return look_at(url, lambda database: StoredOverrides(database).read(), {})
