"""Notes: every kind that calls have ever written is in the schema; what a newer version writes is kept and shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from callflow.contracts.events import KINDS as EVENTS
from callflow.contracts.private_fields import marks_of
from callflow.journal import notes, timeline
from callflow.journal.journal import JournalEntry
from callflow.journal.note import marks_of as note_marks
from callflow.journal.note import schema
from callflow.journal.notes import KINDS, Note, UnknownNote, read, to_json
from callflow.journal.redaction import CARD, Redactor


HISTORIES = sorted((Path(__file__).parents[1] / "histories").glob("*.jsonl"))
CARD_NUMBER = "4111 1111 1111 1111"
PRIVATE = {
    "text", "heard_text", "unheard_text", "digits", "arguments", "output", "reason", "message", "detail", "changes",
    "session_settings", "summary", "variables",
    "so_far",
}  # fmt: skip
"""The fields that redaction looked through before they were marked where they are declared."""


def written(path: Path) -> list[dict[str, Any]]:
    """The notes of a journal, as they stand in the file."""
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    found = [each["event"] for each in entries if not (each["before"] and each["step"])]
    return [event for event in found if event["event"] not in EVENTS]


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_every_note_of_a_kept_journal_is_in_the_schema_and_is_written_again_as_it_was(path: Path) -> None:
    for event in written(path):
        note = read(event)
        assert isinstance(note, Note), event
        assert note.more == {}, event
        assert to_json(note) == (event if note.version == 1 else {**event, "version": note.version})


def test_kinds_and_events_have_names_of_their_own() -> None:
    assert not KINDS.keys() & EVENTS.keys()
    assert all(name == kind.kind for name, kind in KINDS.items())
    declared = {kind for kind in vars(notes).values() if isinstance(kind, type) and issubclass(kind, Note)} - {Note}
    assert len(declared) == len(KINDS), "two kinds have one name"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_says_what_it_is_and_cannot_be_changed(kind: type[Note]) -> None:
    assert kind.__doc__
    assert not kind.__doc__.startswith(f"{kind.__name__}(")
    assert kind.version >= 1
    note = sample(kind)
    with pytest.raises(AttributeError, match="immutable"):
        note.more = {}  # type: ignore[misc]
    assert not hasattr(note, "__dict__")


def sample(kind: type[Note], text: str = "words") -> Note:
    """A note with a value in every field."""
    values: dict[type, Any] = {str: text, int: 7, float: 7, bool: True, dict: {"speed": text}, list: []}
    cut = {"item": "i", "heard_ms": 1, "received_ms": 2, "heard_text": text, "unheard_text": text}
    event: dict[str, Any] = {"event": kind.kind}
    for each in schema(kind):
        event[each.key] = [cut] if each.part else values[next(one for one in each.types if one in values)]
    note = read(event)
    assert isinstance(note, kind), note
    return note


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_note_survives_the_journal(kind: type[Note]) -> None:
    note = sample(kind)
    back = read(json.loads(json.dumps(to_json(note))))
    assert back == note
    assert type(back) is kind


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_field_that_is_missing_has_its_default_unless_the_note_is_nothing_without_it(kind: type[Note]) -> None:
    full = to_json(sample(kind))
    for each in schema(kind):
        note = read({name: value for name, value in full.items() if name != each.key})
        assert isinstance(note, UnknownNote if each.is_essential else kind)
        if isinstance(note, UnknownNote):
            assert note.why == f"{each.key} is missing"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_marked_fields_are_those_that_hold_words(kind: type[Note]) -> None:
    def check(marks: Mapping[str, Any]) -> None:
        for name, mark in marks.items():
            if isinstance(mark, Mapping):
                check(mark)
            else:
                assert (mark != "public") == (name in PRIVATE), (kind.kind, name)

    check(note_marks(kind))
    told = Redactor().fields(to_json(sample(kind, CARD_NUMBER)))
    left = json.dumps({name: value for name, value in told.items() if note_marks(kind).get(name) != "public"})
    assert CARD_NUMBER not in left, "a private field is written as it was"
    assert (CARD in left) == any(mark != "public" for mark in note_marks(kind).values())


def test_the_marked_fields_of_events_are_those_that_hold_words() -> None:
    for event in EVENTS.values():
        assert {name for name, mark in marks_of(event).items() if mark != "public"} == marks_of(event).keys() & PRIVATE


def test_a_kind_of_a_newer_version_is_kept_and_shown() -> None:
    event = {"event": "of_next_year", "version": 3, "text": "hello", "list": [1]}
    note = read(event)
    assert note == UnknownNote("of_next_year", {"version": 3, "text": "hello", "list": [1]})
    assert to_json(note) == event
    entry = JournalEntry("call", 0, 0.0, event)
    assert timeline.describe(entry) == "(of_next_year: version 3, text hello, list [1])"
    assert CARD in Redactor().fields({**event, "text": CARD_NUMBER})["text"], "what is not known counts as private"


def test_a_field_of_a_newer_version_is_kept_and_shown() -> None:
    event = {"event": "end_call", "version": 2, "reason": "done", "mood": "glad"}
    note = read(event)
    assert isinstance(note, notes.EndCall)
    assert (note.reason, note.more) == ("done", {"mood": "glad", "version": 2})
    assert to_json(note) == event
    assert timeline.describe(JournalEntry("call", 0, 0.0, event)) == "(end_call: version 2, reason done, mood glad)"
    assert CARD in Redactor().fields({**event, "mood": CARD_NUMBER})["mood"], "what is not known counts as private"


@pytest.mark.parametrize(
    "event",
    [
        {}, {"event": None}, {"event": ["turn"]}, {"event": "turn"},
        {"event": "turn", "who": 1, "item": "i", "text": ""}, {"event": "interrupted", "cuts": [7]},
        {"event": "interrupted", "cuts": [{}]}, {"event": "heard", "item": []},
        {"event": "first_word", "ms": "soon"}, {"event": "session_changed", "changes": 1},
    ],
    ids=str,
)  # fmt: skip
def test_what_makes_no_sense_is_kept_as_it_stands_with_what_is_wrong(event: dict[str, Any]) -> None:
    note = read(event)
    assert isinstance(note, UnknownNote)
    assert note.why
    assert dict(note.fields) == {name: value for name, value in event.items() if name != "event"}


def test_what_is_optional_is_not_written_where_it_says_nothing() -> None:
    assert to_json(notes.Heard(item="i")) == {"event": "heard", "item": "i", "ms": 0, "of_ms": 0, "done": False}
    assert to_json(notes.EngineMissedSpeech()) == {"event": "engine_missed_speech"}
    assert to_json(notes.Began())["from"] == ""
    assert "kept" not in to_json(notes.Began())
    assert to_json(notes.Ended(cause="agent")) == {
        "event": "ended", "version": 2, "cause": "agent", "first_word_ms": None,
    }  # fmt: skip
