"""What Twilio says that a call has cost, whatever it says."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.contracts.cost_events import CarrierCost
from carriers.twilio.costs import cost_of, costs_of


@pytest.mark.parametrize(
    ("told", "cost"),
    [
        ({"sid": "CA1", "price": "-0.014", "price_unit": "usd", "duration": "60"}, ("CA1", 0.014, "USD", 60.0)),
        ({"price": -1, "price_unit": None}, ("", 1.0, "USD", None)), ({"price": None}, None), ({}, None),
        ({"price": "x"}, None), ({"price": "NaN"}, None), ({"price": 10**400}, None), ({"price": []}, None),
    ],
)  # fmt: skip
def test_a_price_is_read_and_what_is_none_is_not_known(told: dict[str, Any], cost: tuple[Any, ...] | None) -> None:
    wanted = None if cost is None else CarrierCost(of=cost[0], amount=cost[1], currency=cost[2], seconds=cost[3])
    assert cost_of(told) == wanted


PRICED, COMING = {"sid": "CA1", "price": "-0.01", "status": "completed"}, {"sid": "CA2", "status": "completed"}
UNANSWERED = {"sid": "CA3", "status": "no-answer"}


@pytest.mark.parametrize(
    ("legs", "known", "is_whole"),
    [([PRICED], 1, True), ([PRICED, COMING], 1, False), ([PRICED, UNANSWERED], 1, True), ([COMING], 0, False)],
)
def test_a_price_that_is_still_to_come_is_told_from_a_leg_that_has_none(
    legs: list[dict[str, Any]], known: int, is_whole: bool
) -> None:
    costs, told = costs_of(legs)
    assert (len(costs), told) == (known, is_whole)
