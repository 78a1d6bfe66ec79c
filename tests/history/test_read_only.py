"""Readers beside the server: they see all that is on record, whatever wrote it, and leave everything as it was."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from callflow.history.database import Database, DatabaseError, url_of
from callflow.history.query import Query
from callflow.history.store import Store
from tests.history.sql import execute
from tests.history.test_database import EARLIER, opened


def url(path: Path) -> str:
    return f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}"


def earlier(path: Path, mode: str = "delete") -> None:
    made = sqlite3.connect(path)
    made.execute(f"PRAGMA journal_mode={mode}")
    made.executescript(EARLIER)
    made.close()


_DIES: str = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size=1")
database.execute("BEGIN")
database.execute("UPDATE conversations SET phone_number = 'half'")
database.execute("CREATE TABLE large (a)")
database.executemany("INSERT INTO large VALUES (?)", [("x" * 4000,)] * 200)
if sys.argv[2] == "commit":
    database.execute("COMMIT")
os.kill(os.getpid(), 9)
"""


def die(path: Path, how: str) -> None:
    """A process writes into it, and is killed."""
    subprocess.run([sys.executable, "-c", _DIES, str(path), how], check=False)


def write_ahead(path: Path) -> None:
    earlier(path, "wal")


def killed_write_ahead(path: Path) -> None:
    earlier(path, "wal")
    die(path, "commit")
    assert path.with_name(f"{path.name}-wal").stat().st_size


def copied_with_its_log(path: Path) -> None:
    """A backup: the file and its `-wal`, without the `-shm`."""
    killed_write_ahead(path)
    path.with_name(f"{path.name}-shm").unlink()


def killed_in_a_transaction(path: Path) -> None:
    earlier(path)
    die(path, "leave it")
    assert path.with_name(f"{path.name}-journal").stat().st_size


def half_migrated(path: Path) -> None:
    earlier(path)
    assert opened(url(path))
    made = sqlite3.connect(path)
    made.executescript(
        "PRAGMA journal_mode=delete; DROP TABLE transitions; DROP TABLE conversation_search; "
        "UPDATE alembic_version SET version_num = '0001'"
    )
    made.close()


def migrated(path: Path) -> None:
    earlier(path)
    assert opened(url(path))


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its bytes and when it was changed. An index of the log that is there already is SQLite's own."""
    return {
        each.name: (b"", 0) if each.name.endswith("-shm") else (each.read_bytes(), each.stat().st_mtime_ns)
        for each in folder.iterdir()
    }


async def all_of(url: str) -> dict[str, Any]:
    database = Database(url_of(url, "data"), read_only=True)
    try:
        await database.check()
        store = Store(database)
        newest, oldest = await store.find(Query())
        for name in ("MZold1", "mzold1", "MZOLD"):
            assert oldest in await store.like(name)
        return {
            "rows": [newest, oldest],
            "items": await store.items(oldest["id"]),
            "by words": [row["stream_sid"] for row in await store.find(Query(words='rye "loaf of"'))],
            "by date": [row["stream_sid"] for row in await store.find(Query(since="2025-12-01", until="2025-12-01"))],
            "over": [row["stream_sid"] for row in await store.find(Query(live=False))],
            "details": await store.details(oldest["id"]),
            "unfinished": await store.unfinished(),
            "lately": await store.lately(["ended"]),
        }
    finally:
        await database.close()


SHAPES: dict[str, Callable[[Path], None]] = {
    "as it was": earlier, "write-ahead": write_ahead, "killed, write-ahead": killed_write_ahead,
    "copied": copied_with_its_log, "killed in a transaction": killed_in_a_transaction,
    "half migrated": half_migrated, "ours": migrated,
}  # fmt: skip


