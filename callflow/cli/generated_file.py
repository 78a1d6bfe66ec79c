"""Files of the project that are made from its code: a command brings each up to date, and a test fails if it is not."""

from __future__ import annotations

from pathlib import Path


def bring_up_to_date(path: Path, text: str) -> int:
    """Write the file, unless it holds this text already, and say which. Returns 0, the exit code of the command."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        print(f"{path.name} is up to date")
    else:
        path.write_text(text, encoding="utf-8")
        print(f"{path.name} has been brought up to date")
    return 0
