"""Twilio's lists of calls: all pages of them, with our keys sent to nobody else, and odd answers read as empty."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from carriers.common.http_client import Api
from carriers.twilio.listings import live_calls, objects, talks_with


class Account:
    """Answers by status of the calls that are asked for; several pages of them one after another."""

    def __init__(self, **pages: list[Any]) -> None:
        self.pages, self.asked = pages, list[Any]()

    async def request(self, method: str, path: str, *, params: dict[str, str], retries: int) -> Any:
        self.asked.append((method, path, params))
        pages = self.pages.get(params.get("Status", "").replace("-", "_"), [{}])
        return pages[min(int(params.get("Page", "0")), len(pages) - 1)]


def listed(account: Account) -> list[tuple[str, str]]:
    return [(one.ids.control, one.ids.number) for one in asyncio.run(live_calls(cast(Api, account)))]


def page(*sids: str, following: Any = None) -> dict[str, Any]:
    return {"calls": [{"sid": sid, "phone_number_sid": f"PN{sid}"} for sid in sids], "next_page_uri": following}


def test_calls_of_each_live_status_are_listed_once() -> None:
    account = Account(queued=[page("a")], ringing=[page("b", "a")], in_progress=[page("c")])
    assert listed(account) == [("a", "PNa"), ("b", "PNb"), ("c", "PNc")]
    assert [params["Status"] for _, _, params in account.asked] == ["queued", "ringing", "in-progress"]
    assert {(method, path) for method, path, _ in account.asked} == {("GET", "/Calls.json")}


def test_the_next_page_is_asked_for_where_the_first_one_was() -> None:
    evil = "https://evil.example/Calls.json?Status=queued&Page=1&PageToken=x%26y"
    account = Account(queued=[page("a", following=evil), page("b")])
    assert listed(account) == [("a", "PNa"), ("b", "PNb")]
    assert account.asked[1] == ("GET", "/Calls.json", {"Status": "queued", "Page": "1", "PageToken": "x&y"})


def test_pages_without_an_end_end() -> None:
    account = Account(queued=[page("a", following="/x?Status=queued")])
    assert listed(account) == [("a", "PNa")]
    assert len(account.asked) == 8 + 2


@pytest.mark.parametrize("answer", [None, [], 7, {}, {"calls": None}, {"calls": {}}, {"calls": [7, None, "x", []]}])
def test_an_odd_answer_lists_nothing(answer: Any) -> None:
    assert objects(answer, "calls") == []
    assert listed(Account(queued=[answer])) == []
    assert asyncio.run(talks_with(cast(Api, Account(in_progress=[answer])), "CA1")) is False


def test_a_call_without_an_id_is_no_text_of_none() -> None:
    account = Account(queued=[{"calls": [{"sid": None, "phone_number_sid": None}], "next_page_uri": 7}])
    assert listed(account) == [("", "")]


def test_somebody_on_the_line_was_rung_for_this_call() -> None:
    account = Account(in_progress=[page("a")])
    assert asyncio.run(talks_with(cast(Api, account), "CA1")) is True
    assert account.asked[0][2] == {"ParentCallSid": "CA1", "Status": "in-progress", "PageSize": "20"}
