"""What a search of the history asks for, and how it becomes SQL. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, column, or_, select, text
from sqlalchemy import table as sql_table

from callflow.contracts.errors import BadQuery
from callflow.contracts.printable import whole
from callflow.history.deleted_conversations import VISIBLE
from callflow.history.tables import (
    SEARCH,
    conversations,
    iso,
)


MOST: Final = 500
"""Rows of one answer."""
_LONGEST: Final = 1000
"""Characters of what is looked for."""
_LONGEST_WORD: Final = 200
TOO_MUCH: Final = ("22", "54")
"""SQLSTATE: data that does not fit, limits of the program."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How calls have ended. Calls that have not are not meant."""

    causes: tuple[str, ...]
    but: bool = False
    """With any cause but these."""
    ordinary: tuple[str, ...] = ()
    """Causes that are meant only where the caller has, or has not (`heard`), heard the agent."""
    heard: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """Which conversations; what is empty does not matter. Newest first."""

    number: str = ""
    """The caller's or the one that was called."""
    caller: str = ""
    called: str = ""
    called_id: str = ""
    """The carrier's id of the number that was called."""
    words: str = ""
    """All of them, anywhere in what was said; in quotes: one after another; `word*`: what begins like that."""
    since: str = ""
    """ISO 8601, inclusive."""
    until: str = ""
    """The same; a date alone includes that day."""
    business: str = ""
    """Whose calls."""
    carrier: str = ""
    direction: str = ""
    """`inbound` or `outbound`."""
    profile: str = ""
    ending: Ending | None = None
    live: bool | None = None
    limit: int = 100
    offset: int = 0
    """So many are passed over; `before` is quicker."""
    before: int = 0
    """For the next page: the `id` of the last conversation of this one."""


def with_before(query: Query, before: int) -> Query:
    """Return the query for the conversations before this one, as many as an export reads at a time."""
    return Query(
        **{name: getattr(query, name) for name in Query.__slots__} | {"before": before, "limit": MOST, "offset": 0}
    )


search_table: Final = sql_table(SEARCH, column("rowid"), column("words"))


def can_be_stored(text_: str) -> bool:
    """Return whether every database takes this text, and it is not too long to be looked for.

    No database takes half a surrogate pair, and PostgreSQL no NUL.
    """
    return len(text_) <= _LONGEST and "\x00" not in text_ and whole(text_) == text_


def select_conversations(query: Query, is_sqlite: bool, country: str) -> Select[Any]:
    """Make the statement for a query. `country`: of numbers without a country code. Raises BadQuery."""
    texts = (query.number, query.caller, query.called, query.called_id, query.words, query.carrier, query.profile)
    for asked in texts:
        if not can_be_stored(asked):
            raise BadQuery(f"what is looked for must be text without NUL, of {_LONGEST} characters at most")
    table = conversations.c
    wanted = select(conversations)
    conditions: list[ColumnElement[bool]] = [VISIBLE]
    if query.number:
        spellings = numbers_like(query.number, country)
        conditions.append(or_(table.caller_number.in_(spellings), table.phone_number.in_(spellings)))
    if query.caller:
        conditions.append(table.caller_number.in_(numbers_like(query.caller, country)))
    if query.called:
        conditions.append(table.phone_number.in_(numbers_like(query.called, country)))
    if query.called_id:
        conditions.append(table.phone_number_sid == query.called_id)
    if query.business:
        conditions.append(table.business == query.business)
    if query.carrier:
        conditions.append(table.carrier == query.carrier)
    if query.profile:
        conditions.append(table.profile == query.profile)
    if query.direction:
        is_ours = table.direction == "outbound"
        conditions.append(is_ours if query.direction == "outbound" else or_(table.direction.is_(None), ~is_ours))
    if query.ending is not None:
        conditions.append(_ended_so(query.ending))
    if query.since:
        conditions.append(table.started_at >= moment(query.since))
    if query.until:
        conditions.append(table.started_at <= moment(query.until, end=True))
    if query.live is not None:
        # one whose last words are still to come is over: its row says so a moment later
        lives = and_(table.ended_at.is_(None), or_(table.call_id.is_(None), table.state != "hangup"))
        over = or_(table.ended_at.is_not(None), and_(table.call_id.is_not(None), table.state == "hangup"))
        conditions.append(lives if query.live else over)
    if query.before and query.words.strip():
        conditions.append(table.id < query.before)
    elif query.before:
        last = select(table.started_at).where(table.id == query.before).scalar_subquery()
        earlier = or_(table.started_at < last, and_(table.started_at == last, table.id < query.before))
        # The call itself may have been deleted since: then what stands before it is told by the order of the rows.
        conditions.append(or_(earlier, and_(last.is_(None), table.id < query.before)))
    limit = min(max(query.limit, 1), MOST)
    if not query.words.strip():
        # `id` breaks ties, and is the order of beginning, but for what came from an earlier system.
        return (
            wanted.where(and_(True, *conditions))
            .order_by(table.started_at.desc(), table.id.desc())
            .limit(limit)
            .offset(query.offset)
        )
    if is_sqlite:
        # The index hands out the newest first, and stops when the page is full: common words cost what rare ones do.
        both = search_table.join(conversations, table.id == search_table.c.rowid)
        match = text(f"{SEARCH}.words MATCH :words").bindparams(words=fts5(query.words))
        return (
            wanted.select_from(both)
            .where(match, *conditions)
            .order_by(search_table.c.rowid.desc())
            .limit(limit)
            .offset(query.offset)
        )
    found = text(
        f"conversations.id IN (SELECT id FROM {SEARCH} "
        "WHERE to_tsvector('simple', words) @@ to_tsquery('simple', :words))"
    ).bindparams(words=tsquery(query.words))
    return wanted.where(found, *conditions).order_by(table.id.desc()).limit(limit).offset(query.offset)


