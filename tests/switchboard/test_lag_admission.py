"""When the lag of the loop closes the door to new calls, and when it does not."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.contracts.events import CallInitiated, CallRefused
from callflow.switchboard.admission import Admission
from callflow.switchboard.caller_limits import CallerLimits
from callflow.switchboard.lag_admission import LagAdmission


def fed(windows: list[tuple[float, float]], lag_ms: float = 15) -> tuple[LagAdmission, list[int]]:
    """What has seen windows of 50 samples, each (lag, processor time) in ms, and which windows changed it."""
    load, changed, now = LagAdmission(lag_ms, 10, window_seconds=4.95), [], 0.0
    for number, (lag, used) in enumerate(windows):
        for _ in range(50 if number else 51):  # the first sample begins the first window
            if load.sample(lag / 1000, used / 1000, now):
                changed.append(number)
            now += 0.1
    return load, changed


OURS, STILL, GOOD = (40.0, 60.0), (1000.0, 2.0), (1.0, 30.0)


@pytest.mark.parametrize(
    ("windows", "overloaded", "changed"),
    [
        ([GOOD] * 3, False, []),
        ([OURS], False, []),
        ([OURS, OURS], True, [1]),
        ([OURS, GOOD, OURS], False, []),
        ([OURS, OURS, OURS], True, [1]),
        ([OURS, OURS, GOOD], False, [1, 2]),
        ([STILL] * 4, False, []),
        ([OURS, STILL, OURS], False, []),
    ],
)
def test_two_bad_windows_close_and_one_good_one_opens(
    windows: list[tuple[float, float]], overloaded: bool, changed: list[int]
) -> None:
    load, seen = fed(windows)
    assert (load.is_overloaded, seen) == (overloaded, changed)


def test_few_calls_and_a_setting_of_0_refuse_nobody() -> None:
    load, _ = fed([OURS, OURS])
    assert load.refusal(10) == ""
    assert load.refusal(11) == "the event loop is 40 ms late (p99), more than 15 ms"
    assert fed([OURS] * 3, lag_ms=0)[0].refusal(99) == ""


async def test_admission_refuses_as_busy_and_says_why() -> None:
    class One:
        id, from_number = "a call", "+15550100001"
        carrier = SimpleNamespace(can=frozenset({"speaks"}))
        given_config = None
        config = SimpleNamespace(opening=None, over_budget="busy", when_closed="busy", when_full="busy")

    load, _ = fed([OURS, OURS])
    admission = Admission(100, CallerLimits(), load, Counter())
    rings = CallInitiated(from_number="+15550100001", to_number="+15550100002")
    refused = admission.admit(cast(Any, One()), rings, 12)
    assert isinstance(refused, CallRefused)
    assert (refused.reason, "40 ms" in refused.why) == ("busy", True)
    assert admission.admit(cast(Any, One()), rings, 11) is rings
