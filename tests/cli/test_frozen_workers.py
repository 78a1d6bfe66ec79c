"""Workers that are stopped: those that hold the SQLite file are found, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from callflow.cli import frozen_workers as module
from callflow.cli.frozen_workers import PATIENCE_SECONDS, FrozenWorkers


pytestmark = [
    pytest.mark.process, pytest.mark.skipif(not hasattr(os, "waitid"), reason="this system does not tell of stops")
]  # fmt: skip
_HOLDS: Final = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode=WAL")
if sys.argv[2] == "writes":
    connection.execute("BEGIN IMMEDIATE")
print("ready", flush=True)
time.sleep(60)
"""


@contextmanager
def worker(database: Path, *, writes: bool) -> Iterator[int]:
    """A process that has the file open, within a transaction or not."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDS, str(database), "writes" if writes else "rests"], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def stop(pid: int, number: int) -> None:
    """Send it, and wait until the system says that it has happened."""
    os.kill(pid, number)
    wanted = "T" if number == signal.SIGSTOP else "S"
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != wanted:
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUSY_SECONDS", 0.05)


@pytest.mark.parametrize("writes", [True, False])
def test_one_that_was_stopped_while_it_wrote_is_found_after_a_second(tmp_path: Path, writes: bool) -> None:
    clock = Clock()
    with worker(tmp_path / "callflow.db", writes=writes) as pid:
        stopped = FrozenWorkers(tmp_path / "callflow.db", clock)
        assert (stopped.holding([pid]), stopped.due) == ([], None), "it runs"
        stop(pid, signal.SIGSTOP)
        assert (stopped.holding([pid]), stopped.due) == ([], PATIENCE_SECONDS)
        clock.now = PATIENCE_SECONDS
        assert stopped.holding([pid]) == ([pid] if writes else [])
        assert stopped.due is None


def test_one_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    clock = Clock()
    with worker(tmp_path / "callflow.db", writes=True) as pid:
        stopped = FrozenWorkers(tmp_path / "callflow.db", clock)
        stop(pid, signal.SIGSTOP)
        stopped.holding([pid])
        stop(pid, signal.SIGCONT)
        clock.now = PATIENCE_SECONDS
        assert stopped.holding([pid]) == []


def test_a_database_that_is_no_file_is_none_of_its_business(tmp_path: Path) -> None:
    with worker(tmp_path / "callflow.db", writes=True) as pid:
        stopped = FrozenWorkers(None)
        stop(pid, signal.SIGSTOP)
        assert (stopped.holding([pid]), stopped.due) == ([], None)


def test_one_that_has_ended_is_forgotten(tmp_path: Path) -> None:
    with worker(tmp_path / "callflow.db", writes=True) as pid:
        stopped = FrozenWorkers(tmp_path / "callflow.db", Clock())
        stop(pid, signal.SIGSTOP)
        stopped.holding([pid])
        os.kill(pid, signal.SIGKILL)
        assert (stopped.holding([]), stopped.due) == ([], None)
