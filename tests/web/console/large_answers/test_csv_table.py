"""Conversations as a table: what a spreadsheet would run, and who a cell belongs to."""

from __future__ import annotations

import pytest

from callflow.web.console.large_answers.csv_table import _cell, head


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("  @x", "'  @x"),
        ("-2", "'-2"),
        ("\uff1d1", "'\uff1d1"),
        ("+15550100001", "+15550100001"),
        (7, 7),
        ("a", "a"),
    ],
)
def test_a_cell_runs_no_formula(value: object, cell: object) -> None:
    assert _cell(value) == cell


def test_the_first_line_names_the_columns() -> None:
    assert head().startswith(b'"id","call_id"')
