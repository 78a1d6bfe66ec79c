"""What stands in front of the operators' app: nothing that is refused reaches it, and what it raises is answered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callflow.contracts.errors import AccessRefused
from callflow.web.console.auth import AccessMiddleware
from callflow.web.console.policy import AccessPolicy
from tests.web.asgi import Answer, ask


TOKEN = "a-token-of-24-characters"
Headers = list[tuple[bytes, bytes]]


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


@pytest.mark.parametrize(("error", "status"), [(AccessRefused(429, "Later."), 429), (ZeroDivisionError("ours"), 500)])
def test_what_is_raised_behind_it_is_answered(error: Exception, status: int) -> None:
    answer = asked(Inner(error))
    assert (answer.status, list(answer.json())) == (status, ["error"])
    assert "ours" not in answer.json()["error"].replace("An internal error", "")
