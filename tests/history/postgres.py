"""A PostgreSQL server of the tests' own: its data in a temporary folder, reached by a socket in it, gone at the end."""

from __future__ import annotations

import os
from pathlib import Path

import asyncpg
import pytest

from callflow.cli.bench import postgres
from callflow.cli.bench.postgres import address as address
from callflow.cli.bench.postgres import programs as programs
from callflow.cli.bench.postgres import stop as stop
from tests.loop import run_apart


def create(url: str, name: str) -> None:
    """An empty database on that server."""

    async def main() -> None:
        connection = await asyncpg.connect(url.format(name="postgres"))
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()

    run_apart(main())


def start(more: Path | None = None) -> Path:
    """Start a server. `more`: a file of settings that it takes as well. Returns its folder. Skips where PostgreSQL is
    not installed; fails there in CI."""
    try:
        return postgres.start("fsync=off", more=more)
    except FileNotFoundError:
        if os.environ.get("CI") == "true":
            pytest.fail("PostgreSQL is not installed (Debian: postgresql), and CI=true")
        pytest.skip(postgres.MISSING)
