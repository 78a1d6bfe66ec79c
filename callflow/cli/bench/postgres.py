"""A PostgreSQL server for measurements and tests: its data in a temporary folder, reached by a socket in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final


_DEBIAN: Final = Path("/usr/lib/postgresql")
MISSING: Final = "PostgreSQL is not installed (Debian: apt install postgresql)"


def programs() -> Path | None:
    """Return where initdb and postgres lie; None: they are not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(_DEBIAN.glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


def address(folder: Path) -> str:
    """Return DATABASE_URL of the server in that folder, with `{name}` for the name of a database."""
    return f"postgresql://callflow@/{{name}}?host={folder}"


def start(*options: str, more: Path | None = None, place: str = "/tmp") -> Path:
    """Start a server, with options such as `fsync=off`, and with those of a file, in a new folder at that place, whose
    path must be short: a socket lies in it. Returns the folder.

    Raises FileNotFoundError if PostgreSQL is not installed, and CalledProcessError if it does not start.
    """
    bin_ = programs()
    if bin_ is None:
        raise FileNotFoundError(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="pg", dir=place))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        data = str(folder / "data")
        _run(str(bin_ / "initdb"), "-D", data, "-A", "trust", "-U", "callflow", "--no-sync", folder=folder)
        if more is not None:
            with (folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as file:
                file.write(more.read_text(encoding="utf-8"))
        all_ = ("listen_addresses=", f"unix_socket_directories={folder}", "max_connections=300", *options)
        given = " ".join(f"-c {option}" for option in all_)
        _run(str(bin_ / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", given, "start", folder=folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def process(folder: Path) -> int:
    """Return the id of the server's process."""
    return int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])


def stop(folder: Path) -> None:
    """Stop the server in that folder, and remove all it holds."""
    bin_ = programs()
    assert bin_ is not None
    try:
        _run(str(bin_ / "pg_ctl"), "-D", str(folder / "data"), "-w", "-m", "immediate", "stop", folder=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str, folder: Path) -> None:
    # It refuses to run as root.
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
