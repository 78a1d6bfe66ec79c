"""The page at the root of the operators' listener: it lists what there is, and loads and runs nothing."""

from __future__ import annotations

import asyncio

import pytest
from quart import Quart

from callflow.web.console.index_page import add_index
from tests.web.asgi import Answer, ask


def asked(accept: str) -> Answer:
    app = Quart("test")
    app.add_url_rule("/tools", "tools", lambda: "")
    add_index(app)
    headers = {"accept": accept} if accept else {}
    return asyncio.run(ask(app, "GET", "/", body=b"", **headers))


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "text/html, application/json;q=0.9"])
def test_people_get_a_page(accept: str) -> None:
    answer = asked(accept)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert b'<a href="/tools">' in answer.body
    assert b"/api/calls</a>" not in answer.body, "this app has no such path"
    assert not any(tag in answer.body for tag in (b"<script", b"<img", b"<link", b"src="))
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert (answer.headers["cache-control"], answer.headers["vary"]) == ("no-store", "Accept")


@pytest.mark.parametrize("accept", ["application/json", "application/json, text/html;q=0.5"])
def test_programs_get_the_same_as_json(accept: str) -> None:
    told = asked(accept).json()
    assert told["name"] == "Callflow"
    assert told["version"]
    routes = [one["route"] for one in told["routes"]]
    assert "GET /tools" in routes
    assert "POST /mcp" in routes
