"""The page on which a browser logs in: the way there, and the way back, which leads nowhere else."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.errors import AccessRefused
from callflow.web.console import login_page
from tests.web.asgi import scope


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("/api/calls?sid=x", "/api/calls?sid=x"), ("/", "/"), ("", "/"), ("//evil.example", "/"), ("/\\evil", "/"),
        ("https://evil.example", "/"), ("/x\r\nSet-Cookie: y", "/"), ("/\tx", "/"), ("/" + "x" * 3000, "/"),
        ("javascript:alert(1)", "/"), ("/login", "/"), ("/login?next=/x", "/"), ("/logout", "/"), ("/é", "/"),
        ('/"><x', "/"),
    ],
)  # fmt: skip
def test_the_way_back_leads_nowhere_else(asked: str, there: str) -> None:
    assert login_page.wanted(asked) == there


ODD = st.text(st.sampled_from("/\\.:@?#%&=\"'<> \t\r\n\x00\x7flogin2fé\u2028"), max_size=20)


@given(ODD | ODD.map(lambda text: f"/{text}"))
def test_whatever_is_asked_for_the_way_back_stays_on_this_listener(asked: str) -> None:
    there = login_page.wanted(asked)
    assert there in (asked, "/")
    found = urlsplit(there)
    assert (found.scheme, found.netloc) == ("", "")
    assert there.startswith("/")
    assert not there.startswith(("//", "/\\"))
    assert there.isascii()
    assert there.isprintable(), "it becomes a header"
    assert not set(there) & set('\\ "<>')


@pytest.mark.parametrize("asked", ["/login#x", "/login?a#x", "/logout#", "/login#?x"])
def test_what_stands_behind_a_hash_does_not_lead_back_to_the_page_itself(asked: str) -> None:
    assert login_page.wanted(asked) == "/"


def test_a_long_way_is_taken_up_to_its_limit() -> None:
    assert len(login_page.wanted("/".ljust(2000, "x"))) == 2000
    assert login_page.wanted("/".ljust(2001, "x")) == "/"


# The way there


def instead(
    path: str = "/api/calls", *, status: int = 401, method: str = "GET", accept: str = "text/html", **given: str
) -> Any:
    headers = [("accept", accept), *((name.replace("_", "-"), value) for name, value in given.items())]
    return login_page.instead_of(AccessRefused(status, "No."), scope(method, path, headers))


def test_only_a_browser_that_opens_a_page_and_lacks_a_token_is_led_to_the_login() -> None:
    assert instead() is not None
    assert instead(method="HEAD") is not None
    assert instead(accept="application/json;q=0.9, text/html") is not None
    for refused in (
        instead(status=403), instead(status=421), instead(method="POST"), instead(method="OPTIONS"),
        instead(accept="*/*"), instead(accept=""),
    ):  # fmt: skip
        assert refused is None


@given(st.text(st.characters(codec="utf-8", exclude_characters="?"), max_size=30))
def test_every_path_is_led_to_the_login_by_a_header_of_one_line(path: str) -> None:
    answer = instead(f"/{path}")
    status, headers, body = answer
    assert (status, body, headers["Cache-Control"]) == (303, b"", "no-store")
    location = headers["Location"]
    assert location.isascii()
    assert location.isprintable()
    found = urlsplit(location)
    assert (found.netloc, found.path) == ("", "/login")
    (there,) = parse_qs(found.query).get("next", ["/"])
    assert login_page.wanted(there) == there


def test_a_link_of_another_site_is_marked_so_that_it_is_asked_again() -> None:
    for site, marked in (("cross-site", True), ("same-site", True), ("same-origin", False), ("none", False)):
        _, headers, _ = instead(sec_fetch_site=site)
        assert ("again=1" in headers["Location"]) == marked, site
    _, headers, _ = instead("/", sec_fetch_site="cross-site")
    assert headers["Location"] == "/login?again=1"


# The pages


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_a_problem_is_text_and_nothing_of_it_is_run(problem: str) -> None:
    shown = login_page.page(f"<script>{problem}</script>").decode()
    assert "<script" not in shown
    assert html.escape(problem) in shown
    assert ("alert" in login_page.page().decode().partition("<body>")[2]) is False


def test_the_page_that_asks_again_goes_there_with_a_script_and_without_one() -> None:
    shown = login_page.once_more("/api/calls?sid=x&live=1'").decode()
    assert shown.count("/api/calls?sid=x&amp;live=1&#x27;") == 2
    (script,) = re.findall("<script>(.*?)</script>", shown)
    assert "location.hash" in script, "what stands behind # has come along"
