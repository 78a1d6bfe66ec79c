"""Whose fault it is that something could not be written: a database in trouble is waited for, a bad entry is not."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    StatementError,
)

from callflow.contracts.errors import CannotWrite
from callflow.history.write_errors import unexplained, unless_of_the_database, whose_fault


def of_sqlite(code: int) -> DBAPIError:
    error = sqlite3.OperationalError("odd")
    error.sqlite_errorcode = code
    return OperationalError("INSERT", {}, error)


def of_postgresql(state: Any, kind: type[DBAPIError] = DBAPIError, cause: BaseException | None = None) -> DBAPIError:
    error: Any = Exception("odd")
    error.sqlstate = state
    error.__cause__ = cause
    return kind("INSERT", {}, error)


def lost() -> DBAPIError:
    error = of_sqlite(1)
    error.connection_invalidated = True
    return error


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (of_sqlite(13), "database"), (of_sqlite(5 | 2 << 8), "database"), (of_sqlite(1), "unknown"),
        (of_sqlite(18), "unknown"), (lost(), "database"), (OSError("no such host"), "database"),
        (TimeoutError(), "database"), (CannotWrite(ValueError("odd")), "entry"),
        (StatementError("odd", "INSERT", {}, TypeError()), "entry"), (DataError("INSERT", {}, Exception()), "entry"),
        (IntegrityError("INSERT", {}, Exception()), "entry"), (of_postgresql("22P05"), "entry"),
        (of_postgresql("23505"), "entry"), (of_postgresql("0A000"), "unknown"), (of_postgresql("54000"), "unknown"),
        (of_postgresql("53100"), "database"), (of_postgresql("57P01"), "database"), (of_postgresql(""), "unknown"),
        (of_postgresql(None), "unknown"), (of_postgresql("", cause=OverflowError()), "entry"),
        (of_postgresql("53100", cause=KeyError()), "database"),
    ],
)  # fmt: skip
def test_each_error_is_somebodys(error: Exception, fault: str) -> None:
    assert whose_fault(error) == fault


@pytest.mark.parametrize(
    "error", [OSError("disk"), of_sqlite(13), sqlite3.DatabaseError("odd"), CannotWrite(ValueError())]
)
def test_what_the_database_says_comes_out_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, unless_of_the_database():
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), ValueError("odd"), KeyError("x"), UnicodeEncodeError("a", "b", 0, 1, "c")]
)
def test_a_fault_of_ours_cannot_be_written_and_says_which_it_was(error: Exception) -> None:
    with pytest.raises(CannotWrite) as raised, unless_of_the_database():
        raise error
    assert raised.value.__cause__ is error
    assert whose_fault(raised.value) == "entry"


@pytest.mark.parametrize(
    ("error", "needed"),
    [
        (of_postgresql("57P01"), False), (of_sqlite(5), False), (OSError("refused"), False), (TimeoutError(), False),
        (of_postgresql("42703"), True), (ValueError("odd"), True), (IntegrityError("INSERT", {}, Exception()), True),
    ],
)  # fmt: skip
def test_a_traceback_is_needed_unless_the_database_is_in_trouble(error: Exception, needed: bool) -> None:
    assert (unexplained(error) is error) == needed
