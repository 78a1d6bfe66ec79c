"""How much a request to the operators' listener may send, and in which time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.errors import AccessRefused
from callflow.web.console import request_body
from callflow.web.console.request_body import MOST_BODY, Reading, check_target, most_body
from tests.web.asgi import scope


def status_of(scope_: Any) -> int:
    """With which a target is refused; 0: it is not."""
    try:
        check_target(scope_)
    except AccessRefused as refused:
        return refused.status
    return 0


def target(path: bytes, query: bytes = b"") -> Any:
    return {"raw_path": path, "query_string": query}


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        (b"/", b"", 0), (b"/x", b"a=%C3%A9", 0), (b"/" + b"x" * 8191, b"", 0), (b"/" + b"x" * 8192, b"", 414),
        (b"/" + b"x" * 4000, b"y" * 4192, 414), (b"*", b"", 400), (b"", b"", 400), (b"x", b"", 400),
        (b"http://a/", b"", 400), (b"/%ff", b"", 400), (b"/x", b"a=%ff", 400), (b"/\xff", b"", 400),
        (b"/%00", b"", 400), (b"/x", b"%00", 400), (b"/x", b"\x00", 400), (b"/%ed%a0%80", b"", 400),
        (b"/%c0%af", b"", 400), (b"/%", b"%", 0), (b"/%zz", b"%1", 0), (b"/%2500", b"", 0),
    ],
)  # fmt: skip
def test_path_and_query_must_be_text_and_short(path: bytes, query: bytes, status: int) -> None:
    assert status_of(target(path, query)) == status


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_no_target_is_the_fault_of_the_server(path: bytes, query: bytes) -> None:
    assert status_of(target(b"/" + path, query)) in (0, 400)


# How much


def most_of(path: str, method: str = "POST") -> int:
    return most_body({"method": method, "path": path})


SMALL = MOST_BODY


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/x", SMALL), ("/mcp", 1 << 20), ("/mcp/", 1 << 20), ("/mcp/x", SMALL), ("//mcp", SMALL),
        ("/api/session", 512 << 10), ("/api/calls/c/session", 512 << 10), ("/api/calls/c/d/session", SMALL),
        ("/api/calls", 512 << 10), ("/api/calls/check", 512 << 10), ("/api/calls/c", SMALL),
        ("/api/campaigns", 32 << 20), ("/api/campaigns/c", SMALL), ("/api/calls/c/images", 21 << 20),
        ("/api/calls/c/images/1", SMALL), ("/api/conversations/stream/s/items", 4 << 20),
        ("/api/realtime/control/settings", 512 << 10), ("/x/api/calls", SMALL), ("/api/calls\n", SMALL),
    ],
)  # fmt: skip
def test_a_body_is_bounded_by_its_path(path: str, most: int) -> None:
    assert [most_of(path, method) for method in ("POST", "PUT", "PATCH")] == [most] * 3
    for method in ("GET", "DELETE", "HEAD", "OPTIONS", "post", "WEBSOCKET", ""):
        assert most_of(path, method) == SMALL


# Reading


class Sender:
    """Sends a body in pieces, and then whatever a connection says."""

    def __init__(self, *pieces: bytes, ends: bool = True, then: str = "http.disconnect") -> None:
        self.messages = [{"type": "http.request", "body": each, "more_body": True} for each in pieces]
        if ends:
            self.messages[-1]["more_body"] = False
        self.then = then

    async def __call__(self) -> Any:
        if self.messages:
            return self.messages.pop(0)
        if not self.then:
            await asyncio.Event().wait()
        return {"type": self.then}


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(main())


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=8), st.integers(0, 200))
def test_a_body_comes_whole_or_is_refused_whole(pieces: list[bytes], most: int) -> None:
    async def main() -> None:
        whole = b"".join(pieces)
        reading = Reading(Sender(*pieces))
        if len(whole) > most:
            with pytest.raises(AccessRefused, match=f"larger than {most} bytes") as refused:
                await reading.body(most)
            assert refused.value.status == 413
            await reading.linger()
        else:
            assert b"".join(await reading.body(most)) == whole
            assert await reading.body(most) == [b""], "it is over, and nothing more is waited for"

    run(main)


def test_a_message_without_a_body_is_an_empty_one() -> None:
    async def receive() -> Any:
        return {"type": "http.request"}

    assert run(lambda: Reading(receive).body(10)) == [b""]


def test_a_sender_that_goes_away_is_no_fault_of_ours() -> None:
    async def main() -> None:
        with pytest.raises(ConnectionAbortedError):
            await Reading(Sender(b"x", ends=False)).body(10)
        await Reading(Sender(b"x", ends=False)).linger()

    run(main)


def test_a_body_that_does_not_come_is_refused_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "_BODY_SECONDS", 0.0)
    monkeypatch.setattr(request_body, "_LINGER_SECONDS", 0.0)

    async def main() -> None:
        reading = Reading(Sender(b"x", ends=False, then=""))
        with pytest.raises(AccessRefused) as refused:
            await reading.body(10)
        assert refused.value.status == 408
        await reading.linger()

    run(main)


def test_a_large_body_is_handed_over_in_pieces_and_a_small_one_in_one() -> None:
    async def main() -> None:
        for size, count in ((1 << 20, 1), ((1 << 20) + 2, 2)):
            reading = Reading(Sender(b"x" * (size // 2), b"y" * (size // 2), then="http.disconnect"))
            pieces = await reading.body(32 << 20)
            assert len(pieces) == count
            receive, got = reading.replay(pieces), list[Any]()
            while not got or got[-1]["more_body"]:
                got.append(await receive())
            assert b"".join(each["body"] for each in got) == b"x" * (size // 2) + b"y" * (size // 2)
            assert [each["more_body"] for each in got] == [True] * (count - 1) + [False]
            assert await receive() == {"type": "http.disconnect"}, "what comes behind the body comes from the sender"

    run(main)


def test_the_scope_of_a_request_is_what_is_looked_at() -> None:
    asked = scope("POST", "/api/campaigns?x=%C3%A9")
    assert (status_of(asked), most_body(asked)) == (0, 32 << 20)
