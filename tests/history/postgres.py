"""A PostgreSQL server of the tests' own: its data in a temporary folder, reached by a socket in it, gone at the end."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from callflow.cli.bench import postgres
from callflow.cli.bench.postgres import address as address
from callflow.cli.bench.postgres import programs as programs
from callflow.cli.bench.postgres import stop as stop
from callflow.history.database import Database, url_of
from tests.loop import run_apart


_TEMPLATE: Final = "as_the_first_start_leaves_it"


def create(url: str, name: str, *, empty: bool = False) -> None:
    """A database on that server, as the first start of Callflow leaves it; or an empty one.

    To make its tables takes 0.4 s of a core: it is done once for a server, and copied.
    """

    async def main() -> None:
        connection = await asyncpg.connect(url.format(name="postgres"))
        try:
            if empty:
                await connection.execute(f"CREATE DATABASE {name}")
                return
            await connection.execute("SELECT pg_advisory_lock(1)")  # until it is closed
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", _TEMPLATE):
                await connection.execute(f"CREATE DATABASE {_TEMPLATE}")
                database = Database(url_of(url.format(name=_TEMPLATE), ""))
                await database.migrate()
                await database.close()
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        finally:
            await connection.close()

    run_apart(main())


def start(more: Path | None = None) -> Path:
    """Start a server. `more`: a file of settings that it takes as well. Returns its folder. Skips where PostgreSQL is
    not installed; fails there in CI."""
    # A new database is 300 files, which cost ten times less in memory.
    place = tempfile.gettempdir() if tempfile.gettempdir().startswith("/dev/shm/") else "/tmp"
    try:
        return postgres.start("fsync=off", more=more, place=place)
    except FileNotFoundError:
        if os.environ.get("CI") == "true":
            pytest.fail("PostgreSQL is not installed (Debian: postgresql), and CI=true")
        pytest.skip(postgres.MISSING)
