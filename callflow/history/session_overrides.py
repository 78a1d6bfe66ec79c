"""The settings for coming calls that operators have changed, as the database keeps them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import URL, Connection, func, select

from callflow.contracts.errors import ProfileRefused
from callflow.history import setting_versions
from callflow.history.database import Database, look_at
from callflow.history.tables import iso, kept_settings, profile_versions


DEFAULT: Final = "default"
"""The profile that holds for every number, before those of settings.toml."""
_table = kept_settings.c
_NEWEST: Final = select(func.coalesce(func.max(profile_versions.c.version), 0)).where(
    profile_versions.c.profile == DEFAULT
)
_OURS: Final = select(_table.name, _table.value).where(_table.profile == DEFAULT).order_by(_table.name)


class StoredOverrides:
    """By name, each value as JSON. Every method raises what the driver raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> dict[str, str]:
        """Return the settings that are kept for coming calls, by name, as text."""
        return await self._database.read(_ours)

    async def change(
        self, values: Mapping[str, str], gone: Sequence[str], *, by: str = "", seen: int | None = None
    ) -> dict[str, str]:
        """Keep the settings in `values`, and those in `gone` no more. `seen`: the newest version that whoever asks has
        seen, 0 for none; None: any.

        Returns all that is kept from then on, whoever else has changed it. Raises ProfileRefused if another version is
        the newest.
        """

        def work(connection: Connection) -> dict[str, str]:
            newest = setting_versions.begin(connection, is_sqlite=self._database.is_sqlite)
            _refuse_unseen(connection, seen)
            before = _ours(connection)
            self._change(connection, values, gone)
            return _kept_from_now(connection, before, newest, by)

        return await self._database.write(work)

    async def clear(self, *, by: str = "", seen: int | None = None) -> None:
        """Keep nothing any more. `seen`: see `change`, which raises the same."""

        def work(connection: Connection) -> None:
            newest = setting_versions.begin(connection, is_sqlite=self._database.is_sqlite)
            _refuse_unseen(connection, seen)
            before = _ours(connection)
            connection.execute(kept_settings.delete().where(_table.profile == DEFAULT))
            _kept_from_now(connection, before, newest, by)

        await self._database.write(work)

    async def versions(self) -> list[dict[str, Any]]:
        """Return every version that is kept, the newest first, with the columns of `profile_versions`."""
        wanted = setting_versions.versions_of(DEFAULT)
        return await self._database.rows(wanted)

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


def _refuse_unseen(connection: Connection, seen: int | None) -> None:
    """Raise ProfileRefused if another version than the one that was seen is the newest."""
    if seen is not None and seen != (now := connection.execute(_NEWEST).scalar_one()):
        raise ProfileRefused(409, f"Version {seen} is not the newest any more, but {now}: look at it, and ask again.")


def _kept_from_now(connection: Connection, before: Mapping[str, str], newest: int, by: str) -> dict[str, str]:
    """Return what is kept now, and write it down as a version. The first time also what was kept `before`, which
    nobody has written down."""
    now = iso(datetime.now(UTC).timestamp())
    first = setting_versions.versions_of(DEFAULT).limit(1)
    if before and connection.execute(first).first() is None:
        setting_versions.append(connection, DEFAULT, before, by="", now=now, after=newest)
        newest += 1
    kept = _ours(connection)
    if kept != before:
        setting_versions.append(connection, DEFAULT, kept, by=by, now=now, after=newest)
    return kept


def _ours(connection: Connection) -> dict[str, str]:
    return {row.name: row.value for row in connection.execute(_OURS)}


def look(url: URL) -> dict[str, str]:
    """Return what is kept there, value by name of setting, for a process beside the server: changes and makes nothing;
    no database is nothing kept. Raises DatabaseError."""
    return look_at(url, lambda database: StoredOverrides(database).read(), {})
