"""Persons and desks to whom calls may be transferred: `sales = +15550100010, front desk = +15550100011`. Pure."""

from __future__ import annotations

import re
from typing import Final


_ENTRY: Final = re.compile(r"(?P<name>[^=]{1,60})=\s*(?P<number>\+[1-9][0-9]{6,14})")
_MOST: Final = 100


def read(text: str) -> dict[str, str]:
    """Return the numbers by name; names are compared without case. Raises ValueError for an entry that makes no
    sense."""
    targets: dict[str, str] = {}
    for entry in re.split(r"[,;\n]", text):
        if not entry.strip():
            continue
        found = _ENTRY.fullmatch(entry.strip())
        name = " ".join(found["name"].split()).casefold() if found else ""
        if found is None or not name:
            raise ValueError("must be names with numbers, such as sales = +15550100010, front desk = +15550100011")
        if name in targets:
            raise ValueError("has a name twice")
        targets[name] = found["number"]
    if len(targets) > _MOST:
        raise ValueError(f"has more than {_MOST} names")
    return targets


def checked(text: str) -> str:
    """Check the setting. Raises ValueError."""
    read(text)
    return text
