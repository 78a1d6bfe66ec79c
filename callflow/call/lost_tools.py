"""The tools whose outcome a process took with it that lost the call: they are not run again in this call. Pure.

The model is told that it is not known whether they were done, and not to call them again. It may all the same, and then
a caller would be booked twice; and a tool that keeps the interpreter, so that its process loses its calls, would do the
same to the next process, and to each after it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from callflow.contracts.events import ToolCalled, ToolFinished
from callflow.contracts.tools import ToolAnswer, ToolCall
from callflow.journal.journal import JournalEntry


UNKNOWN_RESULT: Final = '{"error":"the line broke while this was running: whether it was done is not known"}'
"""What the model is told of a tool that was running then."""
NOT_AGAIN: Final = ToolAnswer(
    '{"error":"the line broke while this was running with the same arguments, and whether it was done is not known: so '
    'it is not done again in this call. Tell the caller if it matters"}',
    ok=False,
)
"""What it is told of the same once more."""


class LostTools:
    """Those of one call, each with its arguments."""

    def __init__(self, entries: Iterable[JournalEntry] = ()) -> None:
        """`entries`: of the call, up to its loss."""
        running: dict[str, tuple[str, str]] = {}
        for entry in entries:
            match entry.event:
                case {"event": ToolCalled.name, "id": str(name)} if entry.taken:
                    running[name] = _named(str(entry.event.get("tool", "")), str(entry.event.get("arguments", "")))
                case {"event": ToolFinished.name, "id": str(name)} if entry.event.get("output") != UNKNOWN_RESULT:
                    running.pop(name, None)
        self._lost = {*running.values()}

    def refusal(self, asked: ToolCall) -> ToolAnswer | None:
        """Return the answer that takes the place of a tool; None: it runs. `asked`: without private parts, as in the
        journal."""
        return NOT_AGAIN if _named(asked.name, asked.arguments) in self._lost else None


def _named(tool: str, arguments: str) -> tuple[str, str]:
    """Return tool and arguments, whichever way these were written."""
    try:
        return tool, json.dumps(json.loads(arguments), sort_keys=True)
    except (ValueError, RecursionError):
        return tool, arguments
