"""A PostgreSQL server of the tests' own: its data in a temporary folder, reached by a socket in it, gone at the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import asyncpg
import pytest

from tests.loop import run_apart


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

    run_apart(main())


def address(folder: Path) -> str:
    """DATABASE_URL of the server in that folder, with `{name}` for the name of a database."""
    return f"postgresql://callflow@/{{name}}?host={folder}"


def _run(*command: str, folder: Path) -> None:
    # It refuses to run as root.
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def start(more: Path | None = None) -> Path:
    """Start a server. `more`: a file of settings that it takes as well. Returns its folder. Skips where PostgreSQL is
    not installed; fails there in CI."""
    bin_ = programs()
    if bin_ is None:
        if os.environ.get("CI") == "true":
            pytest.fail("PostgreSQL is not installed (Debian: postgresql), and CI=true")
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    try:
        data = str(folder / "data")
        _run(str(bin_ / "initdb"), "-D", data, "-A", "trust", "-U", "callflow", "--no-sync", folder=folder)
        if more is not None:
            with (folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as file:
                file.write(more.read_text(encoding="utf-8"))
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=300"
        _run(str(bin_ / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start", folder=folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def stop(folder: Path) -> None:
    """Stop the server in that folder, and remove all it holds."""
    bin_ = programs()
    assert bin_ is not None
    try:
        _run(str(bin_ / "pg_ctl"), "-D", str(folder / "data"), "-w", "-m", "immediate", "stop", folder=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
