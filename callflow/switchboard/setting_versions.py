"""Versions of settings as operators are told of them. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from callflow.config.setting_names import present


def entry(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a version without its settings. `row`: of `profile_versions`."""
    return {
        "version": row["version"], "changed": row["changed_at"], "by": row["changed_by"],
        "gone": row["settings"] is None,
    }  # fmt: skip


def compared(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries of versions, the newest first, each with `changes`: the names that differ from the version
    before; None: that one is kept no more."""
    wholes = [present(json.loads(row["settings"] or "{}")) for row in rows]
    found = []
    for row, now, before in zip(rows, wholes, [*wholes[1:], None][: len(rows)], strict=True):
        names = None
        if before is not None or row["version"] == 1:
            names = sorted(key for key in {**now, **(before or {})} if now.get(key) != (before or {}).get(key))
        found.append({**entry(row), "changes": names})
    return found
