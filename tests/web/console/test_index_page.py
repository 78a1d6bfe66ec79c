"""The root of the operators' listener: the page for browsers, a list of what there is for programs."""

from __future__ import annotations

import asyncio

import pytest
from quart import Quart

from callflow.web.console.index_page import add_index
from tests.web.asgi import Answer, ask


def asked(accept: str, path: str = "/") -> Answer:
    app = Quart("test")
    app.add_url_rule("/tools", "tools", lambda: "")
    add_index(app)
    headers = {"accept": accept} if accept else {}
    return asyncio.run(ask(app, "GET", path, body=b"", **headers))


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "application/json"])
def test_a_plain_page_lists_the_paths(accept: str) -> None:
    answer = asked(accept, "/api")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert b'<a href="/tools">' in answer.body
    assert b"/api/calls</a>" not in answer.body, "this app has no such path"
    assert not any(tag in answer.body for tag in (b"<script", b"<img", b"<link", b"src="))
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "accept", ["text/html", "text/html, application/json;q=0.9", "text/html,application/xhtml+xml,*/*;q=0.8"]
)
def test_browsers_get_the_page(accept: str) -> None:
    answer = asked(accept)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert b"<cf-app>" in answer.body
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["vary"] == "Accept, Accept-Encoding, Cookie"


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "application/json, text/html;q=0.5"])
def test_programs_get_the_paths_as_json(accept: str) -> None:
    told = asked(accept).json()
    assert told["name"] == "Callflow"
    assert told["version"]
    routes = [one["route"] for one in told["routes"]]
    assert "GET /tools" in routes
    assert "POST /mcp" in routes
