"""A PostgreSQL server of the tests' own: its data in a temporary folder, reached by a socket in it, gone at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest


_DEBIAN = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """Where initdb and postgres lie; None: they are not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(_DEBIAN.glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


def create(url: str, name: str) -> None:
    """An empty database on that server."""

    async def main() -> None:
        connection = await asyncpg.connect(url.format(name="postgres"))
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()

    asyncio.run(main())


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Its DATABASE_URL, without the name of a database. Skips where PostgreSQL is not installed; fails there in CI."""
    bin_ = programs()
    if bin_ is None:
        if os.environ.get("CI") == "true":
            pytest.fail("PostgreSQL is not installed (Debian: postgresql), and CI=true")
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    # It refuses to run as root.
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    if prefix:
        shutil.chown(folder, "postgres")
    run = {"check": True, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    data = folder / "data"
    try:
        subprocess.run([*prefix, str(bin_ / "initdb"), "-D", str(data), "-A", "trust", "-U", "callflow"], **run)  # type: ignore[call-overload]
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=300"
        control = [*prefix, str(bin_ / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log")]
        subprocess.run([*control, "-o", options, "start"], **run)  # type: ignore[call-overload]
        try:
            yield f"postgresql://callflow@/{{name}}?host={folder}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **run)  # type: ignore[call-overload]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
