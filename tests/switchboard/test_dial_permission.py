"""Whether a number may be dialled: by the rules first, and then by the do-not-call list, if that can be read."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.config.dial_rules import DialRules
from callflow.contracts.errors import DialRefused
from callflow.history.history import History
from callflow.switchboard.dial_permission import DialPermission


class Book:
    """The rules, and the list."""

    def __init__(self, why: str = "", *, listed: Any = None, readable: bool = True) -> None:
        self.why, self.listed, self.is_readable = why, listed, readable
        self.asked: list[tuple[str, ...]] = []
        self.do_not_call = SimpleNamespace(find=self._find)

    async def acheck(self, number: str) -> str:
        self.asked.append(("rules", number))
        return self.why

    async def _find(self, number: str, business: str) -> Any:
        self.asked.append(("list", number, business))
        if isinstance(self.listed, Exception):
            raise self.listed
        return self.listed


def checked(book: Book) -> str:
    return asyncio.run(DialPermission(cast(DialRules, book), cast(History, book)).check("+12025550100", "taxis"))


def test_a_number_that_neither_names_may_be_dialled() -> None:
    book = Book()
    assert checked(book) == ""
    assert book.asked == [("rules", "+12025550100"), ("list", "+12025550100", "taxis")]


def test_what_the_rules_refuse_is_not_looked_up() -> None:
    book = Book("It is a premium number.", readable=False)
    assert checked(book) == "It is a premium number."
    assert book.asked == [("rules", "+12025550100")]


@pytest.mark.parametrize("row", [{"number": "+12025550100"}, {}])
def test_a_number_on_the_list_is_refused_and_the_way_off_it_is_told(row: Any) -> None:
    assert "do-not-call list" in checked(Book(listed=row))
    assert "DELETE /api/do-not-call/" in checked(Book(listed=row))


def test_while_the_list_cannot_be_read_nobody_is_dialled() -> None:
    with pytest.raises(DialRefused) as refused:
        checked(Book(readable=False))
    assert (refused.value.status, refused.value.wait) == (503, 1)
    with pytest.raises(OSError, match="disk"):
        checked(Book(listed=OSError("disk")))
