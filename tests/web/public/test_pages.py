"""The pages of the public listener: that it runs, where it is found, and nothing about calls."""

from __future__ import annotations

import asyncio
import re

import pytest
from quart import Quart

from callflow.web.public.address import PublicAddress
from callflow.web.public.pages import create_pages
from tests.web.asgi import Answer, ask


def asked(path: str, unready: str = "") -> Answer:
    app = Quart("test")
    assert create_pages(app, PublicAddress("https://phone.example", ""), lambda: unready) == {"/": []}
    return asyncio.run(ask(app, "GET", path))


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", b"OK"),
        ("?nonce=abc-123_X", b"OK abc-123_X"),
        ("?nonce=" + "x" * 65, b"OK"),
        ("?nonce=%3Cb%3E", b"OK"),
        ("?a=b&nonce=1&c", b"OK 1"),
        ("?no-nonce=1", b"OK"),
        ("?" + "x" * 600 + "&nonce=1", b"OK"),
    ],
)
def test_a_sign_of_life_echoes_a_plain_nonce(query: str, body: bytes) -> None:
    answer = asked(f"/health{query}")
    assert (answer.body, answer.headers["content-type"]) == (body, "text/plain")


@pytest.mark.parametrize(("unready", "told"), [("", (200, b"ready", None)), ("full", (503, b"full", "5"))])
def test_a_load_balancer_is_told_a_word(unready: str, told: tuple[int, bytes, str | None]) -> None:
    answer = asked("/ready", unready)
    assert (answer.status, answer.body, answer.headers.get("retry-after")) == told


def test_where_it_is_found_and_what_runs() -> None:
    assert asked("/public-url").json() == {"publicUrl": "https://phone.example"}
    told = asked("/api/version").json()
    assert told["ok"] is True
    assert told["commit"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["time"])
    assert {"/", "/health", "/ready", "/status", "/public-url", "/api/version"} <= set(told["routes"])
    assert b"Callflow is running!" in asked("/status").body
