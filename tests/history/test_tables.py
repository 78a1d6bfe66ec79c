"""The schema of the history, and how times stand in it: as text whose order is that of the times."""

from __future__ import annotations

import math
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.history import node_tables, spent_calls
from callflow.history.tables import find_words, iso, metadata


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"), (-0.001, "1969-12-31T23:59:59.999Z"), (0.9996, "1970-01-01T00:00:00.999Z"),
        (1_700_000_000.25, "2023-11-14T22:13:20.250Z"), (253_402_300_799.0, "9999-12-31T23:59:59.000Z"),
        (-62_135_596_800.0, "0001-01-01T00:00:00.000Z"),
    ],
)  # fmt: skip
def test_a_time_is_told_to_the_millisecond(at: float, text: str) -> None:
    assert iso(at) == text


@given(st.floats(-6e10, 2.5e11), st.floats(-6e10, 2.5e11))
def test_the_order_of_texts_is_that_of_the_times(one: float, other: float) -> None:
    first, second = iso(min(one, other)), iso(max(one, other))
    assert first <= second
    assert len(first) == len(second) == 24
    assert abs(datetime.fromisoformat(first).timestamp() - min(one, other)) < 0.0011


@pytest.mark.parametrize("at", [math.nan, math.inf, 1e300])
def test_what_is_no_time_is_an_error_and_no_row(at: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        iso(at)


def test_each_index_belongs_to_a_table_and_has_a_name_of_its_own() -> None:
    assert {node_tables.nodes.name, spent_calls.spent_calls.name} <= set(metadata.tables), "all are in one schema"
    names = [index.name for table in metadata.tables.values() for index in table.indexes]
    assert len(names) == len(set(names))
    assert all(names)


@pytest.mark.parametrize("is_sqlite", [True, False])
def test_the_words_of_one_conversation_are_written_anew(is_sqlite: bool) -> None:
    for statement in find_words(is_sqlite, "call_id = :call"):
        assert list(statement.compile().params) == ["call"], "of that one alone"
