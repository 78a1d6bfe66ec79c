"""How a note is declared, written and read, by kinds of this test's own: what every kind in notes.py follows.

The kinds themselves are tested in test_notes.py.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import pytest
from msgspec import field

from callflow.contracts.private_fields import PRIVATE
from callflow.journal.note import OPTIONAL, Note, Part, UnknownNote, marks_of, read_as, schema, to_json


class Crumb(Part, frozen=True, kw_only=True):
    what: Annotated[str, PRIVATE]
    grams: float = 0.0


class Baked(Note, frozen=True, kw_only=True):
    kind: ClassVar[str] = "baked"
    version: ClassVar[int] = 3
    loaf: str
    who: Literal["anna", "ben"] = "anna"
    from_: str = field(default="", name="from")
    count: int = 1
    minutes: float | None = None
    crumbs: Annotated[tuple[Crumb, ...], OPTIONAL] = ()
    extra: Annotated[dict[str, Any], OPTIONAL] = field(default_factory=dict)
    anything: Annotated[Any, OPTIONAL] = None
    fresh: Annotated[bool, OPTIONAL] = True


USUAL = {"event": "baked", "version": 3, "loaf": "rye", "who": "anna", "from": "", "count": 1, "minutes": None}


@pytest.mark.parametrize(
    ("note", "more"),
    [
        (Baked(loaf="rye"), {}),
        (Baked(loaf="rye", from_="oven", fresh=False), {"from": "oven", "fresh": False}),
        (
            Baked(loaf="rye", crumbs=(Crumb(what="a"), Crumb(what="b", grams=2.5, more={"x": 1}))),
            {"crumbs": [{"what": "a", "grams": 0.0}, {"what": "b", "grams": 2.5, "x": 1}]},
        ),
        (Baked(loaf="rye", extra={"event": 1}, minutes=1), {"extra": {"event": 1}, "minutes": 1}),
        (Baked(loaf="rye", anything=0), {"anything": 0}),
        (Baked(loaf="rye", more={"newer": [1]}), {"newer": [1]}),
    ],
)  # fmt: skip
def test_a_note_is_one_flat_object_and_is_read_as_it_was(note: Baked, more: dict[str, Any]) -> None:
    assert to_json(note) == USUAL | more
    assert read_as(Baked, to_json(note)) == note


def test_what_an_older_version_did_not_write_has_its_default_and_its_version_is_kept() -> None:
    old = {"event": "baked", "version": 2, "loaf": "rye"}
    read = read_as(Baked, old)
    assert (read.who, read.count, read.crumbs, read.extra, read.more) == ("anna", 1, (), {}, {"version": 2})
    assert to_json(read)["version"] == 2, "written again it is still of that version"
    assert read_as(Baked, {"event": "baked", "loaf": "rye"}).more == {}, "the first version has no number"
    newer = read_as(Baked, {**old, "version": 4, "crust": {"thick": True}})
    assert newer.more == {"version": 4, "crust": {"thick": True}}


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ({}, "loaf is missing"), ({"loaf": None}, "loaf is NoneType"), ({"loaf": "x", "who": 7}, "who is int"),
        ({"loaf": "x", "count": "1"}, "count is str"), ({"loaf": "x", "minutes": []}, "minutes is list"),
        ({"loaf": "x", "extra": []}, "extra is list"), ({"loaf": "x", "crumbs": {}}, "crumbs is dict"),
        ({"loaf": "x", "crumbs": ["a"]}, "crumbs holds something else than objects"),
        ({"loaf": "x", "crumbs": [{}]}, "what is missing"), ({"loaf": "x", "fresh": 1}, "fresh is int"),
        ({"loaf": "x", "from_": "oven", "from": 1}, "from is int"),
    ],
)  # fmt: skip
def test_what_is_of_another_type_or_missing_is_said(written: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}$"):
        read_as(Baked, written)


@pytest.mark.parametrize(
    ("name", "value"),
    [("count", 1.5), ("minutes", 3), ("minutes", None), ("who", "carl"), ("anything", [1]), ("anything", None)],
)
def test_numbers_are_numbers_and_a_word_of_a_newer_version_is_kept(name: str, value: Any) -> None:
    assert getattr(read_as(Baked, {"loaf": "x", name: value}), name) == value


def test_a_part_has_a_field_named_event_and_a_note_has_none() -> None:
    assert read_as(Crumb, {"what": "a", "event": "fell", "version": 2}).more == {"event": "fell", "version": 2}
    assert read_as(Baked, {"loaf": "x", "event": "baked"}).more == {}


def test_what_is_private_is_marked_by_its_key_also_in_parts() -> None:
    marks = marks_of(Baked)
    assert set(marks) == {each.key for each in schema(Baked)}
    assert "more" not in marks
    assert set(marks["crumbs"]) == {"what", "grams"}
    assert marks["crumbs"]["what"] != marks["crumbs"]["grams"]
    assert schema(Baked) is schema(Baked), "it is looked up for every entry"


def test_what_is_not_known_is_written_as_it_stood() -> None:
    assert to_json(UnknownNote("sung", {"verse": 2}, "why")) == {"event": "sung", "verse": 2}
