"""The one table of names that events, notes and commands had in journals of before, and what they are called now. Pure.

Journals are append-only: an entry that was written under an old name keeps it. Entries are read, from the database or
from a file, through `JournalEntry.renewed`; everything behind that knows the present names only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final


EVENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "taken_back": "call_recovered",  # until 0.1
        "last_words_heard": "goodbye_heard",  # until 0.1
        "last_words_interrupted": "goodbye_interrupted",  # until 0.1
        "engine_deaf": "engine_missed_speech",  # a note; until 0.1
    }
)
"""Names of events and notes: old to new."""
COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "last_words": "await_goodbye",  # until 0.1
        "hush_agent": "silence_agent",  # until 0.1
    }
)
"""Names of commands: old to new. (The deadline of `goodbye_seconds` is still named `last_words`.)"""


def event_name(name: Any) -> Any:
    """Return the present name of an event or note; what has no other name, as it is."""
    return EVENTS.get(name, name) if isinstance(name, str) else name


def names_of(name: str) -> list[str]:
    """Return all names under which an event or note may stand in a journal, the present one first."""
    return [name, *(old for old, new in EVENTS.items() if new == name)]


def event(written: dict[str, Any]) -> dict[str, Any]:
    """Return an event or note under its present name: the same object where it has no other."""
    name = written.get("event")
    present = event_name(name)
    return written if present == name else {**written, "event": present}


def command(written: Any) -> Any:
    """Return a command under its present name: the same object where it has no other."""
    name = written.get("command") if isinstance(written, Mapping) else None
    return {**written, "command": COMMANDS[name]} if isinstance(name, str) and name in COMMANDS else written
