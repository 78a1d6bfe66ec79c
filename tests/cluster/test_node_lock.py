"""How the other nodes of a machine learn that a process has ended."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from callflow.cluster import node_lock
from callflow.cluster.node_lock import NodeLock


pytestmark = pytest.mark.process
HOLDS = """
import sys
from pathlib import Path
from callflow.cluster.node_lock import NodeLock
lock = NodeLock(Path(sys.argv[1]), "w2")
lock.take()
lock.remember(7)
print("taken", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the lock of w2, and was told epoch 7."""
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
    process = lock.process("w2", 7)
    assert process is not None
    try:
        assert not select.select([process], [], [], 0)[0]
        assert (lock.is_dead("w2", 7), lock.is_free("w2")) == (False, False)
        other.send_signal(signal.SIGKILL)
        assert ends(process)
        assert lock.is_dead("w2", 7), "whoever is told looks at the lock"
        assert (lock.is_free("w2"), lock.is_free("w3")) == (True, True)
    finally:
        os.close(process)


def test_nothing_is_told_of_a_process_that_has_ended_or_is_elsewhere(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    lock = NodeLock(tmp_path, "w1")
    other.kill()
    other.wait()
    assert (lock.process("w2", 7), lock.is_here("w2", 7)) == (None, True), "its number may be another process's by now"
    assert (lock.process("b-w1", 7), lock.is_here("b-w1", 7)) == (None, False)


@pytest.mark.parametrize("kept", ["", "{process} 7"])
def test_a_lock_of_an_earlier_version_proves_nothing(tmp_path: Path, other: subprocess.Popen[str], kept: str) -> None:
    (tmp_path / "w2.lock").write_text(kept.format(process=other.pid))
    lock = NodeLock(tmp_path, "w1")
    assert (lock.process("w2", 7), lock.is_here("w2", 7)) == (None, False)
    other.kill()
    other.wait()
    assert (lock.is_dead("w2", 7), lock.is_free("w2")) == (False, True)


@pytest.mark.parametrize("how", ["another epoch", "a copy", "another start of the machine"])
def test_the_free_lock_of_another_life_of_a_node_is_no_proof_that_it_is_dead(
    tmp_path: Path, other: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A data folder was copied to add a machine, or a node has moved: it was declared dead twice a second."""
    other.kill()
    other.wait()
    folder, epoch = tmp_path, 7
    if how == "another epoch":
        epoch = 8
    elif how == "a copy":
        folder = tmp_path / "other machine"
        folder.mkdir()
        shutil.copy2(tmp_path / "w2.lock", folder)
    else:
        boot = tmp_path / "boot_id"
        boot.write_text("another\n")
        monkeypatch.setattr(node_lock, "_BOOT", boot)
    lock = NodeLock(folder, "w1")
    assert NodeLock(tmp_path, "w1").is_dead("w2", 7) is (how != "another start of the machine")
    assert not lock.is_dead("w2", epoch)
    assert (lock.process("w2", epoch), lock.is_here("w2", epoch)) == (None, False)
    mine = NodeLock(folder, "w2")
    mine.take()
    assert mine.epoch == (7 if how == "another epoch" else 0), "a living node may have that epoch elsewhere"
    mine.release()
