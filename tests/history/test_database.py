"""The database: opened, brought up to date, refused."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import inspect, text

from callflow.history.database import Database, DatabaseError, url_of
from callflow.history.store import Query, Store
from callflow.history.tables import metadata
from callflow.settings import Settings


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

    return asyncio.run(main())


def test_an_empty_database_gets_the_schema_once(database_url: str) -> None:
    assert opened(database_url) is True
    assert opened(database_url) is False

    async def columns() -> dict[str, set[str]]:
        database = Database(url_of(database_url, "data"))
        async with database.engine.connect() as connection:
            found = await connection.run_sync(
                lambda sync: {
                    name: {one["name"] for one in inspect(sync).get_columns(name)} for name in metadata.tables
                }
            )
        await database.close()
        return found

    assert asyncio.run(columns()) == {name: set(table.columns.keys()) for name, table in metadata.tables.items()}


def test_the_file_is_for_its_owner_alone_and_foreign_keys_hold(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "callflow.db"
    assert opened(f"sqlite:///{path}")

    async def main() -> None:
        database = Database(url_of(f"sqlite:///{path}", "data"))
        async with database.engine.begin() as connection:
            pragmas = [(await connection.execute(text(f"PRAGMA {name}"))).scalar() for name in (
                "foreign_keys", "journal_mode", "synchronous")]  # fmt: skip
            assert pragmas == [1, "wal", 1]
            await connection.execute(
                text("INSERT INTO conversations (stream_sid, phone_number, started_at) VALUES ('a', 'b', 'c')")
            )
            for file in path.parent.iterdir():
                assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        await database.close()

    asyncio.run(main())


def test_a_database_of_the_earlier_system_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    old = sqlite3.connect(path)
    old.executescript(EARLIER)
    old.close()
    path.chmod(0o644)
    assert opened(f"sqlite:///{path}") is True
    assert opened(f"sqlite:///{path}") is False
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    async def main() -> None:
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
        assert await store.unfinished() == [], "calls of the earlier system are nobody's to take back"
        await database.close()

    asyncio.run(main())


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
    assert str(url_of("", "data")) == "sqlite+aiosqlite:///data/callflow.db"
    assert url_of("postgres://me:secret@host/calls?sslmode=require", "data").render_as_string(hide_password=False) == (
        "postgresql+asyncpg://me:secret@host/calls?ssl=require"
    )
    assert "secret" not in Database(url_of("postgresql://me:secret@host/calls", "data")).name
