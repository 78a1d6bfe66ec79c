"""A journal entry as telemetry sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Entry(Protocol):
    """A journal entry: see `callflow.journal.journal.JournalEntry`."""

    @property
    def call(self) -> str: ...
    @property
    def at(self) -> float: ...
    @property
    def event(self) -> dict[str, Any]: ...
    @property
    def before(self) -> str: ...
    @property
    def after(self) -> str: ...
    @property
    def taken(self) -> bool: ...
    @property
    def commands(self) -> Sequence[dict[str, Any]]: ...
