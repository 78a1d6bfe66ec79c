"""A lock on a file for as long as a process lives: so the others of the same machine see its death at once.

The kernel lets go of it when the process ends, however it ends. A process that is only stopped keeps it: then its lease
runs out.

A free lock proves something only about the process that wrote the file, at this place and since the machine started. A
copy of the folder on another machine, or one that a node of that name left behind before it moved, says nothing about
the node that has the name now.
"""

from __future__ import annotations

import fcntl
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from callflow.config import file_locks, private_files
from callflow.contracts.errors import Overloaded


_PATIENCE_SECONDS: Final = 1.0
"""How long a start waits for the lock: whoever looks whether a process has died holds it for a moment."""
_MOST_BYTES: Final = 256
"""Of the file: see `_Kept`."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a lock's file says of the process that had it last, if that was here."""

    process: int = 0
    epoch: int = 0
    """Of its node; 0: it did not join."""


def _boot() -> str:
    """Return what no other machine has, and this one not after its next start."""
    try:
        return _BOOT.read_text().strip()
    except OSError:  # the system has none
        return "".join(platform.node().split())


def _place(file: int) -> str:
    """Return where a file is: a copy of it is elsewhere."""
    of = os.fstat(file)
    return f"{_boot()}:{of.st_dev}:{of.st_ino}"


def _read(file: int) -> _Kept:
    found = os.pread(file, _MOST_BYTES, 0).decode("ascii", "replace").split()
    if len(found) != 3 or found[2] != _place(file) or not (found[0].isdecimal() and found[1].isdecimal()):
        return _Kept()
    return _Kept(int(found[0]), int(found[1]))


class NodeLock:
    """The lock of one node, in a folder that all nodes of the machine share."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._file: int | None = None
        self.epoch = 0
        """Under which a process of this machine last was this node; 0: none was, as far as is known."""

    def take(self) -> None:
        """Take the lock. Raises Overloaded if a living process has it, and OSError."""
        if self._file is not None:
            return
        private_files.make(self._folder)
        file = os.open(self._path(self._name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not file_locks.hold(file, _PATIENCE_SECONDS):
                raise Overloaded(f"another process serves as node {self._name} here")
        except BaseException:
            os.close(file)
            raise
        self.epoch = _read(file).epoch
        self._file = file
        self.remember(self.epoch)

    def remember(self, epoch: int) -> None:
        """Keep the epoch of this node for the process that comes next under its name here. Raises OSError; then `epoch`
        is what it was."""
        assert self._file is not None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()} {epoch} {_place(self._file)}".encode(), 0)
        self.epoch = epoch

    def release(self) -> None:
        """Release the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def is_free(self, name: str) -> bool:
        """Return whether no living process of this machine has the lock of this name."""
        return self._last(name) is not None or not self._path(name).exists()

    def is_dead(self, name: str, epoch: int) -> bool:
        """Return whether the process that was another node under this epoch has ended. False where it was not one of
        this machine, as far as is known."""
        last = self._last(name)
        return bool(epoch) and last is not None and last.epoch == epoch

    def is_here(self, name: str, epoch: int) -> bool:
        """Return whether another node is, or was, under this epoch, one of this machine."""
        return bool(epoch) and self._kept(name).epoch == epoch

    def process(self, name: str, epoch: int) -> int | None:
        """Return a file descriptor that becomes readable when another node's process ends; close it. None: it is not of
        this machine, or has ended, or the system has nothing of the kind (Linux has, pidfd).

        In a container of its own its number may be another process's here: then its end is seen at the next renewal."""
        pidfd: int | None = None
        kept = self._kept(name)
        if not epoch or kept.epoch != epoch:
            return None
        try:
            pidfd = os.pidfd_open(kept.process)
        except (AttributeError, OSError):
            return None
        if self.is_dead(name, epoch):  # then the number may be another process's by now
            os.close(pidfd)
            return None
        return pidfd

    def _kept(self, name: str) -> _Kept:
        try:
            file = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return _Kept()
        try:
            return _read(file)
        finally:
            os.close(file)

    def _last(self, name: str) -> _Kept | None:
        """Return what the lock's file says if nobody has the lock now. None: somebody has, or there is no such file."""
        try:
            file = os.open(self._path(name), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return _read(file)  # while nobody can take it
        except OSError:
            return None
        finally:
            os.close(file)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"
