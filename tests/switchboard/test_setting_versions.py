"""Versions of settings as operators are told of them: what differs from the one before."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from callflow.switchboard.setting_versions import compared, entry


def row(version: int, settings: dict[str, Any] | None) -> dict[str, Any]:
    text = json.dumps(settings) if settings is not None else None
    return {"version": version, "changed_at": f"at {version}", "changed_by": "desk", "settings": text}


def changes(*rows: dict[str, Any]) -> list[list[str] | None]:
    return [each["changes"] for each in compared(rows)]


def test_a_version_is_told_without_its_settings() -> None:
    assert entry(row(3, {"voice": "secret"})) == {"version": 3, "changed": "at 3", "by": "desk", "gone": False}
    assert entry(row(4, None))["gone"] is True
    assert compared([]) == []


def test_each_version_names_what_differs_from_the_one_before() -> None:
    assert changes(row(3, {"a": 1, "c": 3}), row(2, {"a": 1, "b": 2}), row(1, {"a": 0})) == [
        ["b", "c"],
        ["a", "b"],
        ["a"],
    ]


def test_the_first_one_that_is_kept_is_compared_with_nothing_unless_it_is_the_very_first() -> None:
    assert changes(row(7, {"a": 1})) == [None]
    assert changes(row(1, {"a": 1})) == [["a"]]


def test_what_was_deleted_and_came_back_differs_in_all_its_names() -> None:
    assert changes(row(3, {"a": 1}), row(2, None), row(1, {"a": 1})) == [["a"], ["a"], ["a"]]


def test_values_are_compared_as_they_are_and_null_is_like_none() -> None:
    assert changes(row(2, {"a": False, "b": None, "c": [1]}), row(1, {"a": "", "c": [1]})) == [["a"], ["a", "c"]]


SETTINGS = st.none() | st.dictionaries(st.sampled_from("abc"), st.integers(0, 1), max_size=3)


@given(st.lists(SETTINGS, max_size=5))
def test_there_is_one_entry_for_each_version_and_two_that_are_alike_differ_in_nothing(given_: list[Any]) -> None:
    rows = [row(len(given_) - number, each) for number, each in enumerate(given_)]
    found = compared(rows)
    assert [each["version"] for each in found] == [each["version"] for each in rows]
    for newer, older, told in zip(given_, given_[1:], found, strict=False):
        assert (told["changes"] == []) == ((newer or {}) == (older or {}))
