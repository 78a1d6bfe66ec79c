"""Files that a command writes at its end: checked before the work begins, and never overwritten."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path


def problem(path: Path, option: str) -> str | None:
    """Return why this file cannot be written, and what to do; None if it can be. Makes its folder."""
    other = f"name another one with {option}"
    try:
        if path.is_dir():
            return f"{path} is a folder: name a file in it with {option}."
        if path.exists() and not path.is_file():
            return None  # such as /dev/stdout
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("xb").close()
        path.unlink()
    except FileExistsError:
        blocking = path if path.exists() else path.parent
        if blocking == path:
            return f"{path} is there already, and no file is overwritten: {other}, or move that one away."
        return f"{path} cannot be written ({blocking} is a file, not a folder): {other}."
    except OSError as error:
        return f"{path} cannot be written ({error.strerror or error}): {other}."
    return None


def names(path: Path) -> Iterator[Path]:
    """Yield `demo.wav`, `demo-2.wav`, `demo-3.wav` and so on, without end."""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


def keep(content: bytes, path: Path) -> Path:
    """Write a file under the first of its names that is free. Returns its path. Raises OSError."""
    if path.exists() and not path.is_file():  # such as /dev/stdout
        path.write_bytes(content)
        return path
    for name in names(path):
        try:
            with name.open("xb") as file:
                file.write(content)
            return name
        except FileExistsError:
            continue
    raise AssertionError("there is no end to names")
