"""The side file of the journal: entries that could not be written, for a person to look at. A JSON object per line.

It holds what the journal would have held, so that it is as private, and is deleted together with its call. The
processes of one machine share it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from callflow.config import file_locks
from callflow.contracts import printable
from callflow.journal.journal import JournalEntry


NAME: Final = "left-out.jsonl"
_MOST_BYTES: Final = 16 << 20
"""Of the file; what comes then is only counted."""
_MOST_LINE: Final = 1 << 20
_ALONE_SECONDS: Final = 5.0
"""How long to wait for the others of this machine, one of which may stand still."""


class SideFile:
    """Used by threads: every method may wait for the disk, and raises OSError where that does not do its part."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def add(self, entry: JournalEntry, error: Exception) -> None:
        """Append the entry as far as it can be told, and why it was left out. Raises OSError."""
        line = _line(entry, error)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            file = os.open(self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
            try:
                if os.fstat(file).st_size + len(line) <= _MOST_BYTES:
                    os.write(file, line)
            finally:
                os.close(file)

    def forget(self, calls: Collection[str]) -> None:
        """Take out what is kept of these calls. Raises OSError."""
        if calls:
            self._keep(lambda kept: kept.get("call") not in calls)

    def expire(self, before: float) -> int:
        """Take out what was left out before that, in Unix time. Returns how many entries. Raises OSError."""
        return self._keep(lambda kept: kept.get("left_out_at", 0) >= before)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep all others of this machine from the file. Its folder is there. Raises BlockingIOError if one of them
        does not let go of it."""
        with self._lock:
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                if not file_locks.hold(folder, _ALONE_SECONDS):
                    raise BlockingIOError("another process of this machine does not let go of the side file")
                yield
            finally:
                os.close(folder)

    def _keep(self, wanted: Callable[[dict[str, Any]], bool]) -> int:
        if not self.path.exists():
            return 0
        with self._alone():
            if not self.path.exists():
                return 0
            lines = self.path.read_bytes().splitlines(keepends=True)
            kept = [line for line in lines if wanted(_read(line))]
            if not kept:
                self.path.unlink(missing_ok=True)
            elif len(kept) < len(lines):
                beside = self.path.with_suffix(".new")
                beside.touch(0o600)
                beside.write_bytes(b"".join(kept))
                beside.replace(self.path)
            return len(lines) - len(kept)


def _line(entry: JournalEntry, error: Exception) -> bytes:
    about = {
        "left_out_at": time.time(),
        "because": f"{type(error).__name__}: {printable.whole(_words(error))}"[:500],
        "call": printable.whole(str(entry.call))[:200],
    }
    shapes: tuple[Callable[[], Any], ...] = (
        lambda: dataclasses.asdict(entry),
        lambda: repr(entry)[:_MOST_LINE],
        lambda: f"an event {entry.event.get('event', '')!r:.100} that cannot be shown",
    )
    for shape in shapes:
        try:
            line = printable.json_of({**about, "entry": shape()}) + b"\n"
        except Exception:
            continue
        if len(line) <= _MOST_LINE:
            return line
    return printable.json_of(about) + b"\n"


def _words(error: Exception) -> str:
    try:
        return str(error)
    except Exception:
        return "(no words)"


def _read(line: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
