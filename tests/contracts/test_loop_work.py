"""Whose fault it is that the event loop was late."""

from __future__ import annotations

import pytest

from callflow.contracts.loop_work import is_own_work


@pytest.mark.parametrize(
    ("lag", "used", "own"),
    [(0.1, 0.1, True), (0.1, 0.05, True), (0.1, 0.049, False), (0.1, 0.0, False), (0.0, 0.0, True), (-0.1, 0.0, True),
     (0.1, 5.0, True)],
)  # fmt: skip
def test_half_of_it_at_work_is_its_own(lag: float, used: float, own: bool) -> None:
    assert is_own_work(lag, used) is own
