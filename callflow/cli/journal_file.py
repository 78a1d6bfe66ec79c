"""The journal of one call as a file: a JSON object per line, as `calls --save` writes and `replay` reads it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from callflow.contracts import printable
from callflow.contracts.errors import CallNotFound, JournalFileError
from callflow.journal.journal import JournalEntry


_MOST_BYTES: Final = 256 << 20
_MOST_SHOWN: Final = 120
_decoder: Final = msgspec.json.Decoder(JournalEntry)


def is_file_name(name: str) -> bool:
    """Return whether this means a file, and no call."""
    try:
        return name.endswith(".jsonl") or os.sep in name or (Path(name).exists() and not Path(name).is_dir())
    except OSError:  # too long for a file, for instance
        return False


def read_history(path: Path) -> list[JournalEntry]:
    """Read the entries of one call, under present names. Raises JournalFileError."""
    try:
        if not path.exists():
            raise CallNotFound(f"There is no file {path}.")
        if not path.is_file():
            raise JournalFileError(f"{path} is a {'folder' if path.is_dir() else 'device'}, and no file.")
        if path.stat().st_size > _MOST_BYTES:
            raise JournalFileError(f"{path} is larger than any journal of a call ({_MOST_BYTES >> 20} MiB).")
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise JournalFileError(f"{path} cannot be read: {error.strerror}.") from None
    entries = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                entries.append(_decoder.decode(line).renewed())
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                what = str(error)[:_MOST_SHOWN]
                raise JournalFileError(
                    f"{path} is not a journal that `calls --save` wrote: line {number}: {what}."
                ) from None
    if len({entry.call for entry in entries}) > 1:
        raise JournalFileError(f"{path} holds the journals of several calls: each belongs into a file of its own.")
    return entries


def write_history(path: Path, entries: Sequence[JournalEntry]) -> None:
    """Write the entries of one call, for its owner alone to read. Another such file is replaced, but no other.

    Raises JournalFileError.
    """
    try:
        if path.is_file() and path.stat().st_size and not _is_history(path):
            raise JournalFileError(f"{path} is there already, and is no journal of a call: choose another name.")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(b"".join(printable.json_of(entry) + b"\n" for entry in entries))
    except OSError as error:
        raise JournalFileError(f"{path} cannot be written: {error.strerror}.") from None


def _is_history(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            _decoder.decode(file.readline(_MOST_BYTES))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return False
    return True
