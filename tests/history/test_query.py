"""What a search asks for, and what both databases find for it."""

from __future__ import annotations

import asyncio
import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.errors import BadQuery
from callflow.history.query import (
    MOST,
    Query,
    can_be_stored,
    fts5,
    moment,
    numbers_like,
    select_conversations,
    terms,
    tsquery,
    with_before,
)
from callflow.history.store import Store
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Turn
from tests.history.test_journal_writer import began, journal
from tests.history.test_store import AT, found, kept, name


_WORDS = [
    ("seven", "10"), ("SEVEN bakery", "0"), ('"seven grain"', "1"), ('"grain seven"', ""), ("bak*", "0"), ("bak", ""),
    ("bread, and", "1"), ("' OR 1=1 --", ""), ("goodbye", "2"), ("smith", "2"), ("example.co.uk", "2"),
    ("a.b-smith@example.co.uk", "2"), ("co*", "2"), ("$12.50", "2"), ("50", "2"), ("12,50", "2"), ("555-0100", "2"),
    ("0100", "2"), ("5550100", ""), ("org", "2"), ("y_w", "2"), ("w", "2"),
]  # fmt: skip
"""What is searched for, and which calls are found."""


def test_words_are_found(database_url: str) -> None:
    async def check(store: Store) -> None:
        assert {words: await found(store, words=words) for words, _ in _WORDS} == {
            words: list(calls) for words, calls in _WORDS
        }

    kept(database_url, check)


@pytest.mark.parametrize(
    ("since", "until", "calls"),
    [
        ("2025-12-01T10:00:00Z", "", "210"),  # a call at 23:00 of that day is after 10:00
        ("", "2025-12-01", "0"),  # a date includes its day
        ("2025-12-02", "2025-12-02", "1"),
        ("2025-12-01T23:00:00Z", "2025-12-01T23:00:00Z", "0"),
        ("2025-12-01T23:00:00.000Z", "2025-12-01T23:00:00.000Z", "0"),
        ("2025-12-01T23:00:00.001Z", "2025-12-02T22:59:59.999Z", ""),
        ("2025-12-02T00:00:00+01:00", "2025-12-02 23:59:59", "10"),
        ("2026-01-01", "", ""),
    ],
)
def test_dates_mean_what_people_mean(database_url: str, since: str, until: str, calls: str) -> None:
    async def check(store: Store) -> None:
        assert await found(store, since=since, until=until) == list(calls)

    kept(database_url, check)


@pytest.mark.parametrize(
    "number", ["+15550100001", "+1 (555) 010-0001", "15550100001", "0015550100001", "555-010-0001"]
)
def test_a_number_is_found_however_it_is_written(database_url: str, number: str) -> None:
    async def check(store: Store) -> None:
        assert await found(store, number=number) == ["2", "1", "0"]
        assert await found(store, caller=number) == ["2", "1", "0"]
        assert await found(store, called=number) == []

    kept(database_url, check)


