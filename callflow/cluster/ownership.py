"""Which process looks after the calls of a history: one at a time, so that none takes over the live calls of another.

The operating system or the database releases the ownership when the process ends, however it ends: it is a lock on a
file beside an SQLite database (flock), or an advisory lock of a session in PostgreSQL.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout
from sqlalchemy import text

from callflow.history.database import Database


if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_KEY: Final = 0x63616C6C73
"""Of the advisory lock: any number that nobody else uses in this database."""


class Ownership:
    """The ownership of one history, as far as this process has it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock: FileLock | None = None
        self._connection: AsyncConnection | None = None

    async def take(self) -> bool:
        """Take the ownership, unless another process has it; never waits for that one. Returns whether this process has
        it now.

        Raises what the driver raises, or OSError where the lock file cannot be made or locked.
        """
        if self._database.server is None:
            return self._take_file(Path(f"{self._database.url.database}.lock"))
        return await self._database.on_server(self._take_session)

    async def _take_session(self, server: AsyncEngine) -> bool:
        connection = await server.connect()
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
        # Without the fallback for file systems that have no locks: its lock would outlive a process that is killed.
        lock = FileLock(path, timeout=0, mode=0o600, thread_local=False, fallback_to_soft=False)
        try:
            lock.acquire()
        except Timeout:
            return False
        self._lock = lock
        return True

    async def release(self) -> None:
        """Let another process look after the history."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        connection, self._connection = self._connection, None
        if connection is not None:

            async def end(_: AsyncEngine) -> None:
                await connection.invalidate()  # its session ends, and the lock with it
                await connection.close()

            await self._database.on_server(end)
