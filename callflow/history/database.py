"""The database: where it lies, how it is opened, and its schema brought up to date at start.

SQLite in the data folder unless DATABASE_URL names another file or a PostgreSQL server. SQLite runs with a write-ahead
log and `synchronous=NORMAL`: what is committed survives the death of the process, whatever killed it; a power cut may
take the last moments.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Engine, Executable, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from callflow.config import private_files
from callflow.config.validators import UNREADABLE
from callflow.contracts import addresses, secret_text
from callflow.contracts.errors import DatabaseError as DatabaseError
from callflow.contracts.secret_text import Secrets
from callflow.history import migrations, new_file, older_schemas
from callflow.history.open_file import OpenFile
from callflow.history.read_only import START, WHERE, ReadOnlyFile
from callflow.history.server_thread import ServerThread


if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_Found = TypeVar("_Found")

HEAD: Final = "0026"
"""The newest migration."""
_BUSY_MS: Final = 1000
"""How long SQLite waits while another process writes."""
_CACHE_KIB: Final = 500
"""How much of a file each connection keeps, of which there may be `_READERS` and one more; by itself SQLite keeps 2000.
The system has the file in its cache anyway: a transaction of a journal takes some 3 % longer."""
_BUSY_PAUSE: Final = 0.01
"""Seconds between two tries at what SQLite does not wait for."""
_READERS: Final = 4
"""The most threads, each with a connection of its own, that read a file at the same time."""
_LOCK: Final = 0x63616C6C666C6F77
_upgrading: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
_SECONDS: Final = 5.0
"""Time limit of one statement on a database server."""
_STILL_SECONDS: Final = 2.0
"""How long a transaction may stand still on a database server: that of a process that is stopped holds rows for which
the other nodes wait. Statements take milliseconds, and the lease of a node lasts for 3 s."""
_MOST_TROUBLE: Final = 300
_MODES: Final = frozenset({"require", "prefer", "allow", "disable", "verify-ca", "verify-full", "true", "false"})
_LEAST: Final = 4
"""The shortest parameter value, in characters, that is searched for in error texts."""
_POOLED: Final = frozenset({"26000", "42P05"})
"""A prepared statement that its session does not know, or knows already: the session is another one each time."""
_KIND: Final = re.compile(r"^<class '[\w.]+'>: ")


def url_of(given: str, data_dir: str) -> URL:
    """Return DATABASE_URL with its asynchronous driver; for "", the SQLite file in the data folder.

    Raises DatabaseError for an address that cannot be parsed, or that two parsers read differently."""
    if not given:
        return URL.create("sqlite", database=str(Path(data_dir) / "callflow.db"))
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        raise DatabaseError(f"DATABASE_URL is not an address, or {UNREADABLE}") from None
    if url.get_backend_name() == "sqlite":
        return url.set(drivername="sqlite")
    parts = addresses.parse(given)
    if parts is None or (url.host or "", str(url.port or ""), url.database or "") != (
        parts.host.strip("[]"), parts.port, unquote(parts.path[1:]),
    ):  # fmt: skip
        raise DatabaseError(f"DATABASE_URL {UNREADABLE}")
    query = dict(url.query)
    if "sslmode" in query:  # libpq's name for it
        query["ssl"] = query.pop("sslmode")
    return url.set(drivername="postgresql+asyncpg", query=query)


class Database:
    """An engine for one database, opened when it is first used.

    `read_only`: for a process that reads while the server runs. Nothing is changed or created, and an SQLite database
    of an earlier version is read without migrating it. The reader must call `check` first.

    Files and servers are asked on threads of its own. `here`: a server on the event loop that asks, which carries no
    audio."""

    def __init__(self, url: URL, *, read_only: bool = False, here: bool = False) -> None:
        self.url, self.read_only = url, read_only
        self.is_sqlite = url.get_backend_name() == "sqlite"
        # hide_parameters: words of callers must not reach an error, and so the log
        options: dict[str, Any] = {"pool_pre_ping": not self.is_sqlite, "hide_parameters": True}
        self._left_behind: set[asyncio.Task[Any]] = set()
        self.server: AsyncEngine | None = None
        """Of a database server, for `on_server`; None: it is a file."""
        self._thread = ServerThread() if not self.is_sqlite and not here else None
        self._files: Engine | None = None
        self._read_only_file: ReadOnlyFile | None = None
        if not self.is_sqlite:
            # With the object-relational mapper, 8 MB that nothing of ours uses: not for those who have a file.
            from sqlalchemy.ext.asyncio import create_async_engine

            options["connect_args"] = {"command_timeout": _SECONDS, "timeout": _SECONDS}
            if read_only:
                options["execution_options"] = {"postgresql_readonly": True}
            self.server = create_async_engine(url, **options)
            if not read_only:
                event.listen(self.server.sync_engine, "connect", _limit)
            return
        options["connect_args"] = {"timeout": _BUSY_MS / 1000}
        if read_only:
            url = url.set(query={"uri": "true"})
            options["poolclass"] = NullPool  # how to open it depends on who else has the file open
            self._read_only_file = ReadOnlyFile(Path(self.url.database or ""))
        self._files = create_engine(url, **options)
        if read_only:
            event.listen(self._files, "do_connect", self._point)
            event.listen(self._files, "connect", self._prepare_read_only)
        else:
            event.listen(self._files, "do_connect", lambda *_: self._open_file.refuse())
            event.listen(self._files, "connect", _prepare)
            event.listen(self._files, "connect", lambda *_: self._open_file.opened())
        self._open_file = OpenFile(Path(self.url.database or ""))
        self._reader = ThreadPoolExecutor(_READERS, thread_name_prefix="history")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._writing: Connection | None = None
        """That of the thread that writes, kept: to take one from the pool is dearer than a short transaction."""

    def _point(self, _dialect: Any, _record: Any, arguments: list[Any], _: Any) -> None:
        """Make SQLAlchemy open the read-only file. Raises DatabaseError."""
        assert self._read_only_file is not None
        arguments[0] = self._read_only_file.uri()

    def _prepare_read_only(self, connection: Any, _: Any) -> None:
        """Check the schema of a read-only connection, and forbid writing. Raises DatabaseError."""
        found = _all(connection, "SELECT name FROM sqlite_master WHERE type = 'table'")
        names = {name for (name,) in found}
        if not names >= {"conversations", "conversation_items"}:
            raise DatabaseError(f"{self.name} is a database of something else, and no history of calls: {WHERE}")
        revision = ""
        if "alembic_version" in names:
            revision = str(next(iter(_all(connection, "SELECT version_num FROM alembic_version")), [""])[0])
        self._check_revision(revision)
        if revision != HEAD:
            columns = {name: {row[1] for row in _all(connection, f'PRAGMA table_info("{name}")')} for name in names}
            older_schemas.stand_in(connection, columns)
        connection.execute("PRAGMA query_only=ON").close()

    @property
    def name(self) -> str:
        """Where the database is, fit to be shown: the file, or the address without user and password."""
        url = self.url
        if self.is_sqlite:
            return url.database or ""
        host = f"[{url.host}]" if ":" in (url.host or "") else url.host or ""
        return addresses.of(url.get_backend_name(), host, url.port, f"/{url.database or ''}")

    def trouble(self, error: BaseException) -> str:
        """Return why it cannot be used, fit to be shown: the first line of what its driver says, without the statement
        and its parameters; only what kind of error it is, if that line holds anything secret of the address."""
        cause = getattr(error, "orig", None) or error
        kind = "no answer in time" if isinstance(cause, TimeoutError) else type(cause.__cause__ or cause).__name__
        first = _KIND.sub("", (str(cause).splitlines() or [""])[0])[:_MOST_TROUBLE]
        if getattr(cause, "sqlstate", None) in _POOLED:
            first = f"{first}: a pooler before the database must pool sessions, not transactions"
        secrets = Secrets([str(self.url.password or ""), *self._query_secrets()])
        return secrets.safe_text(first, kind) or kind

    def _query_secrets(self) -> Iterator[str]:
        for name, values in self.url.normalized_query.items():
            is_secret = secret_text.names_secret(name)
            yield from (value for value in values if is_secret or (len(value) >= _LEAST and value not in _MODES))
            if secret_text.may_be_secret(name):
                yield name

    async def check(self) -> None:
        """Check that the history can be read. Raises DatabaseError."""
        try:
            await self.read(self._check_schema)
        except DatabaseError:
            raise
        except Exception as error:
            what = f"{self.name} cannot be read: {self.trouble(error)}"
            raise DatabaseError(f"the history in {what}: is DATABASE_URL right, and is it there?") from None

    def _check_schema(self, connection: Connection) -> None:
        if self.is_sqlite:
            return  # checked when it was opened
        if _is_unused(connection):
            raise DatabaseError(f"there is no history in {self.name} yet: {START}")
        found = _revision(connection)
        self._check_revision(found)
        if found != HEAD:
            raise DatabaseError(f"the history in {self.name} is of an earlier version: start the server once")

    def _check_revision(self, found: str) -> None:
        if found > HEAD:
            raise DatabaseError(f"{self.name} was written by a newer Callflow (schema {found}, here {HEAD}): update it")

    async def migrate(self) -> bool:
        """Bring the schema up to date. True: there was something to do. Raises DatabaseError, or what the driver raises
        while the database cannot be reached."""
        if self.server is None:
            await asyncio.to_thread(_make_private, Path(self.url.database or ""))
        found = await self.read(_revision)
        if found == HEAD:
            return False
        self._check_revision(found)
        if self.server is None and await self.write(self._create):
            return True
        await asyncio.to_thread(importlib.import_module, "alembic.command")  # slow, and rarely needed
        async with _one_at_a_time():
            if self.server is None:
                await self.write(migrations.upgrade)
            else:
                await self.on_server(self._upgrade_server)
        return True

    def _create(self, connection: Connection) -> bool:
        """Make the tables of an SQLite file that is empty, without Alembic. False: it is not empty."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # another process may start at the same moment
        if not new_file.is_new(connection):
            return _revision(connection) == HEAD
        new_file.create(connection)
        return True

    async def _upgrade_server(self, _: AsyncEngine) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine

        # Without the time limit of `server`: a large table takes its time.
        patient = create_async_engine(self.url, poolclass=NullPool, hide_parameters=True)
        async with patient.begin() as connection:
            # Another process may start at the same moment.
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            await connection.run_sync(migrations.upgrade)

    async def read(self, work: Callable[[Connection], _Found]) -> _Found:
        """Run this with a connection, and return what it returns; what it changes is not kept.

        `work` runs on a thread. A file is read in one go: see `write`.
        """
        if self.server is None:
            return await asyncio.get_running_loop().run_in_executor(self._reader, self._read_file, work)

        async def reading(server: AsyncEngine) -> _Found:
            async with server.connect() as connection:
                return await connection.run_sync(work)

        return await self.on_server(reading)

    async def rows(self, wanted: Executable) -> list[dict[str, Any]]:
        """Return the rows of a query, each as a dict by the names of its columns; they are made in the thread that
        reads."""
        return await self.read(lambda connection: [dict(row._mapping) for row in connection.execute(wanted)])

    async def on_server(self, work: Callable[[AsyncEngine], Coroutine[Any, Any, _Found]]) -> _Found:
        """Run a coroutine with the engine of the server, on the loop to which its connections belong; `server` is not
        None. Raises what it raises."""
        server = self.server
        assert server is not None
        return await (work(server) if self._thread is None else self._thread.run(lambda: work(server)))

    async def soon(self, reading: Coroutine[Any, Any, _Found], seconds: float) -> _Found:
        """Return what is read, for somebody who cannot wait longer. Raises TimeoutError, and what `reading` raises.

        What comes too late is cancelled, but not waited for: a driver that is cancelled waits for its server once more.
        It ends within the time limit of a statement.
        """
        task = asyncio.create_task(reading, name="reading")
        self._left_behind.add(task)
        task.add_done_callback(self._ended)
        try:
            await asyncio.wait({task}, timeout=seconds)
            if not task.done():
                raise TimeoutError(f"the database has not answered within {seconds:g} s")
            return task.result()
        finally:
            task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._left_behind.discard(task)
        if not task.cancelled():
            task.exception()  # nobody else asks for that of one that was late

    async def write(self, work: Callable[[Connection], _Found]) -> _Found:
        """Run this in one transaction, on a thread, and return what it returns.

        A file is written by a thread of its own, all of it in one go: an asynchronous driver would come back to the
        event loop several times for each statement, and each time wait for its turn among all the audio.
        """
        if self.server is None:
            return await asyncio.get_running_loop().run_in_executor(self._writer, self.write_here, work)

        async def writing(server: AsyncEngine) -> _Found:
            async with server.begin() as connection:
                return await connection.run_sync(work)

        return await self.on_server(writing)

    def write_here(self, work: Callable[[Connection], _Found]) -> _Found:
        """Write as `write` does, but to a file, by the thread that calls this: it waits, so it must have nothing else
        to do, and be the only one that writes with this object."""
        assert self._files is not None
        try:
            connection = self._writing = self._writing or self._files.connect()
            with connection.begin():
                return work(connection)
        except BaseException:
            self._drop_writing()  # the pool looks after it, as it does after every other one
            raise
        finally:
            self._open_file.look()

    def _read_file(self, work: Callable[[Connection], _Found]) -> _Found:
        assert self._files is not None
        with self._files.connect() as connection:
            return work(connection)

    def _drop_writing(self) -> None:
        connection, self._writing = self._writing, None
        if connection is not None:
            connection.close()

    def _close_file(self) -> None:
        assert self._files is not None
        self._drop_writing()
        self._files.dispose()

    async def close(self) -> None:
        """Close all connections, for good."""
        if self.server is not None:
            await self.on_server(lambda server: server.dispose())
            if self._thread is not None:
                await self._thread.close()
            return
        await asyncio.get_running_loop().run_in_executor(self._writer, self._close_file)
        if self._read_only_file is not None:
            await asyncio.to_thread(self._read_only_file.close)
        for threads in (self._reader, self._writer):
            threads.shutdown(wait=False)


