"""The routes for links to one call: who may make one, and what somebody gets who guesses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from callflow.history.history import History
from callflow.journal.redaction import Redactor
from callflow.web.console.identity import Operator
from callflow.web.console.login_limit import EACH, TRIES
from callflow.web.console.share import add_share
from tests.web.asgi import Answer
from tests.web.console.bare import bare_app, request
from tests.web.console.test_share_page import row, said


KEY, LINK = "the-key", {"id": "l1", "created_at": 100.0, "created_by": "desk", "expires_at": 86_500.0}
HTML = {"accept": "text/html,*/*"}


class Book:
    """A history with one call, and its links."""

    def __init__(self) -> None:
        self.is_readable = True
        self.is_full = False
        self.made: list[Any] = []
        self.revoked: list[str] = []
        self.tried: list[str] = []
        self.store = self.shares = self
        self.clock = 0.0

    def now(self) -> float:
        return 100.0

    async def create(self, conversation: int, by: str, now: float, days: int) -> Any:
        self.made.append((conversation, by, now, days))
        return None if self.is_full else (KEY, LINK)

    async def of_conversation(self, conversation: int, now: float) -> Any:
        return [LINK]

    async def revoke(self, name: str) -> bool:
        self.revoked.append(name)
        return name == "l1"

    async def conversation(self, name: str, now: float | None = None) -> Any:
        if now is None:
            return {"id": 7, **row()} if name == "c" else None
        self.tried.append(name)
        return (LINK, {"id": 7, **row()}) if name == KEY else None

    async def items(self, conversation: int) -> Any:
        return [said("Hello there.")]


Asked = Callable[..., Coroutine[Any, Any, Answer]]


def run(main: Callable[[Book, Asked], Coroutine[Any, Any, None]]) -> None:
    async def begin() -> None:
        book, app = Book(), bare_app()
        add_share(app, cast(History, book), Redactor(), has_token=True, clock=lambda: book.clock)

        async def asked(method: str, path: str, body: Any = None, **more: Any) -> Answer:
            return await request(app, method, path, body, **more)

        await main(book, asked)

    asyncio.run(begin())


def test_a_link_is_told_once_with_its_end_and_who_made_it() -> None:
    async def main(book: Book, asked: Asked) -> None:
        answer = await asked("POST", "/api/calls/c/share", {"days": 3}, by=Operator("desk"))
        told = {"id": "l1", "created": "1970-01-01T00:01:40.000Z", "by": "desk", "expires": "1970-01-02T00:01:40.000Z"}
        assert (answer.status, answer.json()) == (201, {"url": f"/share/{KEY}", **told})
        assert (await asked("POST", "/api/calls/c/share")).status == 201
        assert book.made == [(7, "token desk", 100.0, 3), (7, "console", 100.0, 1)]
        listed = await asked("GET", "/api/calls/c/shares")
        assert (listed.status, listed.json()) == (200, [told])
        assert KEY not in listed.body.decode()
        book.is_full = True
        assert (await asked("POST", "/api/calls/c/share")).status == 409

    run(main)


@pytest.mark.parametrize("days", [0, 8, -1, 1.0, 1e300, "1", True, None, [1], 10**30])
def test_a_link_holds_for_one_to_seven_days(days: Any) -> None:
    async def main(book: Book, asked: Asked) -> None:
        assert (await asked("POST", "/api/calls/c/share", {"days": days})).status == 400
        assert (await asked("POST", "/api/calls/c/share", {"day": 1})).status == 400
        assert book.made == []

    run(main)


def test_of_a_call_that_is_not_there_no_link_is_made_or_listed() -> None:
    async def main(book: Book, asked: Asked) -> None:
        for method, path in (("POST", "/api/calls/d/share"), ("GET", "/api/calls/d/shares")):
            answer = await asked(method, path)
            assert (answer.status, "no call" in answer.json()["error"]) == (404, True)
        assert book.made == []
        assert (await asked("DELETE", "/api/shares/l1")).json() == {"id": "l1"}
        assert (await asked("DELETE", "/api/shares/l2")).status == 404
        assert book.revoked == ["l1", "l2"]

    run(main)


def test_a_link_leads_to_the_page_of_its_call_for_everybody() -> None:
    async def main(book: Book, asked: Asked) -> None:
        answer = await asked("GET", f"/share/{KEY}")
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert b"Hello there." in answer.body
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert (await asked("GET", f"/share/{KEY}?x=1")).status == 400
        assert (await asked("POST", f"/share/{KEY}")).status == 405

    run(main)


def test_who_guesses_is_told_nothing_and_is_soon_not_even_compared() -> None:
    async def main(book: Book, asked: Asked) -> None:
        for number in range(TRIES):
            answer = await asked("GET", f"/share/guess{number}", **(HTML if number % 2 else {}))
            assert answer.status == 404
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["content-type"].startswith("text/html" if number % 2 else "application/json")
        tried = len(book.tried)
        late = await asked("GET", f"/share/{KEY}")
        assert (late.status, late.headers["retry-after"], len(book.tried)) == (429, str(int(EACH)), tried)
        book.clock += EACH
        assert (await asked("GET", f"/share/{KEY}")).status == 200

    run(main)


def test_the_right_link_is_no_wrong_try_however_often_it_is_used() -> None:
    async def main(book: Book, asked: Asked) -> None:
        for _ in range(3 * TRIES):
            assert (await asked("GET", f"/share/{KEY}")).status == 200

    run(main)


def test_while_the_history_is_not_open_nothing_is_told_or_counted() -> None:
    async def main(book: Book, asked: Asked) -> None:
        book.is_readable = False
        for _ in range(TRIES + 1):
            answer = await asked("GET", "/share/guess", **HTML)
            assert (answer.status, answer.headers["retry-after"], b"try again" in answer.body) == (503, "1", True)
        for method, path in (
            ("POST", "/api/calls/c/share"),
            ("GET", "/api/calls/c/shares"),
            ("DELETE", "/api/shares/l1"),
        ):
            assert (await asked(method, path)).status == 503
        assert (book.tried, book.made, book.revoked) == ([], [], [])
        assert json.loads((await asked("GET", "/share/guess")).body)["error"]

    run(main)
