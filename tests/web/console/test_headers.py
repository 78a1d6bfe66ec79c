"""What a page of the operators' listener may load, run and ask."""

from __future__ import annotations

import base64
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from callflow.web.console import headers


def policy_of(told: dict[str, str]) -> dict[str, str]:
    return dict(part.split(" ", 1) for part in told["Content-Security-Policy"].split("; "))


def test_a_page_may_load_from_here_and_from_nowhere_else() -> None:
    told = headers.page_headers(scripts=['{"imports": {}}'], styles=["a{}"], style_nonce="n0nce")
    assert policy_of(told) == {
        "default-src": "'none'", "script-src": "'self' " + headers.csp_hash('{"imports": {}}'),
        "style-src": "'self' " + headers.csp_hash("a{}") + " 'nonce-n0nce'", "connect-src": "'self'",
        "img-src": "'self' data:", "media-src": "'self' blob:", "worker-src": "'self'", "base-uri": "'none'",
        "form-action": "'self'", "frame-ancestors": "'none'",
    }  # fmt: skip
    assert "unsafe" not in str(told)
    assert (told["X-Content-Type-Options"], told["Referrer-Policy"]) == ("nosniff", "no-referrer")


def test_a_page_reaches_one_origin_more_and_only_if_that_is_named() -> None:
    assert policy_of(headers.page_headers(connects="wss://api.openai.com"))["connect-src"] == (
        "'self' wss://api.openai.com"
    )
    without = headers.page_headers()
    assert policy_of(without)["connect-src"] == "'self'"
    assert (policy_of(without)["script-src"], policy_of(without)["style-src"]) == ("'self'", "'self'")
    assert without["Permissions-Policy"] == "camera=(), geolocation=(), microphone=(self)"


def test_a_plain_page_loads_nothing_and_runs_only_what_stands_in_it() -> None:
    told = headers.plain_page_headers(styles=["a{}", "b{}"])
    assert policy_of(told) == {
        "default-src": "'none'", "style-src": f"{headers.csp_hash('a{}')} {headers.csp_hash('b{}')}",
        "base-uri": "'none'", "form-action": "'self'", "frame-ancestors": "'none'",
    }  # fmt: skip
    assert policy_of(headers.plain_page_headers())["style-src"] == "'none'", "and no empty list, which says nothing"
    assert policy_of(headers.plain_page_headers(scripts=["x()"]))["script-src"] == headers.csp_hash("x()")
    assert told["Referrer-Policy"] == "same-origin", "or the form comes with Origin: null"


def test_no_page_is_framed_kept_or_taken_for_another_kind() -> None:
    for told in (headers.page_headers(), headers.plain_page_headers()):
        assert told["X-Frame-Options"] == "DENY"
        assert told["Cache-Control"] == "no-store"
        assert told["X-Content-Type-Options"] == "nosniff"
        assert (told["Cross-Origin-Opener-Policy"], told["Cross-Origin-Resource-Policy"]) == ("same-origin",) * 2
        assert told["Vary"] == "Accept, Cookie", "who is not logged in gets something else at the same address"


@given(st.text())
def test_a_hash_is_of_the_text_to_the_letter_and_cannot_leave_its_place(text: str) -> None:
    found = headers.csp_hash(text)
    assert found == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    assert not set(found) & set(" ;,\r\n"), "it would end the directive"
    assert headers.csp_hash(f"{text} ") != found
