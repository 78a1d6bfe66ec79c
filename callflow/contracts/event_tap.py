"""Passes the single events of a call's engine and media stream, as they come and go, to those who watch the call.

Nothing is done for them while nobody watches: engine and stream test one attribute, and none of it for a frame of audio
of the carrier's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol


Way = Literal["from_model", "to_model", "from_media", "to_media"]


class EventWatcher(Protocol):
    """Takes single events. Must not block, nor raise."""

    def event(self, way: Way, kind: str, raw: bytes | Mapping[str, Any], safe: Callable[[str], str]) -> None:
        """Take an event. `kind`: its type. `raw`: the whole, as JSON or decoded. `safe`: takes secrets of the session
        out of a text."""


class EventTap:
    """The tap of one call: of all its sessions and streams, one after another."""

    __slots__ = ("watcher",)

    def __init__(self) -> None:
        self.watcher: EventWatcher | None = None
        """None: nobody watches."""


def unchanged(text: str) -> str:
    """Return the text: there are no secrets that it could hold."""
    return text
