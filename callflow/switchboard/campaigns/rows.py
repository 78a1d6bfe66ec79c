"""The rows of a list of calls, from CSV or JSON: which are called, and which are skipped and why.

For threads: a list may have 100,000 rows. CSV is UTF-8 with or without a byte order mark, with commas, semicolons or
tabs, and a heading: `number`, perhaps `timezone`, and any others, which are variables of the prompt.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from callflow.contracts import prompt_variables
from callflow.contracts.e164 import is_e164
from callflow.contracts.errors import BadList
from callflow.contracts.printable import line as printable
from callflow.switchboard.campaigns import zones
from callflow.switchboard.campaigns.schedule import Schedule


MOST_ROWS: Final = 100_000
MOST_VALUE: Final = 500
"""Characters of one variable."""
MOST_VARIABLES: Final = 50
_MOST_NAME: Final = 64
_TOO_LONG: Final = f"The heading may have {MOST_VARIABLES} variables, of {_MOST_NAME} characters each."
_MOST_WARNINGS: Final = 50
_NUMBER: Final = frozenset({"number", "phone", "phonenumber", "telephone", "tel", "mobile", "to", "tonumber"})
_TIMEZONE: Final = frozenset({"timezone", "tz"})
_BETWEEN: Final = re.compile(r"[\s().\-/\u2010-\u2015]")
"""What people write between digits."""
_MOST_HEADING: Final = 65_536
"""Characters that are looked at for the delimiter."""
_QUOTED: Final = re.compile(r'"[^"]*"')
_REST_ROWS: Final = 20
_REST_SECONDS: Final = 0.0005
"""A thread that reads a list leaves the interpreter to the audio in between."""

_OPEN_AT_THE_END: Final = "unexpected end of data"
"""What the reader says of a quote that is open at the end of the file."""
DUPLICATE: Final = "the same number stands in an earlier row"
NO_ZONE: Final = "its time zone is not known: name one in a column timezone"
NEVER: Final = "the hours never hold in all the time zones in which it may lie: name one in a column timezone"


@dataclass(slots=True)
class Row:
    """One row. `line`: its line in the file, or its place in the JSON list, from 1 on. `reason` "": it is called."""

    line: int
    number: str = ""
    timezone: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    zones: str = ""
    """See `zones.read`."""
    reason: str = ""


def from_csv(body: bytes) -> Iterator[Row]:
    """Yield the rows of a CSV file. Raises BadList."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = body.count(b"\n", 0, error.start) + 1
        raise BadList(f"The list is not UTF-8, from line {at} on: save it as UTF-8.") from None
    first = _QUOTED.sub("", re.split(r"[\r\n]", text[:_MOST_HEADING].lstrip("\r\n"), maxsplit=1)[0])
    delimiter = max(",;\t", key=first.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    heading: list[str] | None = None
    while True:
        begins = lines.line_num + 1
        try:
            values = next(lines)
        except StopIteration:
            break
        except csv.Error as error:
            if heading is None:
                raise BadList(f"The heading of the list cannot be read: {error}.") from None
            if lines.line_num > begins or str(error) == _OPEN_AT_THE_END:  # whoever stands in these lines is lost
                raise BadList(
                    f"A quote that begins in line {begins} of the list is not closed as it should be: in CSV, a value"
                    ' with a quote in it stands in quotes, and its own quotes are doubled, "5"" pipe".'
                ) from None
            yield Row(lines.line_num, reason=f"it cannot be read as CSV: {error}")
            continue
        if not any(value.strip() for value in values):
            continue
        if heading is None:
            heading = _heading(values)
        else:
            yield _of_values(lines.line_num, heading, values)
    if heading is None:
        raise BadList("The list is empty: its first line is a heading with a column number.")


def _heading(values: Sequence[str]) -> list[str]:
    if len(values) > MOST_VARIABLES + 2 or any(len(value) > _MOST_NAME * 2 for value in values):
        raise BadList(_TOO_LONG)
    names = []
    for value in values:
        name = value.strip()
        plain = re.sub(r"[\s_-]", "", name).lower()
        names.append("number" if plain in _NUMBER else "timezone" if plain in _TIMEZONE else name)
    if "number" not in names:
        raise BadList(
            "The list has no column number: its first line is a heading, such as number,name, with commas or"
            " semicolons."
        )
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise BadList(f"The heading has {printable(twice[0])[:60]} twice.")
    if sum(name not in ("number", "timezone") for name in names) > MOST_VARIABLES or any(
        len(name) > _MOST_NAME for name in names
    ):
        raise BadList(_TOO_LONG)
    return names


def _of_values(line: int, heading: Sequence[str], values: Sequence[str]) -> Row:
    if len(values) > len(heading) and any(value.strip() for value in values[len(heading) :]):
        return Row(line, reason="it has more columns than the heading")
    given = {name: value.strip() for name, value in zip(heading, values, strict=False) if name}
    number, timezone = given.pop("number", ""), given.pop("timezone", "")
    return _checked(Row(line, number, timezone, given))


def from_json(rows: Sequence[Any]) -> Iterator[Row]:
    """Yield the rows of a JSON list: a number each, or `{"number", "timezone"?, "variables"?}`."""
    for line, given in enumerate(rows, start=1):
        if isinstance(given, str):
            given = {"number": given}
        if not isinstance(given, Mapping) or not given.keys() <= {"number", "timezone", "variables"}:
            yield Row(line, reason="it is no number, and no object with number, timezone and variables only")
            continue
        number, timezone, variables = (given.get(name) for name in ("number", "timezone", "variables"))
        timezone, variables = "" if timezone is None else timezone, {} if variables is None else variables
        if not isinstance(number, str) or not isinstance(timezone, str) or not isinstance(variables, Mapping):
            yield Row(line, reason="number and timezone must be texts, and variables an object")
            continue
        if len(variables) > MOST_VARIABLES or any(len(name) > _MOST_NAME for name in variables):
            yield Row(line, reason=f"it may have {MOST_VARIABLES} variables, with names of {_MOST_NAME} characters")
            continue
        texts = {name: value for name, value in variables.items() if isinstance(value, str)}
        if len(texts) < len(variables):
            yield Row(line, reason="variables must be texts")
            continue
        yield _checked(Row(line, number, timezone.strip(), texts))


def _checked(row: Row) -> Row:
    long = next((name for name, value in row.variables.items() if len(value) > MOST_VALUE), "")
    if long:
        row.reason = f"its {printable(long)} is longer than {MOST_VALUE} characters"
    if any("\x00" in value for value in row.variables.values()):
        row.reason = "it holds a NUL character"
    row.number = _BETWEEN.sub("", row.number)
    return row


def judge(
    rows: Iterable[Row], schedule: Schedule, now: float, *, check: Callable[[str], str], seen: set[str], most: int
) -> list[Row]:
    """Return the next `most` rows, each with its zones, or with the reason why it is skipped. `check`: returns why a
    number may not be dialled, as `DialRules.check`. `seen`: the numbers of the rows before. `now`: Unix time."""
    found: list[Row] = []
    for row in rows:
        row.reason = row.reason or _reason(row, schedule, now, check, seen)
        if not is_e164(row.number):
            row.number = ""
        found.append(row)
        if len(found) >= most:
            break
        if len(found) % _REST_ROWS == 0:
            time.sleep(_REST_SECONDS)
    return found


def _reason(row: Row, schedule: Schedule, now: float, check: Callable[[str], str], seen: set[str]) -> str:
    if row.number in seen:
        return DUPLICATE
    if why := check(row.number):
        return why
    if row.timezone:
        if zones.zone(row.timezone) is None:
            return "its timezone is no name of one, such as Europe/Berlin"
        row.zones = row.timezone
    else:
        row.zones = zones.zones_of(row.number)
    if not row.zones:
        return NO_ZONE
    if schedule.next_open(now, zones.read(row.zones)) is None:
        return NEVER
    seen.add(row.number)
    return ""


def variable_warnings(asked: Iterable[str], rows: Sequence[Row]) -> list[str]:
    """Return a line for each variable that is left out of the calls of rows, or of some. `asked`: the names that
    instructions and greeting ask for."""
    called = [row.variables for row in rows if not row.reason]
    given = Counter(name for variables in called for name in variables)
    found = []
    for name in asked:
        if not given[name]:
            found.append(f"{{{{{name}}}}} is left out: no row has such a variable")
        elif given[name] < len(called):
            found.append(f"{{{{{name}}}}} is left out of {len(called) - given[name]} calls: their rows have none")
    unfit = prompt_variables.read(dict.fromkeys(itertools.islice(given, prompt_variables.MOST_VARIABLES), "")).problems
    return (found + unfit)[:_MOST_WARNINGS]
