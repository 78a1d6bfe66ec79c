"""The page of one call for somebody who has a link: what stands in it, and what never does."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.journal.redaction import Redactor
from callflow.web.console import share_page
from callflow.web.console.headers import csp_hash


CARD = "4111 1111 1111 1111"


def row(**more: Any) -> dict[str, Any]:
    return {
        "phone_number": "+15550100002", "caller_number": "+15550100001", "direction": "inbound", "call_id": "c",
        "state": "hangup", "started_at": "2026-05-01T10:00:00.000Z", "ended_at": "2026-05-01T10:01:05.000Z",
        "duration_seconds": 65, "hangup_cause": "normal_clearing", "hangup_source": "caller", **more,
    }  # fmt: skip


def said(text: str, role: str = "user", *, heard: str | None = None, at: str = "2026-05-01T10:00:07.000Z") -> Any:
    content = json.dumps([{"type": "text", "text": text}])
    return {"item_type": "message", "role": role, "content": content, "heard_text": heard, "timestamp": at}


def ran(name: str | None, status: str | None = "completed") -> Any:
    return {
        "item_type": "function_call", "role": None, "content": None, "heard_text": None, "function_name": name,
        "function_params": CARD, "status": status, "timestamp": "2026-05-01T10:00:09.000Z",
    }  # fmt: skip


def page(*items: Any, redact: Redactor | None = None, expires: float = 1_777_777_777.0, **more: Any) -> str:
    return share_page.page(row(**more), items, redact or Redactor(), expires=expires).decode()


def fact(shown: str, name: str) -> str:
    (found,) = re.findall(f"<dt>{name}</dt><dd>(.*?)</dd>", shown) or [""]
    return html.unescape(found)


def test_the_facts_of_a_call_stand_in_front_with_masked_numbers() -> None:
    shown = page()
    told = {name: fact(shown, name) for name in ("From", "To", "Direction", "Began", "Ended", "Lasted", "How it ended")}
    assert told == {
        "From": "+1555•••0001", "To": "+1555•••0002", "Direction": "in", "Began": "2026-05-01 10:00:00 UTC",
        "Ended": "2026-05-01 10:01:05 UTC", "Lasted": "1:05",
        "How it ended": "it was hung up in the ordinary way, by the caller",
    }  # fmt: skip
    assert "The link ends at 2026-05-03 03:09:37 UTC" in shown
    assert "Nothing was said" in shown
    assert fact(page(direction="outbound"), "From") == "+1555•••0002"


@pytest.mark.parametrize(
    ("field", "value", "name", "shown"),
    [
        ("caller_number", None, "From", "withheld"), ("caller_number", "", "From", "withheld"),
        ("caller_number", "15550100001", "From", "1555•••0001"), ("caller_number", "<b>", "From", "<b>"),
        ("duration_seconds", None, "Lasted", ""), ("duration_seconds", 0, "Lasted", "0:00"),
        ("duration_seconds", -1, "Lasted", "0:00"), ("duration_seconds", 360_000, "Lasted", "6000:00"),
        ("started_at", None, "Began", ""), ("started_at", "<script>", "Began", ""),
        ("started_at", "2026-05-01T12:00:00+02:00", "Began", "2026-05-01 10:00:00 UTC"),
        ("started_at", "2026-05-01 10:00:00", "Began", "2026-05-01 10:00:00 UTC"),
        ("started_at", "0001-01-01T00:00:00+02:00", "Began", ""), ("direction", None, "Direction", "in"),
        ("ended_at", None, "Ended", "not yet: load this page again for more"), ("ended_at", None, "How it ended", ""),
        ("hangup_cause", "<i>odd</i>_cause", "How it ended", "<i>odd</i> cause"),
    ],
)  # fmt: skip
def test_a_fact_that_is_odd_is_left_out_or_shown_as_text(field: str, value: Any, name: str, shown: str) -> None:
    assert fact(page(**{field: value}), name) == shown


def test_what_was_said_stands_there_with_who_and_when_and_what_was_never_heard_is_marked() -> None:
    shown = page(said("Hello."), said("Good day to you.", "assistant", heard="Good day"), ran("weather"))
    assert '<li class=caller><b>Caller</b><time>0:07</time><p dir="auto">Hello.</p></li>' in shown
    assert 'Good day <del aria-label="never heard">to you.</del>' in shown
    assert "<li><b>Tool</b><time>0:09</time><p>weather (completed)</p></li>" in shown
    unheard = page(said("Good day.", "assistant", heard=""))
    assert '<p dir="auto"><del aria-label="never heard">Good day.</del></p>' in unheard


def test_neither_instructions_nor_what_is_handed_to_a_tool_are_on_the_page() -> None:
    shown = page(said("Be kind.", "system"), said("", "user"), ran("pay"), ran(None, None))
    assert "Be kind." not in shown
    assert "4111" not in shown
    assert shown.count("<li>") == 2
    assert "class=caller" not in shown.partition("<main>")[2]


def test_words_are_redacted_once_more_by_the_patterns_of_today_and_numbers_are_masked() -> None:
    redact = Redactor(["secret [a-z]+"])
    shown = page(
        said(f"My card is {CARD}, call +15550100001, secret word"),
        said("It is +1555", "assistant", heard="It is +1555"),
        said("It is +15550100007", "assistant", heard="It is +1555"),
        ran("secret tool"), redact=redact,
    )  # fmt: skip
    for private in ("4111 1111", "+15550100001", "+15550100007", "secret word", "secret tool"):
        assert private not in shown
    assert "0100007" not in re.sub("<[^>]*>", "", shown), "a number that is divided between both parts"


TEXTS = st.text(st.sampled_from("a <>&'\"/=\\u\ud800\x00\x1b\u202e\n1+5é🚕"), max_size=20)


@given(TEXTS, TEXTS)
def test_nothing_that_was_said_is_markup_whatever_it_is(text: str, heard: str) -> None:
    shown = page(
        said(f"<script>{text}</script>", "assistant", heard=heard), ran(f"<img src=x>{text}", f'">{text}'),
        caller_number=f"<a>{text}"[:40],
    )  # fmt: skip
    assert set(re.findall("<(/?[a-z0-9]+)", shown.partition("<body>")[2])) <= {
        "h1", "/h1", "dl", "dt", "dd", "/dl", "/dt", "/dd", "p", "/p", "main", "/main", "ol", "/ol", "li", "/li", "b",
        "/b", "time", "/time", "del", "/del", "footer", "/footer", "/body", "/html",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("began", "at", "shown"),
    [
        ("2026-05-01T10:00:00Z", "2026-05-01T10:00:00Z", "0:00"),
        ("2026-05-01T10:00:00Z", "2026-05-01T09:00:00Z", "0:00"),
        ("2026-05-01T10:00:00Z", "2026-05-01T12:10:59.999Z", "130:59"),
        ("2026-05-01 10:00:00", "2026-05-01T10:00:09Z", "0:00"),
        (None, "2026-05-01T10:00:09Z", "0:00"), ("2026-05-01T10:00:00Z", None, "0:00"), ("x", "y", "0:00"),
        ("2026-05-01T12:00:00+02:00", "2026-05-01T10:01:00Z", "1:00"),
    ],
)  # fmt: skip
def test_moments_count_from_the_beginning_of_the_call(began: Any, at: Any, shown: str) -> None:
    assert f"<time>{shown}</time>" in page(said("Hello.", at=at), started_at=began)


def test_the_page_loads_and_runs_nothing_and_no_search_engine_keeps_it() -> None:
    shown = page(said("Hello."))
    (style,) = re.findall("<style>(.*?)</style>", shown)
    policy = share_page.HEADERS["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src {csp_hash(style)};")
    assert "script-src" not in policy
    assert share_page.HEADERS["Referrer-Policy"] == "no-referrer"
    assert share_page.HEADERS["X-Robots-Tag"] == "noindex, nofollow, noarchive"
    assert '<meta name="robots" content="noindex">' in shown


def test_a_sentence_is_text() -> None:
    assert b"<h1>&lt;b&gt; no</h1>" in share_page.sentence("<b> no")
