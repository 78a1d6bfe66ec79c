"""Which process looks after the calls of a history: one at a time, so that none takes over the live calls of another.

The operating system or the database releases the ownership when the process ends, however it ends: it is a lock on a
file beside an SQLite database (flock), or an advisory lock of a session in PostgreSQL.

A session ends without the process that had it when its server is restarted, when somebody ends it, or when its
connection is cut. So its owner takes the lock again at once, and whoever waits for the lock takes it only when it has
been free for longer than that takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock, Timeout
from sqlalchemy import text

from callflow.history.database import Database


if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

log = logging.getLogger(__name__)

_KEY: Final = 0x63616C6C73
"""Of the advisory lock: any number that nobody else uses in this database."""
_TAKE: Final = text("SELECT pg_try_advisory_lock(:key)").bindparams(key=_KEY)
_IS_HELD: Final = text(
    "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid::bigint = :high AND objid::bigint = :low)"
).bindparams(high=_KEY >> 32, low=_KEY & 0xFFFFFFFF)
"""Asked without taking the lock: its owner may want it back at this very moment."""
_ALIVE: Final = text("SELECT 1")
_LOOK_SECONDS: Final = 1.0
"""Interval of the looks at the session of the lock, beside being told of its end: not every end is told."""
_AGAIN_SECONDS: Final = 0.1
"""Interval of the tries to have the lock back."""
_FREE_SECONDS: Final = 1.0
"""How long the lock of another process must have been free before this one takes it. The other one has it back sooner,
if it lives and reaches the database."""


class Ownership:
    """The ownership of one history, as far as this process has it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock: FileLock | None = None
        self._connection: AsyncConnection | None = None
        self._was_refused = False
        """Another process had it when this one last looked."""
        self._free_since: float | None = None
        """Since when this one has found that process's lock free, time after time."""

    async def take(self) -> bool:
        """Take the ownership, unless another process has it; never waits for that one. Returns whether this process has
        it now.

        Raises what the driver raises, or OSError where the lock file cannot be made or locked.
        """
        if self._database.server is None:
            return self._take_file(Path(f"{self._database.url.database}.lock"))
        return await self._database.on_server(self._take_session)

    async def lost(self) -> None:
        """Return when another process has taken the ownership from this one, which could not reach the database for so
        long. A file is never lost."""
        if self._database.server is None:
            await asyncio.Event().wait()
        await self._database.on_server(self._keep_session)

    async def _take_session(self, server: AsyncEngine) -> bool:
        free_since, self._free_since = self._free_since, None
        connection = await _session(server)
        try:
            if (await connection.execute(_IS_HELD)).scalar():
                self._was_refused = True
            elif self._was_refused and time.monotonic() < (free_since or time.monotonic()) + _FREE_SECONDS:
                self._free_since = free_since or time.monotonic()
            elif (await connection.execute(_TAKE)).scalar():
                self._connection, self._was_refused = connection, False
                return True
        finally:
            if self._connection is None:
                await connection.close()
        return False

    async def _keep_session(self, server: AsyncEngine) -> None:
        while True:
            if self._connection is not None:
                with contextlib.suppress(Exception):
                    await _ended(self._connection)
                log.warning("the session that holds the history for this process has ended: it is taken again")
            while True:
                with contextlib.suppress(Exception):
                    if not await self._take_back(server):
                        return
                    break
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _take_back(self, server: AsyncEngine) -> bool:
        """Take the lock again. False: another process has it. Raises what the driver raises."""
        old, self._connection = self._connection, None
        if old is not None:
            with contextlib.suppress(Exception):
                await old.invalidate()
                await old.close()
        connection = await _session(server)
        try:
            if (await connection.execute(_TAKE)).scalar():
                self._connection = connection
                return True
        finally:
            if self._connection is None:
                await connection.close()
        self._was_refused = True
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


async def _session(server: AsyncEngine) -> AsyncConnection:
    connection = await server.connect()
    try:
        # Autocommit: a transaction that stays open for days would keep the database from cleaning up.
        return await connection.execution_options(isolation_level="AUTOCOMMIT")
    except BaseException:
        await connection.close()
        raise


async def _ended(connection: AsyncConnection) -> None:
    """Return when the session of this connection has ended, or answers no more."""
    told = asyncio.Event()
    driver: Any = (await connection.get_raw_connection()).driver_connection
    driver.add_termination_listener(lambda _: told.set())
    while not driver.is_closed():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                await told.wait()
        try:
            await connection.execute(_ALIVE)
        except Exception:
            return
