"""Make folders and files that only their owner can read, because they hold keys and what callers have said.

Folders and files of Callflow that an earlier version, or the umask, has left open to others are narrowed. What others
may be using as well is left as it is: a folder with files of others, a home, the current folder. The files that
Callflow makes in such a folder are private nevertheless.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final


_OTHERS: Final = 0o077
_INNER: Final = ("recordings",)
"""Folders that Callflow makes in a data folder."""
_ANYBODYS: Final = frozenset({*_INNER, "lost+found"})
"""A folder that holds any other folder is not used as a data folder only."""


def make(folder: Path) -> None:
    """Make a folder that only its owner can read; one that exists stays as it is. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise


def make_ours(folder: Path) -> None:
    """Make a data folder, or narrow one that exists and is ours, with the files in it. Raises OSError."""
    make(folder)
    for each in (folder, *(folder / name for name in _INNER)):
        with contextlib.suppress(FileNotFoundError):
            _narrow(each)


def make_private(file: Path) -> None:
    """Narrow a file that exists and is ours, so that only its owner can read it. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        _narrow_file(file, file.stat())


def _narrow(folder: Path) -> None:
    status = folder.stat()
    if not status.st_mode & _OTHERS or not stat.S_ISDIR(status.st_mode) or _is_of_others(folder, status):
        return
    with contextlib.suppress(PermissionError):  # a file system without modes
        folder.chmod(0o700)
    # The files as well: a process that has the folder open could still read them.
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    _narrow_file(Path(entry.path), entry.stat())


def _narrow_file(file: Path, status: os.stat_result) -> None:
    if status.st_mode & _OTHERS and _is_ours(status):
        with contextlib.suppress(PermissionError):
            file.chmod(0o600)


def _is_of_others(folder: Path, status: os.stat_result) -> bool:
    if not _is_ours(status) or status.st_mode & stat.S_ISVTX:  # such as /tmp
        return True
    here = folder.resolve()
    for place in (Path.cwd(), Path(os.path.expanduser("~")).absolute()):  # noqa: PTH111 - Path.home() may raise
        if here == place or here in place.parents:
            return True
    with os.scandir(folder) as entries:
        return any(
            not _is_ours(entry.stat(follow_symlinks=False)) or (entry.is_dir() and entry.name not in _ANYBODYS)
            for entry in entries
        )


def _is_ours(status: os.stat_result) -> bool:
    """Return whether a file belongs to this user; False on Windows, which has no such owners and modes."""
    return hasattr(os, "geteuid") and status.st_uid == os.geteuid()
