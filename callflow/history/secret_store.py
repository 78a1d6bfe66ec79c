"""Secrets that all processes with one history share: the first to come brings its own, the others use that one."""

from __future__ import annotations

import importlib
import time
from typing import Any

from sqlalchemy import Connection, select

from callflow.history.database import Database
from callflow.history.node_tables import secrets


async def shared(database: Database, name: str, own: bytes) -> bytes:
    """Return the secret of this name that the database keeps; it keeps `own` if there was none. Raises what the driver
    raises, and ValueError for a row that is damaged."""
    wanted = select(secrets.c.value).where(secrets.c.name == name)

    def work(connection: Connection) -> str:
        found = connection.scalar(wanted)
        if found is None:
            insert: Any = importlib.import_module(f"sqlalchemy.dialects.{connection.dialect.name}").insert
            row = {"name": name, "value": own.hex(), "created_at": time.time()}
            # PostgreSQL waits here for another process that is doing the same.
            connection.execute(insert(secrets).values(row).on_conflict_do_nothing())
            found = connection.scalar(wanted)
        return str(found)

    return bytes.fromhex(await database.write(work))
