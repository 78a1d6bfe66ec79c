"""The vendor's REST API: what comes back of its refusals, of silence and of nonsense."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from callflow.contracts.errors import VendorRefused
from callflow.engines.openai_realtime.client_secrets import ClientSecret, ClientSecretRequest, mint
from callflow.engines.openai_realtime.rest import VendorApi
from callflow.sandbox.common.http_server import HttpServer, Request, Response, Tasks


KEY = "sk-test-of-the-vendor-0123456789"


class Said:
    """An API that answers this."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer

    async def ask(self, method: str, path: str, body: Any, *, seconds: float) -> dict[str, Any]:
        assert (method, path, seconds) == ("POST", "/realtime/client_secrets", 15.0)
        return self.answer


def minted(answer: dict[str, Any]) -> ClientSecret:
    return asyncio.run(mint(cast(VendorApi, Said(answer)), ClientSecretRequest({}, [])))


@pytest.mark.parametrize(
    ("answer", "expires"),
    [
        ({"value": "ek_1", "expires_at": 17}, 17), ({"client_secret": {"value": "ek_1", "expires_at": 17}}, 17),
        ({"client_secret": "ek_1", "expires_at": 17.0}, 17), ({"client_secret": "ek_1"}, 0),
    ],
)  # fmt: skip
def test_a_secret_is_found_in_each_of_the_three_forms(answer: dict[str, Any], expires: int) -> None:
    assert minted(answer) == ClientSecret("ek_1", expires)


@pytest.mark.parametrize("answer", [{}, {"value": ""}, {"value": None}, {"client_secret": {}}, {"client_secret": " "}])
def test_an_answer_without_one_is_502(answer: dict[str, Any]) -> None:
    with pytest.raises(VendorRefused) as refused:
        minted(answer)
    assert refused.value.status == 502


async def test_refusals_keep_their_status_and_words_but_no_key() -> None:
    answers = {
        "/v1/quota": Response(429, json.dumps({"error": {"message": "You exceeded your quota."}}).encode()),
        "/v1/key": Response(401, json.dumps({"error": {"message": f"Incorrect API key: {KEY}."}}).encode()),
        "/v1/odd": Response(503, b"<html>"), "/v1/redirect": Response(302, headers={"location": "http://127.0.0.1:9/"}),
        "/v1/list": Response(200, b"[]"), "/v1/html": Response(200, b"<html>"),
        "/v1/large": Response(200, b" " * (3 << 20)), "/v1/lost": Response(200, lost=True),
    }  # fmt: skip
    asked: list[Request] = []

    async def answer(request: Request) -> Response:
        asked.append(request)
        if request.path == "/v1/slow":
            await asyncio.sleep(5)
        return answers.get(request.path, Response(200, b'{"ok": true}'))

    tasks = Tasks()
    server = HttpServer(answer, "127.0.0.1", 0, tasks)
    await server.start()
    try:
        api = VendorApi(f"http://127.0.0.1:{server.port}/v1", KEY)
        assert await api.ask("POST", "/fine", {"a": 1}, seconds=5) == {"ok": True}
        assert (asked[0].headers["authorization"], asked[0].body) == (f"Bearer {KEY}", b'{"a":1}')
        assert "openai-beta" not in asked[0].headers
        found = {}
        for path in ("quota", "key", "odd", "redirect", "list", "html", "large", "lost", "slow"):
            with pytest.raises(VendorRefused) as refused:
                await api.ask("GET", f"/{path}", seconds=0.3 if path == "slow" else 5)
            found[path] = refused.value.status
            assert KEY not in str(refused.value)
            assert path != "quota" or "You exceeded your quota" in str(refused.value)
        assert found == {
            "quota": 429, "key": 401, "odd": 503, "redirect": 502, "list": 502, "html": 502, "large": 502, "lost": 502,
            "slow": 504,
        }  # fmt: skip
    finally:
        await server.close()
        await tasks.close()