def look_at(
    url: URL, read: Callable[[Database], Awaitable[_Found]], nothing: _Found, *, earlier: bool = False
) -> _Found:
    """Return what `read` finds there, for somebody beside the server; `nothing`: where there is no database. Nothing is
    changed or made. `earlier`: also on a server whose schema is of an earlier version. Raises DatabaseError."""
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return nothing
    return asyncio.run(_look_at(url, read, nothing, earlier))


async def _look_at(url: URL, read: Callable[[Database], Awaitable[_Found]], nothing: _Found, earlier: bool) -> _Found:
    database = Database(url, read_only=True)
    try:
        if not database.is_sqlite and await database.read(_is_unused):
            return nothing
        if not earlier or database.is_sqlite:
            await database.check()
        return await read(database)
    except DatabaseError:
        raise
    except Exception as error:
        raise DatabaseError(f"{database.name}: {database.trouble(error)}") from None
    finally:
        await database.close()


def _one_at_a_time() -> asyncio.Lock:
    """Alembic keeps what it is doing in a global."""
    return _upgrading.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def _make_private(path: Path) -> None:
    """Readable by its owner only, from its first byte on; the files beside it take its mode."""
    private_files.make(path.parent)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    for beside in ("", "-wal", "-shm", "-journal", ".lock"):
        private_files.make_private(path.with_name(f"{path.name}{beside}"))


