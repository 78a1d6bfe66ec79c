"""The vendor's REST API: whatever it answers is an object or one refusal, without our key. No socket is opened here;
with one, see `test_vendor_api.py`."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import respx

from callflow.contracts.errors import VendorRefused
from callflow.engines.openai_realtime.rest import VendorApi, socket_origin


KEY = "sk-test-of-the-vendor-0123456789"
ROOT = "https://api.openai.com/v1"


def test_where_a_page_finds_the_vendor() -> None:
    assert socket_origin("wss://api.openai.com/v1/realtime?model=x") == "wss://api.openai.com"
    assert socket_origin("ws://u:p@127.0.0.1:6300/v1") == "ws://127.0.0.1:6300"
    assert socket_origin("ws://[::1]:1/v1") == "ws://[::1]:1"
    assert socket_origin("wss://a;script-src/v1") == ""


@pytest.mark.parametrize(
    "url",
    ["", "api.openai.com", "https://api.openai.com", "wss://", "wss:///v1", "wss://a b/", "wss://a'b/", "wss://a:b/",
     "wss://a:99999/", "wss://[::1/", "wss://a,b/", "javascript:alert(1)"],
)  # fmt: skip
def test_an_address_that_cannot_be_named_in_a_policy_is_left_out(url: str) -> None:
    assert socket_origin(url) == ""


async def ask(answer: httpx.Response | Exception, body: Any = None) -> tuple[dict[str, Any], httpx.Request]:
    with respx.mock:
        route = respx.route(url=f"{ROOT}/models").mock(
            **({"side_effect": answer} if isinstance(answer, Exception) else {"return_value": answer})
        )
        found = await VendorApi(ROOT, KEY).ask("POST" if body is not None else "GET", "/models", body, seconds=5)
        return found, route.calls[0].request


async def refusal(answer: httpx.Response | Exception) -> VendorRefused:
    with pytest.raises(VendorRefused) as refused:
        await ask(answer)
    assert KEY not in str(refused.value)
    assert len(str(refused.value)) < 400
    assert "\n" not in str(refused.value)
    return refused.value


async def test_what_is_asked_has_the_key_and_a_body_only_if_there_is_one() -> None:
    found, request = await ask(httpx.Response(200, json={"data": []}))
    assert found == {"data": []}
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert ("content-type" in request.headers, request.content) == (False, b"")
    _, request = await ask(httpx.Response(201, json={}), {"a": "\u00fc"})
    assert (request.headers["content-type"], request.content) == ("application/json", '{"a":"\u00fc"}'.encode())


@pytest.mark.parametrize(
    ("answer", "status", "why"),
    [
        (httpx.Response(404, json={"error": {"message": "No such\nmodel."}}), 404, "No such"),
        (httpx.Response(401, json={"error": {"message": f"Incorrect API key: {KEY}"}}), 401, "HTTP 401"),
        (httpx.Response(500, json={"error": {"message": "x" * 10_000}}), 500, "xxx"),
        (httpx.Response(429, json={"error": {"message": 5}}), 429, "5"),
        (httpx.Response(429, json={"error": {"message": None}}), 429, "without a reason"),
        (httpx.Response(429, json={"error": "no"}), 429, "without a reason"),
        (httpx.Response(429, json=[1]), 429, "without a reason"),
        (httpx.Response(429, content=b""), 429, "without a reason"),
        (httpx.Response(429, content=b"[" * 100_000), 429, "without a reason"),
        (httpx.Response(302, headers={"location": "https://evil.example"}), 502, "HTTP 302"),
        (httpx.Response(999), 502, "HTTP 999"),
        (httpx.Response(200, json=[]), 502, "no JSON object"),
        (httpx.Response(200, content=b"<html>"), 502, "no JSON object"),
        (httpx.Response(200, content=b"\xff"), 502, "no JSON object"),
        (httpx.Response(204), 502, "no JSON object"),
        (httpx.Response(200, content=b"[" * 100_000), 502, "no JSON object"),
        (httpx.Response(200, content=b" " * (3 << 20)), 502, "too large"),
        (httpx.ConnectError(f"{ROOT}?key={KEY}"), 502, "ConnectError"),
        (httpx.ReadTimeout("slow"), 504, "within 5 seconds"),
    ],
    ids=range(19),
)  # fmt: skip
async def test_whatever_else_it_answers_is_a_refusal(answer: httpx.Response | Exception, status: int, why: str) -> None:
    refused = await refusal(answer)
    assert refused.status == status
    assert why in str(refused)


async def test_a_refusal_makes_room_for_the_next() -> None:
    api = VendorApi(ROOT, KEY)
    with respx.mock:
        respx.get(f"{ROOT}/models").respond(500)
        for _ in range(20):
            with pytest.raises(VendorRefused):
                await api.ask("GET", "/models", seconds=5)
    assert not api._places.locked()
