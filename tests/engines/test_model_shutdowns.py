"""What the vendor says about models that it switches off."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from callflow.engines.openai_realtime.model_shutdowns import read_dates, shutdowns


@pytest.mark.parametrize(
    ("told", "dates"),
    [
        ({"data": [{"id": "a", "shutdown_date": "2027-01-20"}]}, {"a": date(2027, 1, 20)}),
        ({"data": [{"id": "a", "shutdown_date": "2027-01-20T00:00:00Z"}]}, {"a": date(2027, 1, 20)}),
        ({"data": [{"id": "a", "shutdown_date": 1800403200}]}, {"a": date(2027, 1, 20)}),
        ({"data": [{"id": "a"}, {"id": "b", "shutdown_date": None}, {"id": "c", "shutdown_date": "soon"}, 7]}, {}),
        ({"data": [{"id": "a", "shutdown_date": 1e30}, {"shutdown_date": "2027-01-20"}]}, {}),
        ({"data": {}}, {}), ({}, {}),
    ],
)  # fmt: skip
def test_days_are_read_in_whatever_form_and_the_rest_is_passed_over(told: Any, dates: Any) -> None:
    assert read_dates(told) == dates


def test_each_model_in_use_that_ends_is_said_once() -> None:
    dates = {"a": date(2027, 1, 20), "b": date(2026, 1, 1), "c": date(2028, 1, 1)}
    assert shutdowns(dates, ["b", "a", "b", "x"], date(2026, 11, 28)) == [
        "b was switched off by its vendor on 2026-01-01: choose another",
        "a will be switched off by its vendor on 2027-01-20: choose another",
    ]
