"""The profiles that the database keeps, whole, and every version of each.

A change is one transaction, and only one process makes one at a time. It is made only if nothing has changed since the
profiles were read, so that what was checked (a number belongs to one profile) still holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import URL, Connection, delete, func, insert, select, text

from callflow.history.database import Database, look_at
from callflow.history.session_overrides import DEFAULT
from callflow.history.tables import iso, kept_settings, profile_versions


MOST_VERSIONS: Final = 100
"""Of one profile; the oldest go."""
_MOST_GONE: Final = 10_000
"""Changes after which nothing is kept any more of a profile that was deleted."""
_MOST_READS: Final = 5
_LOCK: Final = 0x63616C6C70726F
"""Of the advisory lock that a change holds in PostgreSQL."""
_row = kept_settings.c
_version = profile_versions.c
_NEWEST: Final = select(func.coalesce(func.max(_version.seq), 0))


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


class ProfileStore:
    """The profiles in one database. Every method raises what the driver raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> StoredProfiles:
        return await self._database.read(_all)

    async def newest(self) -> tuple[Any, ...]:
        """Return what is another value after any change of a profile, or of what is kept for all numbers."""
        wanted = select(_NEWEST.scalar_subquery(), func.count(), func.max(_row.changed_at))
        return await self._database.read(
            lambda connection: tuple(connection.execute(wanted.where(_row.profile == DEFAULT)).one())
        )

    async def put(self, profile: str, rows: Mapping[str, str] | None, *, by: str, seen: int) -> int | None:
        """Keep a profile with these rows and no others; None: keep it no more.

        `seen`: `StoredProfiles.seq` of what the change was checked against. Returns the profile's new version; None:
        there was another change meanwhile, and nothing is done.
        """

        def work(connection: Connection) -> int | None:
            if self._database.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            if connection.execute(_NEWEST).scalar_one() != seen:
                return None
            return _put(connection, profile, rows, by, seen + 1)

        return await self._database.write(work)

    async def versions(self, profile: str) -> list[dict[str, Any]]:
        """Return the versions of a profile, the newest first, with the columns of the table."""
        wanted = select(profile_versions).where(_version.profile == profile).order_by(_version.version.desc())
        return await self._database.read(lambda connection: [dict(row._mapping) for row in connection.execute(wanted)])

    async def version(self, profile: str, version: int) -> dict[str, Any] | None:
        """Return one version of a profile; None: there is none, or none any more."""
        wanted = select(profile_versions).where(_version.profile == profile, _version.version == version)

        def work(connection: Connection) -> dict[str, Any] | None:
            row = connection.execute(wanted).first()
            return dict(row._mapping) if row is not None else None

        return await self._database.read(work)


def _all(connection: Connection) -> StoredProfiles:
    """Read all of it, and again if there was a change between two of the queries."""
    for _ in range(_MOST_READS):
        seq = connection.execute(_NEWEST).scalar_one()
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
        if connection.execute(_NEWEST).scalar_one() == seq:
            break
    return StoredProfiles(seq, rows, changes)


def _put(connection: Connection, profile: str, rows: Mapping[str, str] | None, by: str, seq: int) -> int:
    now = iso(datetime.now(UTC).timestamp())
    connection.execute(delete(kept_settings).where(_row.profile == profile))
    if rows:
        kept = [{"profile": profile, "name": name, "value": value, "changed_at": now} for name, value in rows.items()]
        connection.execute(insert(kept_settings), kept)
    last = select(func.coalesce(func.max(_version.version), 0)).where(_version.profile == profile)
    version = int(connection.execute(last).scalar_one()) + 1
    whole = None
    if rows is not None:
        whole = json.dumps({name: json.loads(value) for name, value in rows.items()}, ensure_ascii=False)
    entry = {
        "seq": seq, "profile": profile, "version": version, "changed_at": now, "changed_by": by, "settings": whole,
    }  # fmt: skip
    connection.execute(insert(profile_versions), entry)
    is_old = (_version.profile == profile) & (_version.version <= version - MOST_VERSIONS)
    is_gone = (_version.seq <= seq - _MOST_GONE) & _version.profile.not_in(select(_row.profile))
    connection.execute(delete(profile_versions).where(is_old | is_gone))
    return version


def look(url: URL) -> StoredProfiles:
    """Return what is kept there, for somebody beside the server; no database is nothing kept. Raises DatabaseError."""
    return look_at(url, lambda database: ProfileStore(database).read(), StoredProfiles())
