"""Finds the workers that were stopped (SIGSTOP) while they wrote to an SQLite file.

SQLite lets nobody else write as long as such a process stands still: the other workers could neither renew their leases
nor take its calls over. A worker that was stopped at any other moment harms nobody, and may go on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final


PATIENCE_SECONDS: Final = 1.0
"""How long a worker may be stopped before it matters: well within the leases of the others."""
_BUSY_SECONDS: Final = 0.5
"""How long the file must be locked without a pause: workers that run write for some ms."""


class FrozenWorkers:
    """Those of one main process, which is told by SIGCHLD when one of them is stopped or goes on."""

    def __init__(self, database: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        """`database`: the SQLite file of all workers; None: it is no file."""
        self._database, self._clock = database, clock
        self._due: dict[int, float] = {}
        """When to look whether it holds the file, by process."""

    @property
    def due(self) -> float | None:
        """When to call `holding` again, if nothing happens before, in seconds of `clock`; None: not by itself."""
        return min(self._due.values(), default=None)

    def holding(self, workers: Collection[int]) -> list[int]:
        """Return those of these child processes that are stopped and hold the file. Waits for half a second at most,
        and only where one is stopped."""
        if self._database is None or not hasattr(os, "waitid"):
            return []
        now = self._clock()
        for pid in workers:
            if (is_stopped := _has_changed(pid)) is not None:
                self._due.pop(pid, None)
                if is_stopped:
                    self._due[pid] = now + PATIENCE_SECONDS
        late = [pid for pid, due in self._due.items() if due <= now]
        for pid in [*late, *(self._due.keys() - set(workers))]:
            self._due.pop(pid, None)  # one that did not hold the file when it was stopped will not get it
        return [pid for pid in late if pid in workers] if late and _is_locked(self._database) else []


def _has_changed(pid: int) -> bool | None:
    """Return whether a child process has been stopped, or False if it goes on again; None: neither since the last
    question."""
    try:
        found = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WCONTINUED | os.WNOHANG)
    except ChildProcessError:
        return None
    return None if found is None else found.si_code != os.CLD_CONTINUED


def _is_locked(database: Path) -> bool:
    """Return whether nobody can write to an SQLite file."""
    import sqlite3  # it is hardly ever needed here

    try:
        connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS)
    except sqlite3.Error:
        return False
    try:
        connection.isolation_level = None
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY  # of the extended code, the kind
    finally:
        connection.close()
    return False
