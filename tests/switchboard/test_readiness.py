"""What a load balancer is told, and in which order the reasons count."""

from __future__ import annotations

from collections import Counter

import pytest

from callflow.switchboard.admission import Admission
from callflow.switchboard.caller_limits import CallerLimits
from callflow.switchboard.lag_admission import LagAdmission
from callflow.switchboard.readiness import RETRY_AFTER, unready


class FakeNode:
    def __init__(self, word: str, beside: bool) -> None:
        self.word, self.beside = word, beside

    def lacks(self) -> str:
        return self.word

    def has_room_beside(self) -> bool:
        return self.beside


class CapacityOfAdmission:
    """The switchboard's part of it, over the real admission."""

    def __init__(self, live: int, load: LagAdmission) -> None:
        self.admission = Admission(3, CallerLimits(), load, Counter())
        self.live = live

    @property
    def is_accepting(self) -> bool:
        return self.admission.is_open

    def dial_refusal(self, config: None) -> str:
        return self.admission.dial_refusal(self.live + 1, config)


@pytest.mark.parametrize(
    ("live", "late", "open_", "lacks", "beside", "word"),
    [
        (2, False, True, "", False, ""),
        (3, False, True, "", False, "full"),
        (3, False, True, "", True, ""),
        (2, True, True, "", False, "full"),
        (0, False, True, "database", True, "database"),
        (3, False, True, "starting", False, "starting"),
        (0, False, True, "draining", False, "draining"),
        (0, False, False, "database", False, "draining"),
        (0, False, False, "", True, ""),
    ],
)
async def test_new_calls_are_asked_for_only_where_they_would_be_taken_and_be_on_record(
    live: int, late: bool, open_: bool, lacks: str, beside: bool, word: str
) -> None:
    load = LagAdmission(15, 0, window_seconds=1)
    for second in range(4):
        load.sample(0.5 if late else 0.0, 1.0, float(second))
    switchboard = CapacityOfAdmission(live, load)
    if not open_:
        switchboard.admission.close()
    assert unready(switchboard, FakeNode(lacks, beside)) == word
    assert not word or word in RETRY_AFTER
