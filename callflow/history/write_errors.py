"""Whose fault it is that something could not be written: the database's, or that of what was to be written. Pure.

A database in trouble is waited for; an entry that no database takes must not be. The databases say which it is: SQLite
by its result codes (https://sqlite.org/rescode.html), PostgreSQL by SQLSTATE (its manual, appendix A).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from callflow.contracts.errors import CannotWrite


Fault = Literal["entry", "database", "unknown"]

_SQLITE_TROUBLE: Final = frozenset({3, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 22, 23, 26})
"""PERM, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, NOLFS, AUTH, NOTADB."""
_SQLSTATE_DATA: Final = ("22", "23")
"""Data exceptions and violated constraints."""
_SQLSTATE_UNKNOWN: Final = ("0A", "54")
"""Not supported; a limit of the program, such as the longest text that can be searched."""
_SQLSTATE_STATEMENT: Final = "42"
"""A statement that is wrong, or may not be run."""
_PYTHONS: Final = (TypeError, ValueError, OverflowError)
_DRIVERS: Final = frozenset({"sqlalchemy", "sqlite3", "asyncpg"})


@contextmanager
def unless_of_the_database() -> Iterator[None]:
    """Raise CannotWrite for whatever goes wrong within that is neither the database's nor the network's."""
    try:
        yield
    except (OSError, CannotWrite):
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] in _DRIVERS:
            raise
        raise CannotWrite(error) from error


def _cause(error: DBAPIError) -> BaseException | None:
    """What asyncpg says of a value before it sends it is an error of Python's own."""
    return getattr(error.orig, "__cause__", None)


def whose_fault(error: Exception) -> Fault:
    """Return whose fault it is that something could not be written; "unknown": it may be either's."""
    if isinstance(error, CannotWrite):
        return "entry"
    if not isinstance(error, StatementError):
        return "database"
    if not isinstance(error, DBAPIError):
        return "entry"  # a value that the driver was never given
    if error.connection_invalidated:
        return "database"
    if isinstance(error, (DataError, IntegrityError)) or isinstance(_cause(error), _PYTHONS):
        return "entry"
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return "database" if code & 0xFF in _SQLITE_TROUBLE else "unknown"
    state = str(getattr(error.orig, "sqlstate", "") or "")
    if state[:2] in _SQLSTATE_DATA:
        return "entry"
    return "unknown" if not state or state[:2] in _SQLSTATE_UNKNOWN else "database"


def unexplained(error: Exception) -> Exception | None:
    """Return what a log needs the traceback of; None: the database is in trouble, and that says it all."""
    if not isinstance(error, DBAPIError):
        return None if isinstance(error, OSError) else error
    is_ours = str(getattr(error.orig, "sqlstate", "") or "").startswith(_SQLSTATE_STATEMENT)
    return None if whose_fault(error) == "database" and not is_ours else error
