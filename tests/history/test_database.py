"""The database: opened, brought up to date, refused."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import threading
import uuid
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import Connection, insert, inspect, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from callflow.config.settings import Settings
from callflow.history.database import Database, DatabaseError, url_of
from callflow.history.query import Query
from callflow.history.store import Store
from callflow.history.tables import metadata
from tests.history import postgres
from tests.history.sql import execute
from tests.loop import run_apart


EARLIER = """
CREATE TABLE conversations (
  id INTEGER PRIMARY KEY AUTOINCREMENT, stream_sid TEXT UNIQUE NOT NULL, phone_number TEXT NOT NULL,
  phone_number_sid TEXT, caller_number TEXT, started_at DATETIME NOT NULL, ended_at DATETIME, duration_seconds INTEGER,
  message_count INTEGER DEFAULT 0, created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE conversation_items (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  conversation_id INTEGER NOT NULL REFERENCES conversations(id) ON DELETE CASCADE, item_id TEXT NOT NULL,
  item_type TEXT NOT NULL, role TEXT, content TEXT, status TEXT, timestamp DATETIME, call_id TEXT, function_name TEXT,
  function_params TEXT, function_output TEXT, created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
  UNIQUE(conversation_id, item_id));
CREATE INDEX idx_conversations_phone_number ON conversations(phone_number);
CREATE INDEX idx_conversations_started_at ON conversations(started_at DESC);
CREATE INDEX idx_items_conversation_id ON conversation_items(conversation_id);
INSERT INTO conversations
  (stream_sid, phone_number, caller_number, started_at, ended_at, duration_seconds, message_count)
  VALUES ('MZold1', '+15550100002', '+15550100001', '2025-12-01 23:00:00', '2025-12-01 23:01:30', 90, 2),
         ('MZold2', '+15550100002', '+15550100009', '2025-12-02 08:00:00', NULL, NULL, 0);
INSERT INTO conversation_items (conversation_id, item_id, item_type, role, content, status, timestamp)
  VALUES (1, 'item_a', 'message', 'assistant', '[{"type":"text","text":"Welcome to the bakery"}]', 'completed',
          '2025-12-01 23:00:02'),
         (1, 'item_b', 'message', 'user', '[{"type":"input_text","text":"A loaf of rye please"}]', 'completed',
          '2025-12-01T23:00:05.250Z'),
         (1, 'item_c', 'message', 'assistant', 'not JSON', 'in_progress', '2025-12-01 23:00:07');
"""


def opened(url: str) -> bool:
    async def main() -> bool:
        database = Database(url_of(url, "data"))
        try:
            return await database.migrate()
        finally:
            await database.close()

    return run_apart(main())


def test_an_empty_database_gets_the_schema_once(empty_database_url: str) -> None:
    assert opened(empty_database_url) is True
    assert opened(empty_database_url) is False

    async def columns() -> dict[str, set[str]]:
        database = Database(url_of(empty_database_url, "data"))
        found = await database.read(
            lambda connection: {
                name: {one["name"] for one in inspect(connection).get_columns(name)} for name in metadata.tables
            }
        )
        await database.close()
        return found

    assert asyncio.run(columns()) == {name: set(table.columns.keys()) for name, table in metadata.tables.items()}


async def test_the_file_is_for_its_owner_alone_and_foreign_keys_hold(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "callflow.db"
    assert opened(f"sqlite:///{path}")
    database = Database(url_of(f"sqlite:///{path}", "data"))

    def work(connection: Connection) -> None:
        pragmas = [
            connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("foreign_keys", "journal_mode", "synchronous")
        ]
        assert pragmas == [1, "wal", 1]
        connection.execute(
            text("INSERT INTO conversations (stream_sid, phone_number, started_at) VALUES ('a', 'b', 'c')")
        )
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file

    await database.write(work)
    await database.close()


async def test_a_database_of_the_earlier_system_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    old = sqlite3.connect(path)
    old.executescript(EARLIER)
    old.close()
    path.chmod(0o644)
    assert opened(f"sqlite:///{path}") is True
    assert opened(f"sqlite:///{path}") is False
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    database = Database(url_of(f"sqlite:///{path}", "data"))
    store = Store(database)
    newest, oldest = await store.find(Query())
    assert (oldest["stream_sid"], oldest["started_at"], oldest["ended_at"], oldest["duration_seconds"]) == (
        "MZold1", "2025-12-01T23:00:00.000Z", "2025-12-01T23:01:30.000Z", 90,
    )  # fmt: skip
    assert newest["ended_at"] is None
    items = await store.items(oldest["id"])
    assert [item["timestamp"] for item in items] == [
        "2025-12-01T23:00:02.000Z", "2025-12-01T23:00:05.250Z", "2025-12-01T23:00:07.000Z",
    ]  # fmt: skip
    assert [row["stream_sid"] for row in await store.find(Query(words="rye"))] == ["MZold1"]
    assert await store.unfinished() == [], "calls of the earlier system are nobody's to recover"
    await database.close()


async def test_calls_of_before_the_answer_was_kept_have_it_from_their_transitions(database_url: str) -> None:
    database = Database(url_of(database_url, "data"))
    await database.migrate()
    calls = {
        "answered": ("2026-01-31T23:59:58.000Z", "'2026-02-01T00:00:10.250Z'"),
        "not answered": ("2026-01-31T10:00:00.000Z", "'2026-01-31T10:00:20.000Z'"),
        "still live": ("2026-01-31T12:00:00.000Z", "NULL"),
    }
    moves = {
        "2026-01-31T23:59:59.500Z": (1, "ringing", "answered"),
        "2026-02-01T00:00:00.000Z": (1, "answered", "streaming"),
        "2026-01-31T10:00:20.000Z": (2, "ringing", "hangup"),
        "2026-01-31T12:00:01.000Z": (3, "ringing", "answered"),
    }
    await execute(
        database,
        *(
            "INSERT INTO conversations (id, stream_sid, call_id, phone_number, started_at, ended_at) "
            f"VALUES ({number}, '{call}', '{call}', '+15550100002', '{began}', {ended})"
            for number, (call, (began, ended)) in enumerate(calls.items(), start=1)
        ),
        *(
            "INSERT INTO transitions (conversation_id, at, event, before, after) "
            f"VALUES ({number}, '{at}', 'a', '{before}', '{after}')"
            for at, (number, before, after) in moves.items()
        ),
        "UPDATE alembic_version SET version_num = '0025'",
    )
    assert await database.migrate() is True
    wanted = text("SELECT call_id, answered_at, answered_seconds FROM conversations ORDER BY id")
    rows = await database.read(lambda connection: [tuple(row) for row in connection.execute(wanted)])
    assert rows == [
        ("answered", "2026-01-31T23:59:59.500Z", 10.75),
        ("not answered", None, None),
        ("still live", "2026-01-31T12:00:01.000Z", None),
    ]
    await database.close()


def test_a_migration_that_was_killed_is_run_again(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    old = sqlite3.connect(path)
    old.executescript(EARLIER)
    old.close()
    assert opened(f"sqlite:///{path}")
    again = sqlite3.connect(path)
    again.execute("UPDATE alembic_version SET version_num = '0001'")
    again.commit()
    again.close()
    assert opened(f"sqlite:///{path}") is True


def test_a_database_of_a_newer_callflow_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "callflow.db"
    opened(f"sqlite:///{path}")
    newer = sqlite3.connect(path)
    newer.execute("UPDATE alembic_version SET version_num = '9999'")
    newer.commit()
    newer.close()
    with pytest.raises(DatabaseError, match="newer Callflow"):
        opened(f"sqlite:///{path}")


@pytest.mark.parametrize("given", ["mysql://host/x", "nonsense", "sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_an_address_that_cannot_be_used_says_what_can(given: str) -> None:
    with pytest.raises(ValidationError, match=r"sqlite:///PATH or postgresql://"):
        Settings(database_url=given)
    with pytest.raises(DatabaseError, match="is not an address"):
        url_of("postgresql://host:port/calls", "data")


def test_addresses_get_their_drivers() -> None:
    assert str(url_of("", "data")) == "sqlite:///data/callflow.db"
    assert url_of("postgres://me:secret@host/calls?sslmode=require", "data").render_as_string(hide_password=False) == (
        "postgresql+asyncpg://me:secret@host/calls?ssl=require"
    )


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://me:se/cret@host/x", "postgresql://me:12/secret@host/x", "postgresql://me:se?cret@host/x",
        "postgresql://me:se#cret@host/x", "postgresql://me:se@cret@host/x", "postgresql://me:se cret@host/x",
        "postgresql://me:s%2Fe:\\cret@host/x", "postgresql://host:secret/x",
    ],
)  # fmt: skip
def test_an_address_that_can_be_read_in_two_ways_is_refused_without_a_word_of_it(given: str) -> None:
    with pytest.raises(DatabaseError, match=r"DATABASE_URL .*percent-encoded") as caught:
        url_of(given, "data")
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("postgresql://me:secret@host/calls", "postgresql://host/calls"),
        ("postgres://me:s%2Fe%40cret@host:5433/calls?password=secret&ssl=require", "postgresql://host:5433/calls"),
        ("postgresql://me@[::1]:5433/calls?password=se/cret", "postgresql://[::1]:5433/calls"),
        ("postgresql:///calls?host=/run/postgresql&user=me", "postgresql:///calls"),
        ("postgresql://me:secret@host", "postgresql://host/"),
        ("postgresql://me:secret@host/calls%40secret", "postgresql://…"),
        ("sqlite:///some/where.db", "some/where.db"),
    ],
)
def test_the_name_of_a_database_is_its_server_and_its_own(given: str, name: str) -> None:
    assert Database(url_of(given, "data")).name == name


URL = "postgresql://me:pw%2F7@host/calls?password=abc&sslmode=require&application_name=Zq9name"
TROUBLE: list[tuple[Exception, str]] = [
    (OSError("Connect call failed ('10.0.0.1', 5432)"), "Connect call failed ('10.0.0.1', 5432)"),
    (TimeoutError(), "no answer in time"),
    (ValueError("no server takes 'pw/7'"), "ValueError"),
    (ValueError("no server takes pw%2F7"), "ValueError"),
    (ValueError("invalid DSN postgresql://me:pw%2F7@host"), "ValueError"),
    (ValueError("application_name is 'Zq9name'"), "ValueError"),
    (ValueError("got abc"), "ValueError"),
    (ValueError("SSL is required\nDETAIL: pw/7"), "SSL is required"),
    (
        DBAPIError(
            "INSERT INTO steps …", {"text": "what a caller said"}, sqlite3.OperationalError("disk is full\nmore")
        ),
        "disk is full",
    ),
]


@pytest.mark.parametrize(("error", "said"), TROUBLE)
def test_of_trouble_the_first_line_is_told_unless_it_holds_a_secret(error: Exception, said: str) -> None:
    assert Database(url_of(URL, "data")).trouble(error) == said


async def test_an_error_holds_the_statement_and_not_what_a_caller_said(database_url: str) -> None:
    database = Database(url_of(database_url, "data"))
    await database.migrate()

    def twice(connection: Connection) -> None:
        row = {"stream_sid": "MZ1", "phone_number": "Zq9 said by a caller", "started_at": "2026-01-01"}
        connection.execute(insert(metadata.tables["conversations"]), [row, row])

    with pytest.raises(IntegrityError) as caught:
        await database.write(twice)
    assert "INSERT" in str(caught.value)
    assert "Zq9" not in str(caught.value)
    assert "Zq9" not in database.trouble(caught.value)
    await database.close()


async def test_a_pooler_of_transactions_is_named_as_what_is_wrong(postgresql: str) -> None:
    """Such a pooler gives each transaction another session, in which nothing is prepared."""
    name = f"test_{uuid.uuid4().hex}"
    await asyncio.to_thread(postgres.create, postgresql, name)
    database = Database(url_of(postgresql.format(name=name), ""))

    def work(connection: Connection) -> None:
        for forget in (True, False):
            connection.execute(text("SELECT count(*) FROM claims"))
            if forget:
                connection.exec_driver_sql("DEALLOCATE ALL")

    with pytest.raises(DBAPIError) as caught:
        await database.read(work)
    assert "must pool sessions" in database.trouble(caught.value)
    await database.close()


def test_files_that_were_left_open_are_narrowed_and_the_folder_of_others_is_not(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name in ("callflow.db-wal", "callflow.db-shm", "callflow.db.lock"):
        (tmp_path / name).touch(0o644)
        (tmp_path / name).chmod(0o644)
    opened(f"sqlite:///{tmp_path}/callflow.db")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755, "DATABASE_URL may lead into any folder"
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_neither_reading_nor_writing_runs_on_the_loop_that_asks(database_url: str) -> None:
    """On PostgreSQL both did, with the dicts that were made of rows and the files that were looked at."""
    database = Database(url_of(database_url, "data"))
    try:
        for run in (database.read, database.write):
            assert await run(lambda _: threading.get_ident()) != threading.get_ident()
    finally:
        await database.close()


async def test_who_is_cancelled_waits_until_the_transaction_of_the_server_has_ended(postgresql: str) -> None:
    database = Database(url_of(postgresql.format(name="postgres"), ""))
    begun, ended = threading.Event(), threading.Event()

    def work(connection: Connection) -> None:
        begun.set()
        try:
            connection.execute(text("SELECT pg_sleep(4)"))
        finally:
            ended.set()

    try:
        writing = asyncio.create_task(database.write(work))
        await asyncio.to_thread(begun.wait, 5)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert ended.is_set()
    finally:
        await database.close()
    with pytest.raises(DatabaseError, match="closed"):
        await database.read(lambda _: None)
