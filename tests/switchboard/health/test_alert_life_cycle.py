"""When a finding becomes an alert, and when that is over."""

from __future__ import annotations

import itertools
from typing import Literal

import pytest

from callflow.contracts.diagnostics import Finding
from callflow.switchboard.health.alert_life_cycle import CLOSE_AFTER, DOCTOR, Alert, LifeCycle
from callflow.switchboard.health.finding_history import FindingHistory, RecentIncrease


EACH = 10
"""Seconds between two looks."""
State = Literal["ok", "wrong", "note"]


def cycle() -> LifeCycle:
    ids = itertools.count(1)
    return LifeCycle(lambda: f"a{next(ids)}")


def finding(state: State = "wrong", about: str = "disk", what: str = "full") -> Finding:
    return Finding(about, state, what, "make room")


def lived(looks: str) -> list[str]:
    """Look every ten seconds: `w` wrong, `n` a note, `.` nothing; `s` and `c`: between two looks somebody has seen it,
    or closed it. Returns what happened, with the number of the look."""
    told, one, found = [], cycle(), 0
    for each in looks:
        now = found * EACH
        if each in "sc":
            act = one.see if each == "s" else one.close
            alert = act(one.alerts[0].id if one.alerts else "a0", "ada", now)
            told.append(f"{found} {alert.state if alert else 'no'}")
            continue
        states: dict[str, State] = {"w": "wrong", "n": "note"}
        known = {alert.id for alert in one.alerts}
        for alert in one.look([finding(states[each])] if each in states else [], now):
            over = "over" if alert.over_at is not None else "changed" if alert.id in known else "opened"
            told.append(f"{found} {alert.id} {over} {alert.state}{' by ' + alert.closed_by if alert.closed_by else ''}")
        found += 1
    return told


LONG = "." * int(CLOSE_AFTER // EACH)


@pytest.mark.parametrize(
    ("looks", "happened"),
    [
        ("ww...", []),  # what lasts a moment opens none
        ("www", ["2 a1 opened open"]),
        ("nnn", []),  # what is only worth a look has to last longer
        ("nnnnnnn", ["6 a1 opened open"]),
        ("w..w..w", ["3 a1 opened open"]),  # what comes and goes opens one,
        ("www...w..w.....w", ["2 a1 opened open"]),  # and not many
        ("w.....ww", []),  # but not what was there once, long ago
        (f"www{LONG}", ["2 a1 opened open", "14 a1 over closed"]),
        (f"www{LONG}www", ["2 a1 opened open", "14 a1 over closed", "17 a2 opened open"]),
        ("wwwn", ["2 a1 opened open", "3 a1 changed open"]),
        ("wwws", ["2 a1 opened open", "3 seen"]),
        (f"wwwss{LONG}", ["2 a1 opened open", "3 seen", "3 no", "14 a1 over closed"]),
        ("wwwcwwwww", ["2 a1 opened open", "3 closed"]),  # closed by hand, it stays closed while it goes on,
        (f"wwwcs{LONG}www", ["2 a1 opened open", "3 closed", "3 no", "14 a1 over closed by ada", "17 a2 opened open"]),
        ("s", ["0 no"]),
    ],
)
def test_its_life(looks: str, happened: list[str]) -> None:
    assert lived(looks) == happened


def test_what_the_doctor_has_found_stands_until_the_doctor_does_not_find_it() -> None:
    one = cycle()
    (alert,) = one.look([finding(about="OpenAI")], 0, scope=DOCTOR, is_sure=True)
    assert (alert.key, alert.state) == ("doctor/OpenAI", "open")
    assert one.look([], 10_000) == [], "others know nothing of it"
    assert one.look([finding(about="OpenAI")], 10_001, scope=DOCTOR, is_sure=True) == []
    (over,) = one.look([], 10_002, scope=DOCTOR, is_sure=True)
    assert (over.id, over.closed_at, over.closed_by) == (alert.id, 10_002, "")
    assert one.alerts == []


def test_the_alerts_of_the_process_before_go_on() -> None:
    before = Alert("a9", "disk", "wrong", "disk", "full", "make room", 1.0)
    one = cycle()
    one.restore([before, Alert("a8", "time", "wrong", "time", "late", "", 1.0, over_at=2.0)], 1000)
    assert one.look([finding()], 1010) == [], "it is the same one"
    assert [each.id for each in one.alerts] == ["a9"]
    assert one.look([], 1010 + CLOSE_AFTER) == [before]


def test_a_finding_has_a_past() -> None:
    history = FindingHistory()
    states: list[State] = ["ok", "wrong", "note", "note"]
    for minute, state in enumerate(states):
        history.take([finding("ok"), finding(state)], 60.0 * minute)
    assert history.hour("disk", 60.0 * 5).endswith("-0211--")
    assert (history.since("disk"), history.since("other")) == (180.0, None)
    history.take([finding("ok", "other")], 60.0 * 100)
    assert history.since("disk") is None, "nobody has looked at it for an hour"


def test_figures_that_only_rise_are_told_by_how_much_lately() -> None:
    rise = RecentIncrease(900.0)
    assert [rise.take("lost", value, at) for value, at in ((5, 0), (5, 100), (8, 200), (8, 1000))] == [0, 0, 3, 3]
    assert rise.take("lost", 8, 1200) == 0
