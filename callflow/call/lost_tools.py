"""The tools whose outcome a process took with it that lost the call: when they may run again in this call. Pure.

The model is told that it is not known whether they were done, and not to call them again. It may all the same, and then
a caller would be booked twice: so the first time it is told to ask the caller, and only the next time it is obeyed. A
tool that keeps the interpreter, so that its process loses its calls, would do the same to one process after another:
what two have been lost with is not run again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Final

from callflow.contracts.events import ToolCalled, ToolFinished
from callflow.contracts.tools import ToolAnswer, ToolCall
from callflow.journal.journal import JournalEntry


UNKNOWN_RESULT: Final = '{"error":"the line broke while this was running: whether it was done is not known"}'
"""What the model is told of a tool that was running then."""
ASK_FIRST: Final = ToolAnswer(
    '{"error":"not done: the line broke while this was running with the same arguments, and whether it was done then '
    'is not known. If doing it twice would matter, ask the caller; then call it again if it is still wanted"}',
    ok=False,
)
"""What it is told of the same once more."""
NOT_AGAIN: Final = ToolAnswer(
    '{"error":"not done: the line broke twice while this was running with the same arguments, so it is not done again '
    'in this call. Tell the caller if it matters"}',
    ok=False,
)
"""What it is told of the same, when two processes were lost with it."""


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
        self._lost = Counter(running.values())
        self._told: set[tuple[str, str]] = set()

    def refusal(self, asked: ToolCall) -> ToolAnswer | None:
        """Return the answer that takes the place of a tool; None: it runs. `asked`: without private parts, as in the
        journal."""
        same = _named(asked.name, asked.arguments)
        times = self._lost[same]
        if times > 1:
            return NOT_AGAIN
        if not times or same in self._told:
            return None
        self._told.add(same)
        return ASK_FIRST


def _named(tool: str, arguments: str) -> tuple[str, str]:
    """Return tool and arguments, whichever way these were written."""
    try:
        return tool, json.dumps(json.loads(arguments), sort_keys=True)
    except (ValueError, RecursionError):
        return tool, arguments
