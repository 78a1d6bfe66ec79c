"""Who may ask the operators' listener, and how much they may send: checked before anything else sees a request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callflow.contracts.errors import AccessRefused
from callflow.web.console import auth
from callflow.web.console.auth import AccessMiddleware, AccessPolicy
from tests.web.asgi import Answer, ask, scope


TOKEN = "a-token-of-24-characters"
Headers = list[tuple[bytes, bytes]]


def headers(host: str = "localhost", **others: str) -> Headers:
    return [(b"host", host.encode()), *((name.encode(), value.encode()) for name, value in others.items())]


def refusal(policy: AccessPolicy, given: Headers) -> int:
    """The status that these headers are refused with; 0: they are not."""
    try:
        policy.check(given)
    except AccessRefused as refused:
        return refused.status
    return 0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 0), ("LOCALHOST:6001", 0), ("127.0.0.1:6001", 0), ("[::1]:6001", 0), ("console.example", 0),
        ("evil.example", 421), ("", 421), ("localhost:port", 421), ("127.0.0.1.evil.example", 421),
        ("user@localhost", 421),
    ],
)  # fmt: skip
def test_without_a_token_the_listener_must_be_asked_by_its_own_name(host: str, status: int) -> None:
    assert refusal(AccessPolicy("console.example", ""), headers(host)) == status


def test_one_host_header_is_needed() -> None:
    assert refusal(AccessPolicy("x", ""), []) == 421
    assert refusal(AccessPolicy("x", ""), headers() + headers()) == 421


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://localhost:6001", 0), ("https://localhost:6001", 0), ("http://evil.example", 403), ("null", 403),
     ("http://localhost", 403)],
)  # fmt: skip
def test_pages_of_other_origins_are_refused(origin: str, status: int) -> None:
    for policy in (AccessPolicy("x", ""), AccessPolicy("x", TOKEN)):
        given = headers("localhost:6001", origin=origin, authorization=f"Bearer {TOKEN}")
        assert refusal(policy, given) == status


@pytest.mark.parametrize(
    ("value", "status"),
    [(f"Bearer {TOKEN}", 0), (f"bearer  {TOKEN} ", 0), (f"Basic {TOKEN}", 401), (TOKEN, 401), ("Bearer ", 401),
     (f"Bearer {TOKEN}x", 401), (f"Bearer {TOKEN[:-1]}", 401)],
)  # fmt: skip
def test_with_a_token_it_must_be_given_and_then_any_host_is_good(value: str, status: int) -> None:
    assert refusal(AccessPolicy("x", TOKEN), headers("any.example", authorization=value)) == status
    assert refusal(AccessPolicy("x", TOKEN), headers("any.example")) == 401
    twice = [*headers(authorization=value), (b"authorization", value.encode())]
    assert refusal(AccessPolicy("x", TOKEN), twice) == 401


# The middleware


class Inner:
    """The app behind it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.bodies: list[bytes] = []
        self.error = error

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.error is not None:
            raise self.error
        message = await receive()
        assert message["more_body"] is False, "the body comes whole"
        self.bodies.append(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"inside"})


def asked(inner: Inner, method: str = "GET", path: str = "/x", body: bytes | list[bytes] = b"", **given: str) -> Answer:
    return asyncio.run(ask(AccessMiddleware(inner, AccessPolicy("x", "")), method, path, body=body, **given))


def test_a_body_is_handed_over_whole() -> None:
    inner = Inner()
    assert asked(inner, "POST", body=[b"one ", b"two ", b"three"]).body == b"inside"
    assert inner.bodies == [b"one two three"]


def test_what_is_refused_reaches_nothing_behind_it() -> None:
    inner = Inner()
    answer = asked(inner, host="evil.example")
    assert (answer.status, list(answer.json()), inner.bodies) == (421, ["error"], [])


@pytest.mark.parametrize(
    ("path", "most"),
    [("/x", 64 << 10), ("/mcp", 1 << 20), ("/api/session", 512 << 10), ("/api/calls/c/session", 512 << 10)],
)
def test_a_body_is_bounded_by_its_path(path: str, most: int) -> None:
    inner = Inner()
    assert asked(inner, "POST", path, b"x" * most).status == 200
    assert asked(inner, "POST", path, b"x" * (most + 1)).status == 413
    assert asked(inner, "GET", path, b"x" * ((64 << 10) + 1)).status == 413


@pytest.mark.parametrize(("path", "status"), [("/" + "x" * 9000, 414), ("/%ff", 400), ("/%00", 400), ("*", 400)])
def test_a_path_must_be_text_and_short(path: str, status: int) -> None:
    assert asked(Inner(), path=path).status == status


def test_a_body_that_does_not_come_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_BODY_SECONDS", 0.02)
    monkeypatch.setattr(auth, "_LINGER_SECONDS", 0.02)

    async def main() -> list[Any]:
        sent: list[Any] = []

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        asking = scope("POST", "/x", [("host", "localhost")])
        await asyncio.wait_for(AccessMiddleware(Inner(), AccessPolicy("x", ""))(asking, receive, send), 5)
        return sent

    assert asyncio.run(main())[0]["status"] == 408


@pytest.mark.parametrize(("error", "status"), [(AccessRefused(429, "Later."), 429), (ZeroDivisionError("ours"), 500)])
def test_what_is_raised_behind_it_is_answered(error: Exception, status: int) -> None:
    answer = asked(Inner(error))
    assert (answer.status, list(answer.json())) == (status, ["error"])
    assert "ours" not in answer.json()["error"].replace("A fault of ours", "")