@pytest.mark.parametrize(
    "given",
    [
        "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", "9999-12-31T23:59:59-00:01", "0000-01-01", "10000-01-01",
        "2026-02-30", "2026-01-31T25:00", "\u0662\u0660\u0662\u0666-01-31", "2026-01-31T12:00:00+24:00", "", "9" * 5000,
        "2026-01-31\x00",
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", [False, True])
def test_what_is_no_moment_is_said(given: str, end: bool) -> None:
    with pytest.raises(BadQuery, match="is no date: write 2026-01-31"):
        moment(given, end=end)


@pytest.mark.parametrize("given", ["0001-01-01", "9999-12-31", "0001-01-01T14:00+14:00", "9999-12-31T09:59-14:00"])
def test_the_ends_of_time_are_moments(given: str) -> None:
    assert given[:4] == moment(given)[:4] == moment(given, end=True)[:4]
    assert len(moment(given)) == len("2026-01-31T12:00:00.000Z")


@pytest.mark.parametrize(
    "words",
    [
        '"', '" OR', "NEAR(a b, 2)", "bakery:b", "^bakery -b", "z* *", "'bakery' & !y | <->", "²", "½ ①", "e\u0304",
        "東京", "x" * 200, "z " * 400,
    ],
)  # fmt: skip
def test_nothing_that_is_searched_for_is_syntax(database_url: str, words: str) -> None:
    async def check(store: Store) -> None:
        try:
            assert await found(store, words=words) == []
        except BadQuery as error:
            assert "no word" in str(error)  # noqa: PT017 - either will do

    kept(database_url, check)


def test_what_makes_no_sense_is_said() -> None:
    for call in (lambda: moment("yesterday"), lambda: terms("  .,- \u0301"), lambda: terms("x" * 201)):
        with pytest.raises(BadQuery):
            call()
    assert "+15550100001" in numbers_like("+1 555 010 0001", "US")
    assert numbers_like("client:joe", "US") == ["client:joe"]


def test_however_much_is_asked_for_the_answer_is_bounded() -> None:
    for asked, rows in ((-1, 1), (0, 1), (1, 1), (500, 500), (501, 500), (10**9, 500)):
        for words in ("", "bakery"):
            for is_sqlite in (True, False):
                chosen = select_conversations(Query(limit=asked, words=words), is_sqlite, "US")
                assert getattr(chosen._limit_clause, "value", None) == rows
    assert len(terms(" ".join(f"word{number}" for number in range(1000)))) == 20


def test_a_word_is_one_also_with_marks_and_vowels_of_their_own(database_url: str) -> None:
    """Macs write an umlaut as two signs; a vowel of Hindi is one. Each was taken for the end of a word."""
    asked = [
        "Zürich", "zu\u0308rich", "ZU\u0308RICH", "zu\u0308r*", "हिन्दी", '"हिन्दी में"', "हिन्द*", "สวัสดี",
    ]  # fmt: skip

    async def main() -> None:
        async with journal(database_url) as (one, store):
            one.note(began(name(0), AT))
            said = Turn(who="caller", item="i0", text="Von Zürich: हिन्दी में, สวัสดี.")
            one.note(JournalEntry.of(said, call=name(0), at=AT + 1))
            await one.flushed()
            assert [words for words in asked if await found(store, words=words) != ["0"]] == []

    asyncio.run(main())


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_a_word_is_found_composed_or_decomposed_however_it_was_written_down(
    database_url: str, stored: Literal["NFC", "NFD"]
) -> None:
    said = "Frau Müller-Lüdenscheidt, Việt, 한국어."
    asked = ["müller", "MÜLLER", "mül*", '"frau müller"', "müller lüdenscheidt", "việt", "vi*", "한국어"]

    async def main() -> None:
        async with journal(database_url) as (one, store):
            one.note(began(name(0), AT))
            turn = Turn(who="caller", item="i0", text=unicodedata.normalize(stored, said))
            one.note(JournalEntry.of(turn, call=name(0), at=AT + 1))
            await one.flushed()
            both = [unicodedata.normalize(form, words) for words in asked for form in ("NFC", "NFD")]
            assert [words for words in both if await found(store, words=words) != ["0"]] == []
            assert await found(store, words="möller") == []

    asyncio.run(main())


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_whatever_is_searched_for_is_quoted_words_or_no_word(words: str) -> None:
    try:
        given = terms(words)
    except BadQuery:
        return
    assert given
    for term, _ in given:
        assert not set(term) & set("\"'*:()&|!<>-^"), "nothing of it is syntax"
        assert term == " ".join(term.split())
    forms = [2 if unicodedata.normalize("NFD", term) != term else 1 for term, _ in given]
    assert fts5(words).count('"') == 2 * sum(forms)
    each = zip(given, forms, strict=True)
    assert tsquery(words).count("'") == 2 * sum(len(term.split()) * many for (term, _), many in each)


@pytest.mark.parametrize(
    ("given", "begin", "end"),
    [
        ("2026-01-31", "2026-01-31T00:00:00.000Z", "2026-01-31T23:59:59.999Z"),
        (" 2026-01-31T12:00:00Z ", "2026-01-31T12:00:00.000Z", "2026-01-31T12:00:00.999Z"),
        ("2026-01-31 12:00:00.250", "2026-01-31T12:00:00.250Z", "2026-01-31T12:00:00.250Z"),
        ("2026-01-31t12:00z", "2026-01-31T12:00:00.000Z", "2026-01-31T12:00:00.999Z"),
        ("2026-01-31T00:30+01:00", "2026-01-30T23:30:00.000Z", "2026-01-30T23:30:00.999Z"),
    ],
)
def test_a_moment_is_the_first_or_the_last_millisecond_of_what_was_said(given: str, begin: str, end: str) -> None:
    assert (moment(given), moment(given, end=True)) == (begin, end)


def test_the_page_behind_a_call_asks_for_as_many_as_there_may_be_and_the_same() -> None:
    query = Query(number="1", words="bread", limit=3, offset=7)
    assert with_before(query, 9) == Query(number="1", words="bread", limit=MOST, offset=0, before=9)


@pytest.mark.parametrize(
    ("text", "fits"), [("", True), ("x" * 1000, True), ("x" * 1001, False), ("a\0", False), ("\ud800", False)]
)
def test_what_can_be_stored(text: str, fits: bool) -> None:
    assert can_be_stored(text) is fits