def _prepare(connection: Any, _: Any) -> None:
    """Set up a connection to a file. Called by threads."""
    _write_ahead(connection)
    for pragma in ("synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={_BUSY_MS}", f"cache_size=-{_CACHE_KIB}"):
        connection.execute(f"PRAGMA {pragma}").close()


def _limit(connection: Any, _: Any) -> None:
    """Set up a connection to a server. Not with the options of its start, which a pooler before the server refuses."""
    cursor = connection.cursor()
    cursor.execute(f"SET idle_in_transaction_session_timeout = {round(_STILL_SECONDS * 1000)}")
    cursor.close()
    connection.commit()


def _write_ahead(connection: Any) -> None:
    """Turn on the write-ahead log. SQLite itself does not wait while another process is doing that to a new file."""
    until = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
        time.sleep(_BUSY_PAUSE)


def _all(connection: Any, statement: str) -> list[Any]:
    cursor = connection.execute(statement)
    try:
        return list(cursor.fetchall())
    finally:
        cursor.close()


def _is_unused(connection: Connection) -> bool:
    """Whether a database of a server has no tables of ours yet."""
    return connection.execute(text("SELECT to_regclass('conversations')")).scalar() is None


def _revision(connection: Connection) -> str:
    """Of the schema that is there; "": none of ours."""
    try:
        with connection.begin_nested():  # a server would refuse all that follows a statement that failed
            return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")
    except DBAPIError as error:
        if "alembic_version" in str(error):
            return ""
        raise
