"""The schema of a new file: written from the migrations, and the same as theirs."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from callflow.cli import schema_file
from callflow.history import new_file
from callflow.history.database import HEAD
from tests.history.test_database import EARLIER, opened


_START = """
import asyncio, sys
from callflow.history.database import Database, url_of

async def main():
    database = Database(url_of(f"sqlite:///{sys.argv[1]}", "data"))
    print("ready", flush=True)
    sys.stdin.readline()
    print(await database.migrate(), "alembic" in sys.modules, flush=True)
    await database.close()

asyncio.run(main())
"""


def made(path: Path) -> dict[str, str]:
    """What SQLite has on record of each table and index, but for spaces, and the rows of the new database."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        rows = file.execute("SELECT name, sql FROM sqlite_master").fetchall()
        found = {str(name): re.sub(r"\s+", " ", str(sql)).replace(" ,", ",") for name, sql in rows}
        tables = [name for name in found if not name.startswith(("sqlite_autoindex", "idx_"))]
        return found | {f"rows of {name}": str(file.execute(f"SELECT * FROM {name}").fetchall()) for name in tables}


def _starting(path: Path) -> subprocess.Popen[str]:
    """A process that opens this database as soon as it is given a line."""
    command = [sys.executable, "-c", _START, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_the_script_is_up_to_date() -> None:
    script = new_file.FILE.read_text(encoding="utf-8")
    assert script == schema_file.render(), f"the migrations have changed: run `{schema_file.COMMAND}`"
    assert f"VALUES ('{HEAD}')" in script


def test_a_new_file_is_as_the_migrations_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert opened(f"sqlite:///{tmp_path / 'made.db'}") is True
    monkeypatch.setattr(new_file, "is_new", lambda connection: False)
    assert opened(f"sqlite:///{tmp_path / 'migrated.db'}") is True
    assert made(tmp_path / "made.db") == made(tmp_path / "migrated.db")
    assert "conversation_search_data" in made(tmp_path / "made.db"), "the words are searched"


def test_a_file_that_is_not_new_is_migrated(tmp_path: Path) -> None:
    for name, script in (("earlier", EARLIER), ("others", "CREATE TABLE kept (a); INSERT INTO kept VALUES ('x')")):
        path = tmp_path / f"{name}.db"
        with contextlib.closing(sqlite3.connect(path)) as file:
            file.executescript(script)
        before = made(path)
        assert opened(f"sqlite:///{path}") is True
        assert opened(f"sqlite:///{path}") is False
        after = made(path)
        assert after["rows of alembic_version"] == f"[('{HEAD}',)]"
        assert before.keys() <= after.keys()
        assert after.get("kept") == before.get("kept")


@pytest.mark.proof
@pytest.mark.process
def test_two_processes_that_start_at_the_same_moment_both_find_the_schema(tmp_path: Path) -> None:
    """One of them makes it; neither loads Alembic for it."""
    for number in range(3):
        path = tmp_path / f"{number}.db"
        command = [sys.executable, "-c", _START, str(path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with contextlib.ExitStack() as stack:
            both = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(2)]  # type: ignore[call-overload]
            assert [one.stdout.readline() for one in both] == ["ready\n"] * 2
            for one in both:
                one.stdin.write("go\n")
                one.stdin.flush()
            said = [one.stdout.read().split() for one in both]
            assert [one.wait() for one in both] == [0, 0]
        assert sorted(words[1] for words in said) == ["False", "False"]
        assert "True" in {words[0] for words in said}
        assert made(path)["rows of alembic_version"] == f"[('{HEAD}',)]"
