"""The transcript of one call as lines, as an earlier system streamed it: `event: line`, `{"t", "type", "text"}`.

It begins with what was said so far, or behind the line that the viewer has got last, and ends with the call, or when
the client leaves. Words that nobody heard are not told as said: of a turn that was cut before the viewer came, there is
what was heard; of one that is cut later, a line of type `cut` says what was heard of the line before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from typing import Any, Final

from callflow.web.console.live.log_feed import events_in
from callflow.web.console.live.sse import HEARTBEAT, frame
from callflow.web.console.live.story import Stories


_TYPES: Final = {"caller": "user", "agent": "assistant"}
_CUTS: Final = ("interrupted", "cut_off")
_PING: Final = b": ping\n\n"


async def transcript_lines(stories: Stories, call: str, after: int = 0) -> AsyncGenerator[bytes, None]:
    """Yield the frames of a viewer. `call`: our id of it. `after`: the number of the line that the viewer has got last;
    0: none."""
    story = await stories.enter(call)
    pieces = stories.watch(call, 0)
    try:
        lines = _Lines(after, await asyncio.to_thread(_cut_before, list(story.frames)))
        async for piece in pieces:
            if piece == HEARTBEAT:
                yield _PING
                continue
            entries = [data for event, data in events_in(piece) if event == "entry"]
            found = b"".join(frame("line", line, entry["seq"]) for entry in entries for line in lines.of(entry))
            if found:
                yield found
    finally:
        await pieces.aclose()
        stories.leave(story)


class _Lines:
    """The lines of one viewer."""

    def __init__(self, after: int, cut: Mapping[str, str]) -> None:
        """`cut`: what was heard of each turn that was cut before this viewer came, by item."""
        self._after, self._cut = after, cut
        self._told: dict[str, bool] = {}
        """By item of a turn that was told: whether the viewer may have it with words that nobody heard."""

    def of(self, entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the lines of an entry that are new to the viewer."""
        for kind, text in self._said(entry):
            if entry["seq"] > self._after and (text or kind in ("cut", "ended")):
                yield {"t": entry["seq"] // 1000, "type": kind, "text": text}  # Unix time in ms

    def _said(self, entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        note, kind = entry.get("note", {}), entry["kind"]
        if kind == "turn":
            item, who = note["item"], note["who"]
            self._told[item] = item not in self._cut or entry["seq"] <= self._after
            yield _TYPES.get(who, who), self._cut.get(item, note["text"])
        elif kind in _CUTS:
            for cut in note.get("cuts", ()):
                whole = self._told.get(cut["item"])
                self._told[cut["item"]] = False
                if whole is not False:
                    yield "cut" if whole else "assistant", cut.get("heard_text", "")
        elif kind == "ended":
            yield "ended", note.get("cause", "")


def _cut_before(frames: Iterable[bytes]) -> dict[str, str]:
    """Return what was heard of each turn that was cut, by item."""
    noted = [data["note"] for piece in frames if b'"cuts"' in piece for _, data in events_in(piece) if "note" in data]
    return {cut["item"]: cut.get("heard_text", "") for note in noted for cut in note.get("cuts", ())}