@pytest.mark.process
@pytest.mark.parametrize("shape", SHAPES)
def test_a_reader_sees_the_same_as_the_server_and_changes_nothing(shape: str, tmp_path: Path) -> None:
    folder, twin = tmp_path / "folder", tmp_path / "twin"
    folder.mkdir()
    path = folder / "what? is 100% #old.db"
    SHAPES[shape](path)
    shutil.copytree(folder, twin)
    before = state(folder)
    read = asyncio.run(all_of(url(path)))
    assert state(folder) == before
    assert read["by words"] == ["MZold1"]
    assert [item["timestamp"] for item in read["items"]][1:] == ["2025-12-01T23:00:05.250Z", "2025-12-01T23:00:07.000Z"]
    again = twin / "plain.db"
    for each in list(twin.iterdir()):
        each.rename(twin / each.name.replace(path.name, again.name))
    opened(url(again))
    assert asyncio.run(all_of(url(again))) == read, "brought up to date, it tells something else"


@pytest.mark.process
def test_it_can_be_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    for number, make in enumerate(SHAPES.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        make(folder / "old.db")
        for each in folder.iterdir():
            each.chmod(0o444)
        folder.chmod(0o555)
        before = state(folder)
        assert asyncio.run(all_of(f"sqlite:///{folder}/old.db"))["rows"]
        assert state(folder) == before
        folder.chmod(0o755)


async def test_a_reader_cannot_write(database_url: str) -> None:
    opened(database_url)
    database = Database(url_of(database_url, "data"), read_only=True)
    await database.check()
    for statement in ("DELETE FROM steps", "CREATE TABLE x (a INTEGER)"):
        with pytest.raises(DBAPIError, match=r"read-?only"):
            await execute(database, statement)
    await database.close()


def test_what_is_no_record_is_told_with_what_to_do_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    (tmp_path / "garbage.db").write_bytes(b"no database at all" * 300)
    (tmp_path / "torn.db").write_bytes(b"SQLite format 3\x00" + b"\x10\x00\x01\x01" + os.urandom(9000))
    (tmp_path / "folder.db").mkdir()
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE recipes (name)")
    other.close()
    migrated(tmp_path / "newer.db")
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute("UPDATE alembic_version SET version_num = '9999'")
    newer.commit()
    newer.execute("PRAGMA journal_mode=delete")
    newer.close()
    before = state_of_files(tmp_path)

    async def refused(name: str) -> str:
        database = Database(url_of(f"sqlite:///{tmp_path / name}", "data"), read_only=True)
        with pytest.raises(DatabaseError) as error:
            await database.check()
        await database.close()
        return str(error.value)

    for name, what in {
        "none.db": "there is no history in", "no/folder/none.db": "there is no history in",
        "empty.db": "which is empty",
        "garbage.db": "is no SQLite database", "torn.db": "cannot be read", "folder.db": "cannot be read",
        "other.db": "no history of calls", "newer.db": "newer Callflow",
    }.items():  # fmt: skip
        told = asyncio.run(refused(name))
        assert what in told, name
        assert any(next_ in told for next_ in ("start Callflow's server once", "DATABASE_URL", "update it")), name
        assert "\n" not in told
    assert state_of_files(tmp_path) == before


def state_of_files(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}


async def test_an_empty_database_of_a_server_has_no_record_yet(postgresql: str) -> None:
    from tests.history import postgres

    postgres.create(postgresql, "nobody_has_been_here", empty=True)
    url = postgresql.format(name="nobody_has_been_here")
    database = Database(url_of(url, "data"), read_only=True)
    with pytest.raises(DatabaseError, match="start Callflow's server once"):
        await database.check()
    await database.close()


async def test_readers_follow_a_server_that_comes_and_goes(tmp_path: Path) -> None:
    """One process reads for days: the database is brought up to date under it, written into, and let go of."""
    path = tmp_path / "old.db"
    earlier(path)
    reader = Store(Database(url_of(url(path), "data"), read_only=True))
    assert len(await reader.find(Query())) == 2
    server = Database(url_of(url(path), "data"))
    await server.migrate()
    for number in range(3):
        await execute(
            server,
            "INSERT INTO conversations (stream_sid, phone_number, started_at) VALUES (:a, 'b', 'c')",
            row={"a": f"new{number}"},
        )
        await reader.database.check()
        assert len(await reader.find(Query())) == 3 + number
    await server.close()
    assert list(state_of_files(tmp_path)) == ["old.db"]
    assert len(await reader.find(Query())) == 5
    assert list(state_of_files(tmp_path)) == ["old.db"], "the reader left something behind"
    await reader.database.close()
