"""The pages of the public listener: that it runs, where it is found, and nothing about calls."""

from __future__ import annotations

import asyncio

import pytest
from quart import Quart

from callflow.web.public.address import PublicAddress
from callflow.web.public.pages import create_pages
from tests.web.asgi import Answer, ask


def asked(path: str) -> Answer:
    app = Quart("test")
    assert create_pages(app, PublicAddress("https://phone.example", "")) == {"/": []}
    return asyncio.run(ask(app, "GET", path))


@pytest.mark.parametrize(
    ("query", "body"),
    [("", b"OK"), ("?nonce=abc-123_X", b"OK abc-123_X"), ("?nonce=" + "x" * 65, b"OK"), ("?nonce=%3Cb%3E", b"OK")],
)
def test_a_sign_of_life_echoes_a_plain_nonce(query: str, body: bytes) -> None:
    answer = asked(f"/health{query}")
    assert (answer.body, answer.headers["content-type"]) == (body, "text/plain")


def test_where_it_is_found_and_what_runs() -> None:
    assert asked("/public-url").json() == {"publicUrl": "https://phone.example"}
    told = asked("/api/version").json()
    assert told["ok"] is True
    assert told["commit"]
    assert {"/", "/health", "/status", "/public-url", "/api/version"} <= set(told["routes"])
    assert b"Callflow is running!" in asked("/status").body
