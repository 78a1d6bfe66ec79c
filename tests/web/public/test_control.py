"""The control endpoint: only who passes every check is answered, with the session as it should be."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, cast

import pytest
from quart import Quart

from callflow.contracts.control import Checks
from callflow.web.public.control import PATH, add_control
from tests.web.asgi import Answer, ask


SESSION = {"voice": "cedar"}
RIGHT = {"authorization": "Bearer right"}


class Service:
    def __init__(self, checks: Checks) -> None:
        self.checks = checks

    def update(self) -> dict[str, Any]:
        return SESSION


async def control(
    headers: Mapping[str, str], method: str = "POST", body: bytes = b"", checks: Checks | None = None
) -> Answer:
    app = Quart("control", static_folder=None)
    add_control(app, cast(Any, Service(checks or Checks(secret="right"))))
    return await ask(app, method, PATH, body=body, **headers)


async def test_an_event_is_answered_with_what_should_be_changed() -> None:
    answer = await control(RIGHT, body=b'{"type": "session.created"}')
    assert answer.json() == {"events": [{"type": "session.update", "session": SESSION}]}
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("headers", [{"authorization": "bearer right"}, {"x_webhook_secret": "right"}])
async def test_the_secret_may_come_in_two_headers(headers: dict[str, str]) -> None:
    assert (await control(headers, "GET")).json() == {"ok": True, "update": SESSION}


@pytest.mark.parametrize(
    ("checks", "headers"),
    [
        (Checks(), {}),
        (Checks(), {"authorization": "Bearer "}),
        (Checks(secret="right"), {}),
        (Checks(secret="right"), {"authorization": "Bearer wrong"}),
        (Checks(secret="right"), {"authorization": "Bearer right", "x_webhook_secret": "wrong"}),
        (Checks(secret="right", signing="key"), {"authorization": "Bearer right"}),
    ],
    ids=["no secret is set", "no secret is set, none is given", "none", "a wrong one", "one of two", "no signature"],
)
async def test_nobody_else_is_answered(checks: Checks, headers: dict[str, str]) -> None:
    for method in ("GET", "POST"):
        answer = await control(headers, method, checks=checks)
        assert (answer.status, answer.json()) == (401, {"error": "Unauthorized"})
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_signature_is_of_the_bytes_as_they_came() -> None:
    checks, body = Checks(signing="key"), b'{"type" : "x"}'
    headers = {name.replace("-", "_"): value for name, value in checks.headers(body, time.time()).items()}
    assert (await control(headers, body=body, checks=checks)).status == 200
    assert (await control(headers, body=json.dumps(json.loads(body)).encode(), checks=checks)).status == 401


@pytest.mark.parametrize("body", [b"[]", b"{", b"7", b'"x"', b"[" * 5000])
async def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    answer = await control(RIGHT, body=body)
    assert answer.status == 400
    assert "JSON object" in answer.json()["error"]


async def test_no_body_asks_as_an_event_does() -> None:
    assert (await control(RIGHT)).status == 200
