"""Who looks after the calls of a record: one process at a time, so that none takes another's live calls.

The system lets go of it when the process ends, however it ends: a lock on a file beside an SQLite database, a lock of
its session in PostgreSQL.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from callflow.history.database import Database


_KEY: Final = 0x63616C6C73


class Ownership:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._file: int | None = None
        self._connection: AsyncConnection | None = None

    async def take(self) -> bool:
        """False: another process has it. Raises what the driver raises."""
        if self._database.is_sqlite:
            return self._take_file(Path(f"{self._database.url.database}.lock"))
        connection = await self._database.engine.connect()
        try:
            # Autocommit: a transaction that stays open for days would keep the database from cleaning up.
            connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
            found = await connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _KEY})
            if found.scalar():
                self._connection = connection
                return True
        finally:
            if self._connection is None:
                await connection.close()
        return False

    def _take_file(self, path: Path) -> bool:
        try:
            import fcntl
        except ImportError:  # Windows has no such lock: there it is for the operator to start one server only
            return True
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        self._file = handle
        return True

    async def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._connection is not None:
            await self._connection.invalidate()  # its session ends, and the lock with it
            await self._connection.close()
            self._connection = None
