"""The routes that delete one call, and undo that: which are refused, and what is done in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from callflow.contracts.errors import StoreAway
from callflow.history.deleted_conversations import UNDO_SECONDS
from callflow.history.history import History
from callflow.web.console.deletion import add_deletion
from tests.web.asgi import Answer
from tests.web.console.bare import bare_app, request


class Book:
    """A history that notes what is done to it."""

    def __init__(self) -> None:
        self.is_readable = True
        self.rows: dict[str, dict[str, Any]] = {}
        self.store = self.deleted = self
        self.done: list[str] = []
        self.is_lost = self.is_away = self.is_late = False
        self.live: set[str] = set()

    def row(self, name: str, *, ended: bool = True, call: str | None = "") -> None:
        call_id = name if call == "" else call
        self.rows[name] = {"id": 7, "call_id": call_id, "stream_sid": f"s-{name}", "ended_at": "t" if ended else None}

    def now(self) -> float:
        return 100.0

    async def conversation(self, name: str, *, hidden: bool = False) -> Any:
        return self.rows.get(name)

    async def close_lost(self, call: str) -> bool:
        self.done.append(f"close {call}")
        return self.is_lost

    async def hide(self, row: Any, until: float | None = None) -> bool:
        self.done.append("hide" if until is None else f"hide {row} until {until:g}")
        return not self.is_late

    async def restore(self, row: Any) -> bool:
        self.done.append("restore")
        return not self.is_late

    async def delete(self, ids: list[int]) -> None:
        self.done.append(f"delete {ids}")
        if self.is_away:
            raise StoreAway("no answer")

    async def listed(self, now: float) -> list[dict[str, Any]]:
        return [{"id": "c", "until": now + 12.345, "caller": "x"}, {"id": "d", "until": now - 1.0}]


Asked = Callable[..., Coroutine[Any, Any, Answer]]


def run(main: Callable[[Book, Asked], Coroutine[Any, Any, None]]) -> None:
    async def begin() -> None:
        book, app = Book(), bare_app()
        add_deletion(app, cast(History, book), is_live=book.live.__contains__, has_token=True)

        async def asked(method: str, path: str) -> Answer:
            return await request(app, method, path)

        await main(book, asked)

    asyncio.run(begin())


CALL, AT_ONCE = "/api/calls/c", "/api/conversations/stream/c"


def test_a_call_that_is_over_is_hidden_and_that_can_be_undone() -> None:
    async def main(book: Book, asked: Asked) -> None:
        book.row("c")
        answer = await asked("DELETE", CALL)
        assert (answer.status, answer.json()) == (202, {"id": "c", "undo_seconds": UNDO_SECONDS})
        assert (await asked("POST", f"{CALL}/restore")).json() == {"id": "c"}
        assert book.done == ["hide", "restore"]
        book.is_late = True
        assert (await asked("POST", f"{CALL}/restore")).status == 404
        assert (await asked("DELETE", CALL)).status == 409, "it went live meanwhile"
        assert (await asked("POST", "/api/calls/x/restore")).status == 404

    run(main)


def test_nothing_is_deleted_of_a_call_that_goes_on_somewhere() -> None:
    async def main(book: Book, asked: Asked) -> None:
        book.live.add("c")
        assert (await asked("DELETE", CALL)).status == 409, "it is not in the history yet"
        book.row("c")
        assert ((await asked("DELETE", CALL)).status, (await asked("DELETE", AT_ONCE)).status) == (409, 409)
        book.live.clear()
        book.row("c", ended=False)
        assert ((await asked("DELETE", CALL)).status, (await asked("DELETE", AT_ONCE)).status) == (409, 409)
        assert book.done == ["close c", "close c"], "its end may be lost: that was looked at, and nothing was deleted"

    run(main)


def test_a_call_whose_end_was_lost_is_over() -> None:
    async def main(book: Book, asked: Asked) -> None:
        book.row("c", ended=False)
        book.is_lost = True
        assert (await asked("DELETE", CALL)).status == 202
        assert book.done == ["close c", "hide"]

    run(main)


def test_a_call_that_somebody_else_kept_has_no_process_and_the_id_of_its_stream() -> None:
    async def main(book: Book, asked: Asked) -> None:
        book.row("c", ended=False, call=None)
        assert (await asked("DELETE", CALL)).json()["id"] == "s-c"
        assert book.done == ["hide"]

    run(main)


def test_at_once_means_that_it_is_gone_and_without_its_store_as_soon_as_that_is_there() -> None:
    async def main(book: Book, asked: Asked) -> None:
        assert (await asked("DELETE", AT_ONCE)).status == 404
        book.row("c")
        answer = await asked("DELETE", AT_ONCE)
        assert (answer.status, answer.json(), book.done) == (200, {"success": True}, ["delete [7]"])
        book.is_away = True
        assert (await asked("DELETE", AT_ONCE)).json() == {"success": True}
        assert book.done[1:] == ["delete [7]", "hide 7 until 100"], "nobody finds it from now on"

    run(main)


def test_what_is_not_there_is_told_and_a_history_that_is_not_open_is_not_asked() -> None:
    async def main(book: Book, asked: Asked) -> None:
        answer = await asked("DELETE", "/api/calls/x\x1b")
        assert (answer.status, "\\x1b" in answer.json()["error"]) == (404, True)
        book.row("c")
        book.is_readable = False
        for method, path in (("DELETE", CALL), ("POST", f"{CALL}/restore"), ("GET", "/api/calls/deleted")):
            assert (await asked(method, path)).status == 503
        assert book.done == []

    run(main)


def test_what_can_be_undone_is_listed_with_the_seconds_that_are_left() -> None:
    async def main(book: Book, asked: Asked) -> None:
        listed = (await asked("GET", "/api/calls/deleted")).json()
        assert listed == [{"undo_seconds": 12.3, "id": "c", "caller": "x"}, {"undo_seconds": -1.0, "id": "d"}]

    run(main)
