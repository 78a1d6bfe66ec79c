"""The file of a history that is open: whether it is still where it was.

Connections that are open go on with a file that was removed or replaced, and so do the processes that share it; what
they write is gone when the last of them ends. A connection that is opened then would make an empty file in its place,
or find another history there.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path


log = logging.getLogger(__name__)


class OpenFile:
    """One file, from the first connection to it on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[int, int] | None = None
        self._is_gone = False

    def opened(self) -> None:
        """Learn that there is a connection to it."""
        self._known = self._known or self._found()

    def refuse(self) -> None:
        """Raise OSError if another connection would not open the same file; threads may ask."""
        if self._is_elsewhere():
            raise OSError(f"the file {self._path} was removed or replaced while it was open: put it back")

    def look(self) -> None:
        """Say once that the file is gone, and that it is back."""
        was_gone, self._is_gone = self._is_gone, self._is_elsewhere()
        if self._is_gone == was_gone:
            return
        if self._is_gone:
            log.error(
                "THE FILE OF THE HISTORY, %s, WAS REMOVED OR REPLACED: calls go on, and the removed file is written,"
                " which is lost when the last process ends that has it open. Put it back: /proc/%d/fd has it so long",
                self._path, os.getpid(),
            )  # fmt: skip
        else:
            log.warning("the file of the history is back, and nothing is lost")

    def _is_elsewhere(self) -> bool:
        return self._known is not None and self._found() != self._known

    def _found(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino
