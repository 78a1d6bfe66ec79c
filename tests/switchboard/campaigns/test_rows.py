"""Lists of numbers: every form they come in, and every reason for which a row is skipped."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pytest

from callflow.config.dial_rules import DialRules
from callflow.contracts.errors import BadList
from callflow.switchboard.campaigns.rows import (
    DUPLICATE,
    NEVER,
    NO_ZONE,
    Row,
    from_csv,
    from_json,
    judge,
    variable_warnings,
)
from callflow.switchboard.campaigns.schedule import Schedule


NOW = datetime.fromisoformat("2026-11-27T12:00:00+00:00").timestamp()
BERLIN, HAMBURG = "+4930901820", "+4940123456"


def judged(rows: Iterable[Row], schedule: Schedule | None = None) -> list[Row]:
    check = DialRules((), ()).check
    return judge(iter(rows), schedule or Schedule(), NOW, check=check, seen=set(), most=1_000_000)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("heading", ["number", "Phone Number", "TEL", "toNumber"])
def test_every_form_of_csv(mark: str, delimiter: str, end: str, heading: str) -> None:
    lines = [[heading, "name", "Time Zone"], [BERLIN, "Zoë", ""], [], [HAMBURG, "", "Europe/London"]]
    body = mark + end.join(delimiter.join(line) for line in lines)
    first, second = judged(from_csv(body.encode()))
    assert (first.line, first.number, first.variables, first.zones) == (2, BERLIN, {"name": "Zoë"}, "Europe/Berlin")
    assert (second.line, second.number, second.zones, second.reason) == (4, HAMBURG, "Europe/London", "")


def test_values_may_hold_delimiters_quotes_and_line_breaks() -> None:
    (row,) = judged(from_csv(f'name;number\n"Ann; ""the boss""\nof us";{BERLIN}\n'.encode()))
    assert row.variables == {"name": 'Ann; "the boss"\nof us'}
    assert row.line == 3


@pytest.mark.parametrize("heading", ['"number","a;b;c"', 'number,"a\n;;;"'])
def test_the_delimiter_is_what_stands_between_names(heading: str) -> None:
    (row,) = judged(from_csv(f"{heading}\r{BERLIN},x\r".encode()))
    assert (row.number, list(row.variables.values())) == (BERLIN, ["x"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("+49 30 90182-0,x,", ""), ("030901820,x,", "E.164"), ("+1911,x,", "Emergency"), (",x,", "E.164"),
        (f"{BERLIN},x,Mars/Olympus", "no name"), (f"{BERLIN},{'x' * 501},", "500"), (f"{BERLIN},{'x' * 500},", ""),
        (f"{BERLIN},x,,y", "more columns"), ("+15550100007,x,", NO_ZONE), ("+15550100007,x,America/New_York", ""),
        (f"{BERLIN},a\x00b,", "NUL"), ("+61491570006,x,", ""),
    ],
)  # fmt: skip
def test_a_bad_row_is_skipped_with_its_line_and_the_reason(line: str, reason: str) -> None:
    first, second = judged(from_csv(f"number,name,timezone\n{line}\n{HAMBURG},y,\n".encode()))
    assert first.line == 2
    assert reason in first.reason
    assert bool(first.reason) is bool(reason), first.reason
    assert (second.line, second.reason) == (3, "")


def test_a_number_whose_zones_never_have_the_hours_at_the_same_time_is_skipped() -> None:
    (row,) = judged([Row(2, "+61491570006")], Schedule(begins=9 * 60, ends=10 * 60))
    assert row.reason == NEVER


def test_duplicates_are_called_once_however_they_are_written() -> None:
    rows = judged(from_csv(f"number\n{BERLIN}\n+49 (30) 90182-0\n{HAMBURG}\n{BERLIN}".encode()))
    assert [row.reason for row in rows] == ["", DUPLICATE, "", DUPLICATE]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"), (b"\n\n", "empty"), (b"name,age\nx,1\n", "no column number"), (b"\xff\xfenumber", "line 1"),
        (b"number\n+4930901820\n\xe4", "line 3"), (b"number,name,name\n", "twice"), (b"phone,tel\n", "twice"),
        (b"number," + b",".join(b"a%d" % each for each in range(60)), "variables"),
        (b"number," + b",".join(b"a%d" % each for each in range(51)), "variables"),
        (b"number," + b"a" * 65, "variables"),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_read_at_all_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(BadList, match=says):
        list(from_csv(body))


@pytest.mark.parametrize(
    "rows",
    [
        f'{BERLIN},"Bob\n{HAMBURG},Ann\n{HAMBURG},Eve\n',
        f'{BERLIN},"Bob\n{HAMBURG},"Ann"\n',
        f'{BERLIN},"Bob\n' + f"{HAMBURG},Ann and others\n" * 9000,
        f'{BERLIN},"Bob',
    ],
    ids=["to the end", "to the next quote", "very many", "in the last line"],
)
def test_a_quote_that_is_not_closed_loses_nobody(rows: str) -> None:
    """Else the rows behind it would be a value of the first one, and would be said in its call."""
    with pytest.raises(BadList, match="line 3 of the list is not closed"):
        list(from_csv(f"number,name\n{HAMBURG},Zoe\n{rows}".encode()))


def test_a_quote_in_the_middle_of_a_value_is_one() -> None:
    (row,) = judged(from_csv(f'number,size\n{BERLIN},5" pipe\n'.encode()))
    assert row.variables == {"size": '5" pipe'}


def test_a_heading_of_very_many_columns_is_refused_at_once() -> None:
    body = b"number," + b",".join(b"c%06d" % column for column in range(100_000))
    began = time.process_time()
    with pytest.raises(BadList, match="50 variables"):
        list(from_csv(body))
    assert time.process_time() - began < 5, "it takes the square of their number"


def test_a_field_that_is_too_long_spoils_its_row_only() -> None:
    body = f'number,name\n{BERLIN},"{"x" * 200_000}"\n{HAMBURG},y\n'.encode()
    rows = judged(from_csv(body))
    assert "CSV" in rows[0].reason
    assert rows[-1].reason == ""


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (BERLIN, ""), ({"number": BERLIN}, ""), ({"number": BERLIN, "variables": {"name": "Ann"}}, ""),
        (7, "no number"), ({"number": BERLIN, "name": "Ann"}, "only"), ({"number": 7}, "texts"),
        ({"number": BERLIN, "timezone": 0}, "texts"), ({"number": BERLIN, "variables": []}, "object"),
        ({"number": BERLIN, "variables": None, "timezone": None}, ""),
        ({"number": BERLIN, "timezone": 1}, "texts"), ({"number": BERLIN, "variables": {"a": 1}}, "texts"),
        ({"number": BERLIN, "variables": {"a": "x" * 501}}, "500"), ({}, "texts"),
        ({"number": BERLIN, "variables": {str(each): "" for each in range(51)}}, "variables"),
    ],
)  # fmt: skip
def test_rows_in_json(given: Any, reason: str) -> None:
    (row,) = judged(from_json([given]))
    assert row.line == 1
    assert reason in row.reason
    assert bool(row.reason) is bool(reason)


def test_what_is_no_number_is_not_kept() -> None:
    (row,) = judged(from_csv(b"number\nmy secret\n"))
    assert (row.number, bool(row.reason)) == ("", True)


@pytest.mark.exhaustive
def test_a_long_list_is_read_as_it_is_asked_for() -> None:
    reading = from_csv(b"number,name\n" + b"".join(b"+4930%07d,Ann\n" % each for each in range(100_000)))
    some = judge(reading, Schedule(), NOW, check=lambda number: "", seen=set(), most=250)
    assert len(some) == 250
    assert sum(1 for _ in reading) == 100_000 - 250


def test_what_is_left_out_of_what_the_model_is_told_is_named() -> None:
    with_name, without = {"number": BERLIN, "variables": {"name": "Ann", "x!": "1"}}, {"number": HAMBURG}
    rows = judged(from_json([with_name, without, {"number": "+1911", "variables": {}}]))
    assert variable_warnings(("name", "nmae"), rows) == [
        "{{name}} is left out of 1 calls: their rows have none", "{{nmae}} is left out: no row has such a variable",
        "x! is no name for a variable: letters, digits, _ . - and blanks",
    ]  # fmt: skip
    assert variable_warnings(("name",), judged(from_csv(f"number,name\n{BERLIN},Ann\n".encode()))) == []
