"""Every version of each profile, and of what is kept for all numbers: written in the transaction of the change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, func, insert, select, text

from callflow.history.tables import kept_settings, profile_versions


MOST_VERSIONS: Final = 100
"""Of one profile; the oldest go."""
_MOST_GONE: Final = 10_000
"""Changes after which nothing is kept any more of a profile that was deleted."""
_LOCK: Final = 0x63616C6C70726F
"""Of the advisory lock that a change holds in PostgreSQL."""
_version = profile_versions.c
NEWEST: Final = select(func.coalesce(func.max(_version.seq), 0))


def begin(connection: Connection, *, is_sqlite: bool) -> int:
    """Begin a change: from now on, nobody else makes one. Returns the number of the newest; 0: there was none."""
    if is_sqlite:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    return int(connection.execute(NEWEST).scalar_one())


def append(
    connection: Connection, profile: str, rows: Mapping[str, str] | None, *, by: str, now: str, after: int
) -> int:
    """Write the newest version of a profile, and return its number. `rows`: its rows of `kept_settings`, each value as
    JSON; None: it is gone. `now`: ISO 8601. `after`: what `begin` has returned."""
    last = select(func.coalesce(func.max(_version.version), 0)).where(_version.profile == profile)
    version, seq = int(connection.execute(last).scalar_one()) + 1, after + 1
    whole = None
    if rows is not None:
        whole = json.dumps({name: json.loads(value) for name, value in rows.items()}, ensure_ascii=False)
    entry = {
        "seq": seq, "profile": profile, "version": version, "changed_at": now, "changed_by": by, "settings": whole,
    }  # fmt: skip
    connection.execute(insert(profile_versions), entry)
    is_old = (_version.profile == profile) & (_version.version <= version - MOST_VERSIONS)
    is_gone = (_version.seq <= seq - _MOST_GONE) & _version.profile.not_in(select(kept_settings.c.profile))
    connection.execute(delete(profile_versions).where(is_old | is_gone))
    return version


def versions_of(profile: str) -> Select[Any]:
    """Return the query of the versions of a profile, the newest first."""
    return select(profile_versions).where(_version.profile == profile).order_by(_version.version.desc())
