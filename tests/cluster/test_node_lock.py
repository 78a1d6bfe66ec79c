"""How the other nodes of a machine learn that a process has ended."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from callflow.cluster.node_lock import NodeLock


pytestmark = pytest.mark.process
HOLDS = """
import sys
from pathlib import Path
from callflow.cluster.node_lock import NodeLock
lock = NodeLock(Path(sys.argv[1]), "w2")
lock.take()
print("taken", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the lock of w2."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        yield process
        process.kill()


def ends(process: int) -> bool:
    return bool(select.select([process], [], [], 5)[0])


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the system does not tell of the end of a process")
def test_the_end_of_a_process_is_told_and_its_lock_is_free_then(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    lock = NodeLock(tmp_path, "w1")
    process = lock.process("w2")
    assert process is not None
    try:
        assert not select.select([process], [], [], 0)[0]
        assert not lock.is_dead("w2")
        other.send_signal(signal.SIGKILL)
        assert ends(process)
        assert lock.is_dead("w2"), "whoever is told looks at the lock"
    finally:
        os.close(process)


def test_nothing_is_told_of_a_process_that_has_ended_or_is_elsewhere(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    lock = NodeLock(tmp_path, "w1")
    other.kill()
    other.wait()
    assert (lock.process("w2"), lock.is_here("w2")) == (None, True), "its number may be another process's by now"
    assert (lock.process("b-w1"), lock.is_here("b-w1")) == (None, False)


def test_a_lock_of_an_earlier_version_names_no_process(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    (tmp_path / "w2.lock").write_text("")
    lock = NodeLock(tmp_path, "w1")
    assert lock.process("w2") is None
    assert not lock.is_dead("w2")
