"""Who may ask the operators' listener, and how much they may send: checked before anything else sees a request."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, RequestRedirect, Rule

from callflow.contracts.errors import AccessRefused
from callflow.web.console import request_body
from callflow.web.console.auth import AccessMiddleware
from callflow.web.console.policy import PHONE_PATH, AccessPolicy, is_costly
from callflow.web.console.roles import SOCKET
from tests.web.asgi import Answer, ask, scope
from tests.web.console.stage import Stage, play


TOKEN = "a-token-of-24-characters"
Headers = list[tuple[bytes, bytes]]


def headers(host: str = "localhost", **others: str) -> Headers:
    return [(b"host", host.encode()), *((name.encode(), value.encode()) for name, value in others.items())]


def refusal(policy: AccessPolicy, given: Headers, method: str = "GET", path: str = "/x") -> int:
    """The status that such a request is refused with; 0: it is not."""
    try:
        policy.check(given, method, path)
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


# What is costly

ROUTES = (
    "/api/calls", "/api/calls/<call>/transfer", "/api/campaigns", "/api/campaigns/<campaign>",
    "/api/campaigns/<campaign>/pause", "/api/transfers", "/api/transfers/<transfer>", "/api/numbers",
    "/api/numbers/<path:number>", "/api/provision", "/api/realtime-token", "/api/profiles/<name>",
    "/api/profiles/<name>/versions/<int:version>/restore", "/tools/<name>/try",
)  # fmt: skip
COSTS = [path.replace("<path:", "<").replace("<int:", "<").replace("<", "").replace(">", "") for path in ROUTES]
FREE = {
    ("PATCH", "/api/session"), ("DELETE", "/api/session"), ("POST", "/api/calls/<call>/session"),
    ("POST", "/api/calls/<call>/hold"), ("POST", "/api/calls/<call>/resume"), ("POST", "/api/calls/<call>/mute"),
    ("POST", "/api/calls/<call>/whisper"), ("POST", "/api/calls/<call>/tools/<tool>"),
    ("POST", "/api/calls/<call>/say"), ("POST", "/api/calls/<call>/dtmf"), ("POST", "/api/calls/<call>/recording"),
    ("POST", "/api/calls/<call>/images"), ("POST", "/api/calls/<call>/hangup"), ("DELETE", "/api/conversations"),
    ("DELETE", "/api/calls/<call>"), ("POST", "/api/calls/<call>/restore"),
    ("POST", "/api/do-not-call"), ("DELETE", "/api/do-not-call/<number>"),
    ("POST", "/api/events/dead/<name>/again"), ("POST", "/api/realtime/control/settings"),
    ("POST", "/api/doctor"), ("POST", "/api/nodes/<node>/drain"), ("POST", "/api/nodes/<node>/resume"),
    ("POST", "/api/alerts/<alert>/seen"), ("POST", "/api/alerts/<alert>/closed"),
    ("POST", "/api/calls/<call>/share"), ("DELETE", "/api/shares/<share>"),
    ("POST", "/login"), ("POST", "/logout"), ("POST", "/api/tools/own"), ("POST", "/api/tools/check"),
    ("PUT", "/api/tools/own/<name>"), ("DELETE", "/api/tools/own/<name>"), ("PUT", "/api/views/<name>"),
    ("DELETE", "/api/views/<name>"), ("POST", "/api/session/versions/<int:version>/restore"),
    ("DELETE", "/api/conversations/stream/<sid>"), ("POST", "/api/conversations/stream/<sid>/items"),
}  # fmt: skip
"""What changes something here, but costs no money and changes no account."""


@pytest.mark.parametrize("path", COSTS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "post", "QUERY", ""])
def test_what_is_costly_needs_a_token_that_is_set(path: str, method: str) -> None:
    assert refusal(AccessPolicy("x", ""), headers(), method, path) == 401
    assert refusal(AccessPolicy("x", ""), headers("evil.example"), method, path) == 421, "before all else"
    assert refusal(AccessPolicy("x", TOKEN), headers(authorization=f"Bearer {TOKEN}"), method, path) == 0
    assert refusal(AccessPolicy("x", TOKEN), headers(), method, path) == 401
    for reads in ("GET", "HEAD", "OPTIONS"):
        assert refusal(AccessPolicy("x", ""), headers(), reads, path) == 0


def test_the_phone_needs_a_token_where_the_model_costs_money_and_none_where_it_is_emulated() -> None:
    costs, free = AccessPolicy("x", ""), AccessPolicy("x", "", free=[PHONE_PATH])
    assert refusal(costs, headers(), SOCKET, PHONE_PATH) == 401
    assert refusal(free, headers(), SOCKET, PHONE_PATH) == 0
    assert refusal(free, headers(), "POST", "/api/calls") == 401, "nothing else is free"
    assert refusal(AccessPolicy("x", TOKEN, free=[PHONE_PATH]), headers(), SOCKET, PHONE_PATH) == 401


def test_the_refusal_tells_the_line_for_env_and_only_the_client() -> None:
    suggested = set()
    for _ in range(2):
        with pytest.raises(AccessRefused) as refused:
            AccessPolicy("x", "").check(headers(), "POST", "/api/calls")
        found = re.search("CONSOLE_TOKEN=([0-9a-f]{32}) into .env, restart the server", refused.value.sentence)
        assert found is not None
        suggested.add(found[1])
        assert found[1] not in str(refused.value), "this is logged"
        assert refused.value.headers == {"WWW-Authenticate": "Bearer"}
        assert len(refused.value.sentence) <= 300, "it would be cut off"
    assert len(suggested) == 2, "each is a new one"


def test_every_route_that_changes_something_is_costly_or_known_to_be_free(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        found = {(method, rule.rule) for rule in the.app.url_map.iter_rules() for method in rule.methods or ()}
        changing = {(method, rule) for method, rule in found if method not in ("GET", "HEAD", "OPTIONS")}
        assert {(method, rule) for method, rule in changing if not is_costly(method, rule)} == FREE

    play(tmp_path, main)


def other_spellings(path: str) -> st.SearchStrategy[str]:
    """The path with something between its characters."""
    odd = st.sampled_from(
        ["", "", "", "", "/", "//", "/.", "/..", " ", "\n", "\t", ";", "%", "%2f", "\\", "é", "\u2028"]
    )
    return st.tuples(*(odd for _ in range(len(path) + 1))).map(
        lambda between: "".join(a + b for a, b in zip(between, [*path, ""], strict=True))
    )


@settings(max_examples=300)
@given(st.sampled_from(COSTS).flatmap(other_spellings) | st.sampled_from(COSTS).map(lambda path: f"//{path}"))
@pytest.mark.exhaustive
def test_no_other_spelling_that_the_router_takes_is_free(path: str) -> None:
    rules = Map([Rule(path, methods=["POST"]) for path in ROUTES], merge_slashes=False)
    try:
        rules.bind("localhost").match(path, "POST")
    except (HTTPException, RequestRedirect):
        return
    assert is_costly("POST", path)


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
    [
        ("/x", 64 << 10),
        ("/mcp", 1 << 20),
        ("/api/session", 512 << 10),
        ("/api/calls/c/session", 512 << 10),
        *[(path, 512 << 10) for path in ("/api/calls/check", "/api/realtime/control/settings")],
    ],
)
def test_a_body_is_bounded_by_its_path(path: str, most: int) -> None:
    inner = Inner()
    assert asked(inner, "POST", path, b"x" * most).status == 200
    assert asked(inner, "POST", path, b"x" * (most + 1)).status == 413
    assert asked(inner, "GET", path, b"x" * ((64 << 10) + 1)).status == 413


def test_a_call_may_bring_a_session() -> None:
    assert request_body.most_body({"method": "POST", "path": "/api/calls"}) == request_body.OF_SESSION


@pytest.mark.parametrize(("path", "status"), [("/" + "x" * 9000, 414), ("/%ff", 400), ("/%00", 400), ("*", 400)])
def test_a_path_must_be_text_and_short(path: str, status: int) -> None:
    assert asked(Inner(), path=path).status == status


def test_a_body_that_does_not_come_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "_BODY_SECONDS", 0.02)
    monkeypatch.setattr(request_body, "_LINGER_SECONDS", 0.02)

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