def _ended_so(ending: Ending) -> ColumnElement[bool]:
    table = conversations.c
    if ending.but:
        return and_(table.ended_at.is_not(None), table.hangup_cause.not_in(ending.causes))
    heard = table.first_word_ms.is_not(None) if ending.heard else table.first_word_ms.is_(None)
    so = or_(table.hangup_cause.in_(ending.causes), and_(table.hangup_cause.in_(ending.ordinary), heard))
    return and_(table.ended_at.is_not(None), so)


def terms(words: str) -> list[tuple[str, bool]]:
    """Return the terms of a search, each with whether it is the beginning of a word: `a "b c" d*`. Raises BadQuery."""
    found = []
    for index, part in enumerate(unicodedata.normalize("NFC", words).split('"')):
        pieces = [part] if index % 2 else part.split()
        for piece in pieces:
            begins = piece.endswith("*") and not index % 2
            cleaned = " ".join("".join(each if _is_of_a_word(each) else " " for each in piece).split())
            if any(map(str.isalnum, cleaned)):
                found.append((cleaned, begins))
    if not found:
        raise BadQuery("there is no word in what is searched for")
    if any(len(word) > _LONGEST_WORD for term, _ in found for word in term.split()):
        raise BadQuery(f"no word has more than {_LONGEST_WORD} characters")
    return found[:20]


def _is_of_a_word(sign: str) -> bool:
    """Return whether this is a letter, a digit, or a mark of one: the vowels of Hindi and Thai are marks."""
    return sign.isalnum() or unicodedata.category(sign)[0] == "M"


def fts5(words: str) -> str:
    """Return a search as SQLite's FTS5 takes it. Raises BadQuery."""
    return " AND ".join(
        "(" + " OR ".join(f'"{form}"{" *" if begins else ""}' for form in _forms(term)) + ")"
        for term, begins in terms(words)
    )


def tsquery(words: str) -> str:
    """Return a search as PostgreSQL's `to_tsquery` takes it. Raises BadQuery."""
    return " & ".join(
        "(" + " | ".join(_phrase(form, ":*" if begins else "") for form in _forms(term)) + ")"
        for term, begins in terms(words)
    )


def _phrase(term: str, end: str) -> str:
    return "(" + " <-> ".join(f"'{word}'{end}" for word in term.split()) + ")"


def _forms(term: str) -> Iterable[str]:
    """Return a term as it may have been written down: composed, and with its marks as signs of their own."""
    return dict.fromkeys((term, unicodedata.normalize("NFD", term)))


def numbers_like(number: str, country: str) -> list[str]:
    """Return the number as it was given, and in the form in which the history has it."""
    from callflow.config.phone_numbers import Numbers  # large tables: for those who search

    given = number.strip()
    found = {given, Numbers(country).e164_or_same(given)}
    digits = "".join(each for each in given if each in "0123456789")
    if digits:
        found.add(f"+{digits.removeprefix('00')}")
    return sorted(found)


def moment(given: str, *, end: bool = False) -> str:
    """Return a date or a time as it stands in the tables; with `end`, a date means its last millisecond. Raises
    BadQuery."""
    text_ = given.strip()
    try:
        if not text_.isascii():
            raise ValueError
        if len(text_) <= 10:
            at = datetime.combine(date.fromisoformat(text_), time(), UTC)
            return iso((at + timedelta(days=1, milliseconds=-1) if end else at).timestamp())
        at = datetime.fromisoformat(text_.replace(" ", "T", 1).replace("z", "Z"))
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        if end and at.microsecond == 0 and "." not in text_:
            at += timedelta(milliseconds=999)  # a second means all of it
        return iso(at.timestamp())
    except (ValueError, OverflowError):  # no date, or one at the ends of time
        raise BadQuery(f"{given[:40]!r} is no date: write 2026-01-31 or 2026-01-31T12:00:00Z") from None
