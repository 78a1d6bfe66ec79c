"""The profiles that the database keeps, whole, and every version of each.

A change is one transaction, and only one process makes one at a time. It is made only if nothing has changed since the
profiles were read, so that what was checked (a number belongs to one profile) still holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import URL, Connection, delete, func, insert, select

from callflow.history import setting_versions
from callflow.history.database import Database, look_at
from callflow.history.prepared import Prepared
from callflow.history.session_overrides import DEFAULT
from callflow.history.setting_versions import NEWEST
from callflow.history.tables import control_settings, iso, kept_settings, profile_versions


_MOST_READS: Final = 5
_row = kept_settings.c
_version = profile_versions.c


class Change(NamedTuple):
    """The newest change of one profile."""

    version: int
    at: str
    by: str


@dataclass(frozen=True)
class StoredProfiles:
    """All that was there at one moment."""

    seq: int = 0
    """Of the newest change; 0: there was none."""
    rows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By profile and name, each value as JSON."""
    changes: Mapping[str, Change] = field(default_factory=dict)
    """By profile, also of those that were deleted."""

    def version(self, profile: str) -> int:
        """Return the newest version of a profile; 0: it was never changed."""
        return self.changes[profile].version if profile in self.changes else 0


_LOOK: Final = Prepared(
    select(
        NEWEST.scalar_subquery(),
        func.count(),
        func.max(_row.changed_at),
        select(func.max(control_settings.c.changed_at)).scalar_subquery(),
    ).where(_row.profile == DEFAULT)
)
"""See `ProfileStore.newest`: every process asks each second."""


class ProfileStore:
    """The profiles in one database. Every method raises what the driver raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> StoredProfiles:
        """Return all profiles and settings that the database has."""
        return await self._database.read(_all)

    async def newest(self) -> tuple[Any, ...]:
        """Return what is another value after any change of a profile, of what is kept for all numbers, or of the
        control endpoint's settings."""
        found = await self._database.read(lambda connection: _LOOK.first(connection, {}))
        return tuple(found or ())

    async def put(self, profile: str, rows: Mapping[str, str] | None, *, by: str, seen: int) -> int | None:
        """Keep a profile with these rows and no others; None: keep it no more.

        `seen`: `StoredProfiles.seq` of what the change was checked against. Returns the profile's new version; None:
        there was another change meanwhile, and nothing is done.
        """

        def work(connection: Connection) -> int | None:
            if setting_versions.begin(connection, is_sqlite=self._database.is_sqlite) != seen:
                return None
            return _put(connection, profile, rows, by, seen)

        return await self._database.write(work)

    async def versions(self, profile: str) -> list[dict[str, Any]]:
        """Return the versions of a profile, the newest first, with the columns of the table."""
        wanted = setting_versions.versions_of(profile)
        return await self._database.rows(wanted)

    async def version(self, profile: str, version: int) -> dict[str, Any] | None:
        """Return one version of a profile, a row of `tables.profile_versions`; None: there is none, or none any
        more."""
        wanted = select(profile_versions).where(_version.profile == profile, _version.version == version)

        def work(connection: Connection) -> dict[str, Any] | None:
            row = connection.execute(wanted).first()
            return dict(row._mapping) if row is not None else None

        return await self._database.read(work)


def _all(connection: Connection) -> StoredProfiles:
    """Read all of it, and again if there was a change between two of the queries."""
    for _ in range(_MOST_READS):
        seq = connection.execute(NEWEST).scalar_one()
        rows: dict[str, dict[str, str]] = {}
        wanted = select(_row.profile, _row.name, _row.value).where(_row.profile != DEFAULT)
        for row in connection.execute(wanted.order_by(_row.profile, _row.name)):
            rows.setdefault(row.profile, {})[row.name] = row.value
        last = select(func.max(_version.seq)).group_by(_version.profile)
        newest = select(_version.profile, _version.version, _version.changed_at, _version.changed_by)
        changes = {
            row.profile: Change(row.version, row.changed_at, row.changed_by)
            for row in connection.execute(newest.where(_version.seq.in_(last)))
        }
        if connection.execute(NEWEST).scalar_one() == seq:
            break
    return StoredProfiles(seq, rows, changes)


def _put(connection: Connection, profile: str, rows: Mapping[str, str] | None, by: str, seen: int) -> int:
    now = iso(datetime.now(UTC).timestamp())
    connection.execute(delete(kept_settings).where(_row.profile == profile))
    if rows:
        kept = [{"profile": profile, "name": name, "value": value, "changed_at": now} for name, value in rows.items()]
        connection.execute(insert(kept_settings), kept)
    return setting_versions.append(connection, profile, rows, by=by, now=now, after=seen)


def look(url: URL) -> StoredProfiles:
    """Return what is kept there, for somebody beside the server; no database is nothing kept. Raises DatabaseError."""
    return look_at(url, lambda database: ProfileStore(database).read(), StoredProfiles())
