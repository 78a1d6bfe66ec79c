"""The live calls of other nodes, as their walls have told of them. Pure.

A call that moves is told of by two nodes for a moment: the newest row counts, and the end that the former owner tells
does not.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final


_GRACE_SECONDS: Final = 5.0
"""How long the rows of a node that is gone stay: others take its calls over meanwhile."""


class OtherCalls:
    """Rows by the id of their call, and the counters of each node."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[str, dict[str, Any]]] = {}
        self._lost: dict[str, tuple[str, float]] = {}
        """Calls of nodes that are gone: whose, and until when somebody else may tell of them."""
        self.counters: dict[str, dict[str, Any]] = {}

    def __contains__(self, call: str) -> bool:
        return call in self._rows

    def add(self, node: str, row: dict[str, Any]) -> None:
        """Take the row of a call of this node."""
        self._rows[row["id"]] = node, row
        self._lost.pop(row["id"], None)

    def remove(self, node: str, call: str) -> dict[str, Any] | None:
        """Take the end of a call, as this node tells it. Returns its row; None: another node has it by now."""
        if self._rows.get(call, ("", {}))[0] != node:
            return None
        return self._rows.pop(call)[1]

    def lost(self, node: str, now: float) -> None:
        """Learn that a node tells nothing more. `now`: seconds of a monotonic clock."""
        self.counters.pop(node, None)
        for call, (owner, _) in self._rows.items():
            if owner == node:
                self._lost[call] = node, now + _GRACE_SECONDS

    def forgotten(self, now: float) -> list[dict[str, Any]]:
        """Remove and return the rows that nobody has told of since their node was lost. `now`: as for `lost`."""
        late = [call for call, (_, until) in self._lost.items() if now >= until]
        for call in late:
            del self._lost[call]
        return [self._rows.pop(call)[1] for call in late if call in self._rows]

    def rows(self, own: Container[str]) -> list[dict[str, Any]]:
        """Return all rows but those of calls that this node has by now."""
        return [row for call, (_, row) in self._rows.items() if call not in own]

    def business(self, call: str) -> str:
        """Return whose call it is; "": nobody's in particular, or it is not known."""
        return str(self._rows[call][1]["business"]) if call in self._rows else ""
