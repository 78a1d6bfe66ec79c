"""What the server finds when it looks at itself, at the edges between well, worth a look and wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.history.history import History
from callflow.switchboard.health import findings
from callflow.switchboard.switchboard import Switchboard


def calls(live: int, most: int, *, is_accepting: bool = True) -> str:
    board = SimpleNamespace(calls=[None] * live, is_accepting=is_accepting)
    (found,) = findings.of_calls(cast(Switchboard, board), most)
    assert str(live) in found.what
    return found.state


@pytest.mark.parametrize(
    ("live", "most", "state"),
    [(0, 0, "ok"), (999, 0, "ok"), (0, 1, "ok"), (1, 1, "wrong"), (7, 10, "ok"), (8, 10, "note"), (9, 10, "note"),
     (10, 10, "wrong"), (11, 10, "wrong")],
)  # fmt: skip
def test_calls_are_judged_by_how_many_there_may_be(live: int, most: int, state: str) -> None:
    assert calls(live, most) == state
    assert calls(live, most, is_accepting=False) == "wrong"


@pytest.mark.parametrize(
    ("lost", "failed", "word"), [(0, 0, ""), (2, 2, ""), (3, 2, "ends of calls"), (2, 3, "failed"), (9, 9, "failed")]
)
def test_one_that_fails_is_a_matter_of_its_call_and_three_are_the_carriers(lost: int, failed: int, word: str) -> None:
    found = findings.of_carriers(lost, failed, 15)
    assert (found.state, word in found.what) == ("note" if word else "ok", True)


@pytest.mark.parametrize(
    ("told", "state", "word"),
    [
        ({}, "ok", "it answers"), ({"state": "closed", "why": "old"}, "ok", "it answers"),
        ({"state": "of tomorrow"}, "ok", "it answers"), ({"state": "probing", "why": "401"}, "note", ": 401"),
        ({"state": "open"}, "wrong", "it does not answer"),
        ({"state": "open", "next_probe_in": 4.4}, "wrong", "in 4 s"),
        ({"state": "open", "next_probe_in": None}, "wrong", "it does not answer"),
        ({"state": "open", "why": "429", "beside": {"state": "closed"}}, "wrong", "the second takes its calls: 429"),
        ({"state": "open", "beside": {"state": "open"}}, "wrong", "it does not answer"),
        ({"state": "closed", "beside": {"state": "open", "why": "403"}}, "wrong", "engine does not answer: 403"),
        ({"state": "closed", "beside": {"state": "closed"}}, "ok", "it answers"),
        ({"beside": "odd"}, "ok", "it answers"),
    ],
)  # fmt: skip
def test_the_model_is_judged_by_the_last_calls(told: Any, state: str, word: str) -> None:
    found = findings.of_engine(told)
    assert (found.state, word in found.what) == (state, True), found.what
    assert bool(found.remedy) == (state == "wrong")


def book(*, readable: bool = True, trouble: str = "", waiting: int = 0) -> History:
    journal = SimpleNamespace(trouble=trouble, waiting=waiting)
    made: Any = SimpleNamespace(is_readable=readable, journal=journal, database=SimpleNamespace(is_sqlite=True))
    return cast(History, made)


@pytest.mark.parametrize(
    ("took", "state"), [(None, "ok"), (0.0, "ok"), (500.0, "ok"), (500.1, "note"), (float("inf"), "wrong")]
)
def test_the_database_is_judged_by_the_smallest_question(took: float | None, state: str) -> None:
    found = findings.of_database(book(), took)
    assert (found.state, found.what.startswith("SQLite")) == (state, True)
    closed = findings.of_database(book(readable=False, trouble="no such host"), took)
    assert (closed.state, closed.what) == ("wrong", "it is not open: no such host")


@pytest.mark.parametrize(
    ("journal", "lost", "states"),
    [
        (book(), 0, ["ok"]), (book(waiting=1000), 0, ["ok"]), (book(waiting=1001), 0, ["note"]), (book(), 1, ["wrong"]),
        (book(trouble="disk full"), 0, ["wrong"]), (book(trouble="x", readable=False), 0, []),
        (book(readable=False), 2, ["wrong"]),
    ],
)  # fmt: skip
def test_the_journal_is_judged_by_what_waits_and_what_is_lost(journal: History, lost: int, states: list[str]) -> None:
    assert [each.state for each in findings.of_journal(journal, lost, 15)] == states


@pytest.mark.parametrize(
    ("step", "state", "word"),
    [(0.0, "ok", ""), (1.99, "ok", ""), (-1.99, "ok", ""), (2.0, "note", "+2 s"), (-3600.0, "note", "-3600 s")],
)
def test_a_clock_that_jumps_is_worth_a_look_whichever_way(step: float, state: str, word: str) -> None:
    found = findings.of_clock(step, 15)
    assert (found.state, word in found.what) == (state, True)


@pytest.mark.parametrize(
    ("free", "state"),
    [(None, "note"), (0, "wrong"), ((512 << 20) - 1, "wrong"), (512 << 20, "note"), ((2 << 30) - 1, "note"),
     (2 << 30, "ok"), (1 << 60, "ok")],
)  # fmt: skip
def test_a_disk_is_judged_by_what_is_free(free: int | None, state: str) -> None:
    assert findings.of_disk(free).state == state


@pytest.mark.parametrize(
    ("late", "overloaded", "felt", "state"),
    [
        (0.0, False, 0.0, "ok"), (30.0, False, 30.0, "ok"), (30.1, False, 0.0, "note"), (0.0, False, 30.1, "note"),
        (0.0, False, 150.0, "note"), (0.0, False, 150.1, "wrong"), (200.0, False, 190.0, "note"),
        (1.0, True, 0.0, "wrong"),
    ],
)  # fmt: skip
def test_lateness_is_judged_by_whether_it_is_heard(late: float, overloaded: bool, felt: float, state: str) -> None:
    assert findings.of_loop(late, is_overloaded=overloaded, felt_ms=felt).state == state


def test_who_took_processor_time_away_is_named_if_it_was_a_second() -> None:
    assert findings.lost_time(0.9, 0.9, 5) == findings.lost_time(-5.0, float("nan"), 5) == ""
    assert findings.lost_time(3.0, 0.0, 5).endswith("taken away, 3 s by a limit of this process (cpu quota)")
    assert "and 2 s by the host of this machine" in findings.lost_time(1.0, 2.0, 5)


# Budgets and events


def whole(**more: Any) -> dict[str, Any]:
    return {"calls": 3, "usd": 1.234, **more}


def budget(known: bool = True, **used: float) -> list[tuple[str, str, str]]:
    of_all = whole(used=used.pop("all")) if "all" in used else whole()
    told = {"known": known, "all": of_all, "profiles": [{"profile": name, "used": each} for name, each in used.items()]}
    return [(each.state, each.what, each.key) for each in findings.of_budget(told)]


def test_each_ceiling_has_a_line_of_its_own_from_four_fifths_on() -> None:
    assert list(findings.of_budget(None)) == [], "it is not counted"
    ((state, what, key),) = budget()
    assert (state, what) == ("ok", "3 calls today, $1.23; there is no ceiling for a day")
    assert budget(all=0.79) == [("ok", "3 calls today, $1.23", key)]
    near = budget(all=0.8, sales=1.0, care=0.5)
    assert [each for each, _, _ in near] == ["note", "wrong"]
    assert near[1][1:] == ("profile sales used 100% of what they may take today", "budget: sales")
    assert [each for each, _, _ in budget(all=7.5)] == ["wrong"]


def test_what_was_spent_before_the_start_may_not_be_known_yet() -> None:
    assert budget(False)[-1][:2] == ("note", "what calls took before the start is not known yet")
    one = {"known": True, "all": whole(calls=1), "profiles": []}
    assert next(iter(findings.of_budget(one))).what.startswith("1 call today")


@pytest.mark.parametrize(
    ("told", "state"),
    [
        (None, "ok"), ({"waiting": 0, "dead": 0}, "ok"), ({"waiting": 5, "dead": 1, "trouble": ""}, "note"),
        ({"waiting": 5, "dead": 1, "trouble": "HTTP 500"}, "wrong"),
    ],
)  # fmt: skip
def test_events_are_judged_by_whether_they_arrive(told: Any, state: str) -> None:
    assert findings.of_events(told).state == state


@settings(max_examples=20)
@given(st.floats(), st.floats(), st.booleans(), st.integers(-5, 1 << 70))
def test_no_figure_however_odd_fails_the_page(one: float, other: float, flag: bool, free: int) -> None:
    for found in (
        findings.of_loop(one, is_overloaded=flag, felt_ms=other), findings.of_clock(one, 15), findings.of_disk(free),
        *findings.of_budget({"known": flag, "all": whole(used=one, usd=other), "profiles": []}),
    ):  # fmt: skip
        assert found.state in ("ok", "note", "wrong")
        assert found.what
