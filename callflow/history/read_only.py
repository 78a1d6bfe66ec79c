"""How an SQLite file is opened so that neither it is changed nor what lies beside it.

SQLite makes files beside a database even for those who only read: a `-shm` where it has a write-ahead log, and it wants
to put right what a process left that died. Here it does neither.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Final

from callflow.contracts.errors import DatabaseError


_HEAD: Final = b"SQLite format 3\x00"
_WAL_MODE: Final = b"\x02\x02"
_WANTS_TO_WRITE: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})
WHERE: Final = "say where the history is: DATABASE_URL, or DATA_DIR"
START: Final = f"start Callflow's server once, or {WHERE}"


class ReadOnlyFile:
    """One file, for processes that only read: it waits for the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()  # SQLite looks beside what a link leads to
        self._copied: tuple[object, ...] = ()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def uri(self) -> str:
        """Return the address under which SQLite can open it just now: `file:///…?mode=ro`. Raises DatabaseError."""
        try:
            head = self._head()
            beside = {each: self._beside(each).exists() for each in ("-wal", "-shm", "-journal")}
            if head[18:20] == _WAL_MODE:
                if not beside["-wal"]:
                    # Nobody has it open, so that all of it is in the file; each question opens it anew.
                    return f"{self._path.as_uri()}?immutable=1"
                return f"{(self._path if beside['-shm'] else self._copy('-wal')).as_uri()}?mode=ro"
            is_whole = not beside["-journal"] or self._opens()
            return f"{(self._path if is_whole else self._copy('-journal')).as_uri()}?mode=ro"
        except OSError as error:
            raise DatabaseError(f"the history in {self._path} cannot be read: {error.strerror}: {WHERE}") from None

    def _beside(self, ending: str) -> Path:
        return self._path.with_name(self._path.name + ending)

    def _head(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                head = file.read(20)
        except (FileNotFoundError, NotADirectoryError):
            raise DatabaseError(f"there is no history in {self._path}: {START}") from None
        if not head:
            raise DatabaseError(f"there is no history in {self._path} yet, which is empty: {START}")
        if not head.startswith(_HEAD):
            raise DatabaseError(f"{self._path} is no SQLite database: {WHERE}")
        return head

    def _opens(self) -> bool:
        """False: a process died while it wrote, and what it left would have to be put right first."""
        connection = sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            return error.sqlite_errorcode & 0xFF not in _WANTS_TO_WRITE
        finally:
            connection.close()
        return True

    def _copy(self, ending: str) -> Path:
        """In a folder of our own, where SQLite may put right what it likes; the same one until the file changes."""
        sources = (self._path, self._beside(ending))
        now = tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in (each.stat() for each in sources))
        if self._folder is None or now != self._copied:
            self.close()
            self._folder = tempfile.TemporaryDirectory(prefix="callflow-", ignore_cleanup_errors=True)
            for each in sources:
                shutil.copyfile(each, Path(self._folder.name) / each.name)
            self._copied = now
            copy = sqlite3.connect(Path(self._folder.name) / self._path.name)
            copy.execute("SELECT count(*) FROM sqlite_master").fetchone()
            copy.close()
        return Path(self._folder.name) / self._path.name

    def close(self) -> None:
        """Delete the copy of the database, if there is one."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
