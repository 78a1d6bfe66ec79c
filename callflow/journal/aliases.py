"""The one table of names that events, notes and commands had in journals of before, and what they are called now. Pure.

Journals are append-only: an entry that was written under an old name keeps it. Whoever reads entries, from the database
or from a file, reads them through `renewed`; everything behind that knows the present names only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from callflow.journal.journal import JournalEntry


EVENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "taken_back": "call_recovered",  # until 0.1
        "last_words_heard": "goodbye_heard",  # until 0.1
        "last_words_interrupted": "goodbye_interrupted",  # until 0.1
        "engine_deaf": "engine_missed_speech",  # a note; until 0.1
    }
)
"""Names of events and notes: old to new."""
COMMANDS: Final[Mapping[str, str]] = MappingProxyType({"last_words": "await_goodbye"})  # until 0.1
"""Names of commands: old to new. (The deadline `last_words` keeps its name: it is the setting `last_words_seconds`.)"""


def event_name(name: Any) -> Any:
    """Return the present name of an event or note; what has no other name, as it is."""
    return EVENTS.get(name, name) if isinstance(name, str) else name


def names_of(name: str) -> list[str]:
    """Return all names under which an event or note may stand in a journal, the present one first."""
    return [name, *(old for old, new in EVENTS.items() if new == name)]


def renewed(entry: JournalEntry) -> JournalEntry:
    """Return the entry under present names: the same object where nothing in it has another name."""
    name = event_name(entry.event.get("event"))
    if name != entry.event.get("event"):
        entry = replace(entry, event={**entry.event, "event": name})
    if any(isinstance(each, Mapping) and each.get("command") in COMMANDS for each in entry.commands):
        entry = replace(entry, commands=[_command(each) for each in entry.commands])
    return entry


def _command(command: Any) -> Any:
    if not isinstance(command, Mapping) or command.get("command") not in COMMANDS:
        return command
    return {**command, "command": COMMANDS[command["command"]]}
