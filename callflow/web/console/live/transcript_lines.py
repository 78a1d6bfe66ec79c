"""The transcript of one call as lines, as an earlier system streamed it: `event: line`, `{"t", "type", "text"}`.

It begins with what was said so far, and ends with the call, or when the client leaves.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from callflow.web.console.live.log_feed import events_in
from callflow.web.console.live.sse import HEARTBEAT, frame
from callflow.web.console.live.story import Stories


_TYPES: Final = {"caller": "user", "agent": "assistant"}
_PING: Final = b": ping\n\n"


async def transcript_lines(stories: Stories, call: str) -> AsyncGenerator[bytes, None]:
    """Yield the frames of a viewer. `call`: our id of it."""
    pieces = stories.watch(call, 0)
    try:
        async for piece in pieces:
            if piece == HEARTBEAT:
                yield _PING
                continue
            entries = [data for event, data in events_in(piece) if event == "entry"]
            found = b"".join(frame("line", line) for line in map(_line, entries) if line is not None)
            if found:
                yield found
    finally:
        await pieces.aclose()


def _line(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the line of an entry; None: nobody says anything in it."""
    note, kind = entry.get("note", {}), entry["kind"]
    at = entry["seq"] // 1000
    """Unix time in ms."""
    if kind == "turn":
        return {"t": at, "type": _TYPES.get(note["who"], note["who"]), "text": note["text"]}
    if kind == "ended":
        return {"t": at, "type": "ended", "text": note.get("cause", "")}
    return None
