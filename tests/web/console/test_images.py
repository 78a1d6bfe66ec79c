"""The routes for pictures: which are shown, which are refused before they are decoded, and what is kept of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.call.step_in import MOST_WHISPER
from callflow.web.console import images as module
from callflow.web.console.image_uploads import Picture
from callflow.web.console.images import add_images
from tests.web.asgi import Answer
from tests.web.console.bare import LiveCalls, bare_app, request


class World:
    """A call, and the rows of its pictures."""

    def __init__(self) -> None:
        self.is_readable, self.store, self.journal, self.database = True, self, self, None
        self.blind = self.why = ""
        self.numbers: list[int | None] = [1]
        self.shown: list[tuple[Any, ...]] = []
        self.decoded: list[bytes] = []
        self.removed: list[tuple[str, int]] = []
        self.flushes = 0
        self.is_slow = False

    def why_blind(self) -> str:
        return self.blind

    def show(self, image: Any, by: str, *, number: int, fields: Any, now: bool) -> str:
        self.shown.append((image.text, by, number, now))
        return self.why

    async def flushed(self) -> None:
        self.flushes += 1
        if self.is_slow:
            await asyncio.Event().wait()

    async def conversation(self, call: str) -> Any:
        return {"id": 7} if call == "c" else None

    # In place of `image_rows`

    async def add(self, database: Any, call: str, fields: Any, pictures: Any, by: str, *, most: int) -> int | None:
        assert set(pictures) == {"shown", "thumbnail"}
        return self.numbers.pop(0)

    async def remove(self, database: Any, call: str, number: int) -> None:
        self.removed.append((call, number))

    async def of_conversation(self, database: Any, conversation: int) -> Any:
        return [{"number": 2, "mime": "image/png"}] if conversation == 7 else []

    async def thumbnail(self, database: Any, conversation: int, number: int) -> bytes | None:
        assert number < 1 << 31, "no database takes more"
        return b"jpeg" if number == 2 else None

    def read_picture(self, file: Any) -> Picture:
        file.seek(0)
        self.decoded.append(file.read())
        return Picture("image/png", "data:,", 4, 3, len(self.decoded[-1]), b"shown", b"small")


Asked = Callable[..., Coroutine[Any, Any, Answer]]
PATH = "/api/calls/c/images"
FIELDS = {"mime": "image/png", "width": 4, "height": 3, "size": 3}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    def play(main: Callable[[World, Asked], Coroutine[Any, Any, None]]) -> None:
        async def begin() -> None:
            world, app = World(), bare_app()
            monkeypatch.setattr(module, "image_rows", world)
            monkeypatch.setattr(module, "read_picture", world.read_picture)
            board = LiveCalls(c=SimpleNamespace(requests=SimpleNamespace(step_in=world)))
            add_images(app, lambda: cast(Any, board), cast(Any, world), has_token=True)

            async def asked(method: str = "POST", path: str = PATH, body: Any = b"png", **more: Any) -> Answer:
                return await request(app, method, path, body, **{"content_type": "image/png", **more})

            async with asyncio.timeout(5):
                await main(world, asked)

        asyncio.run(begin())

    return play


def test_a_picture_is_shown_with_what_it_shows_and_its_number_is_told(run: Any) -> None:
    async def main(world: World, asked: Asked) -> None:
        answer = await asked(path=f"{PATH}?text=%20Our%20menu.%20&now=true")
        assert (answer.status, answer.json()) == (202, {"call": "c", "number": 1, "url": f"{PATH}/1", **FIELDS})
        assert world.shown == [("Our menu.", "console", 1, True)]
        assert world.decoded == [b"png"]

    run(main)


@pytest.mark.parametrize(
    "query", ["now=yes", "now=True", "now=1", f"text={'x' * (MOST_WHISPER + 1)}", "later=true", "now=true&now=true"]
)
def test_what_is_asked_for_in_a_wrong_way_is_refused_before_it_is_decoded(query: str, run: Any) -> None:
    async def main(world: World, asked: Asked) -> None:
        assert (await asked(path=f"{PATH}?{query}")).status == 400
        assert (world.decoded, world.shown) == ([], [])

    run(main)


def test_a_call_that_cannot_see_is_not_shown_anything(run: Any) -> None:
    async def main(world: World, asked: Asked) -> None:
        assert (await asked(path="/api/calls/d/images")).status == 404
        world.blind = "The model of this call cannot see pictures."
        assert (await asked()).json() == {"error": world.blind}
        world.is_readable = False
        assert (await asked()).status == 503
        assert (world.decoded, world.shown) == ([], [])

    run(main)


def test_a_picture_that_the_call_does_not_take_after_all_is_not_kept(run: Any) -> None:
    async def main(world: World, asked: Asked) -> None:
        world.why = "The call is over."
        assert (await asked()).status == 409
        assert world.removed == [("c", 1)]

    run(main)


def test_a_call_with_as_many_pictures_as_it_may_have_gets_no_more(run: Any) -> None:
    async def main(world: World, asked: Asked) -> None:
        world.numbers = [0]
        assert (await asked()).status == 413
        assert world.shown == []

    run(main)


def test_a_call_that_has_just_begun_is_waited_for_and_not_for_long(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World, asked: Asked) -> None:
        world.numbers = [None, 3]
        assert (await asked()).json()["number"] == 3
        assert world.flushes == 1
        world.numbers = [None, None]
        assert (await asked()).status == 409
        monkeypatch.setattr(module, "_RECORD_SECONDS", 0.0)
        world.numbers, world.is_slow = [None], True
        assert (await asked()).status == 409
        assert len(world.shown) == 1

    run(main)


def test_one_is_decoded_after_the_other(run: Any) -> None:
    async def main(world: World, asked: Asked) -> None:
        world.numbers = [1, 2, 3]
        answers = await asyncio.gather(*(asked(body=each) for each in (b"one", b"two", b"six")))
        assert sorted(each.json()["number"] for each in answers) == [1, 2, 3]
        assert sorted(world.decoded) == [b"one", b"six", b"two"]

    run(main)


def test_small_copies_can_be_looked_at_and_run_nothing(run: Any) -> None:
    async def main(world: World, asked: Asked) -> None:
        listed = await asked("GET", body=b"")
        assert listed.json() == [{"number": 2, "mime": "image/png", "url": f"{PATH}/2"}]
        found = await asked("GET", f"{PATH}/2", b"")
        assert (found.status, found.body, found.headers["content-type"]) == (200, b"jpeg", "image/jpeg")
        assert found.headers["content-security-policy"] == "default-src 'none'"
        assert found.headers["x-content-type-options"] == "nosniff"
        for number in ("0", "3", str(1 << 31), "9" * 40, "-1", "x", "2.0"):
            assert (await asked("GET", f"{PATH}/{number}", b"")).status == 404, number
        for path in ("/api/calls/d/images", "/api/calls/d/images/2"):
            assert (await asked("GET", path, b"")).status == 404
        world.is_readable = False
        closed = await asked("GET", f"{PATH}/2", b"")
        assert (closed.status, closed.headers["retry-after"]) == (503, "1")

    run(main)
