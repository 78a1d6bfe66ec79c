"""A lock on a file for as long as a process lives: so the others of the same machine see its death at once.

The kernel lets go of it when the process ends, however it ends. A process that is only stopped keeps it: then its lease
runs out.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from callflow.config import private_files
from callflow.contracts.errors import Overloaded


_PATIENCE_SECONDS: Final = 1.0
"""How long a start waits for the lock: whoever looks whether a process has died holds it for a moment."""
_PAUSE_SECONDS: Final = 0.02
_MOST_BYTES: Final = 64
"""Of the file: the process's number, and the node's epoch."""


class NodeLock:
    """The lock of one node, in a folder that all nodes of the machine share."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._file: int | None = None
        self.epoch = 0
        """Under which a process of this machine last was this node; 0: none was, as far as is known."""

    def take(self) -> None:
        """Take it. Raises Overloaded if a living process has it, and OSError."""
        if self._file is not None:
            return
        private_files.make(self._folder)
        file = os.open(self._path(self._name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    os.close(file)
                    raise Overloaded(f"another process serves as node {self._name} here") from None
                time.sleep(_PAUSE_SECONDS)
            except BaseException:
                os.close(file)
                raise
        found = os.pread(file, _MOST_BYTES, 0).decode("ascii", "replace").split()
        self.epoch = int(found[1]) if len(found) == 2 and found[1].isdecimal() else 0
        self._file = file
        self.remember(self.epoch)

    def remember(self, epoch: int) -> None:
        """Keep the epoch of this node for the process that comes next under its name here."""
        assert self._file is not None
        self.epoch = epoch
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()} {epoch}".encode(), 0)

    def release(self) -> None:
        """Let go of it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def is_dead(self, name: str) -> bool:
        """Return whether another node's process has ended. False where it has no lock on this machine."""
        try:
            file = os.open(self._path(name), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(file)
        return True

    def is_here(self, name: str) -> bool:
        """Return whether another node is, or was, one of this machine."""
        return self._path(name).exists()

    def process(self, name: str) -> int | None:
        """Return a file descriptor that becomes readable when another node's process ends; close it. None: it is not of
        this machine, or has ended, or the system has nothing of the kind (Linux has, pidfd).

        In a container of its own its number may be another process's here: then its end is seen at the next renewal."""
        pidfd: int | None = None
        try:
            pidfd = os.pidfd_open(int(self._path(name).read_text().split()[0]))
        except (AttributeError, OSError, ValueError, IndexError):
            return None
        if self.is_dead(name):  # then the number may be another process's by now
            os.close(pidfd)
            return None
        return pidfd

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"
