"""The routes for lists of calls: how a request is read, as JSON or as CSV, and how pages lead to each other.

What becomes of a list is told in tests/switchboard/campaigns and in tests/e2e/test_campaigns.py.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.contracts.errors import BadList, DialRefused, SessionRefused
from callflow.history.database import url_of
from callflow.history.history import History
from callflow.switchboard.campaigns.campaigns import CampaignRequest
from callflow.web.console.campaigns import add_campaigns
from callflow.web.console.identity import Operator
from tests.history import new_database
from tests.in_loop import in_loop
from tests.web.asgi import Answer
from tests.web.console.bare import bare_app, request


PATH = "/api/campaigns"


class FakeCampaigns:
    """Notes what it is to make, and answers `told`, or raises `refuses`."""

    def __init__(self) -> None:
        self.asked: list[CampaignRequest] = []
        self.refuses: Exception | None = None
        self.is_new = True
        self.changed: list[tuple[str, str]] = []

    async def make(self, asked: CampaignRequest) -> tuple[dict[str, Any], bool]:
        if self.refuses is not None:
            raise self.refuses
        self.asked.append(asked)
        return {"id": "c1", "warnings": ["of the rows"]}, self.is_new

    async def change(self, campaign: str, state: str) -> bool:
        self.changed.append((campaign, state))
        return state != "cancelled"

    async def describe(self, campaign: Mapping[str, Any]) -> dict[str, Any]:
        return {"id": campaign["id"]}

    def row_json(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {"row": row["row"], "state": row["state"]}


def checked(session: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    if "voice" in session:
        raise SessionRefused(["There is no such voice.", "Nor such a speed."])
    return dict(session), ["of the session"]


class Stage:
    def __init__(self, history: Any) -> None:
        self.campaigns = FakeCampaigns()
        self.app = bare_app()
        self.history = history
        add_campaigns(self.app, lambda: cast(Any, self.campaigns), history, checked, has_token=True)

    async def get(self, path: str, by: Operator | None = None) -> Answer:
        return await request(self.app, "GET", path, by=by)

    async def post(self, body: Any, query: str = "", *, by: Operator | None = None, **headers: str) -> Answer:
        return await request(self.app, "POST", f"{PATH}{query}", body, by=by, **headers)

    async def csv(self, body: bytes, query: str = "") -> Answer:
        return await self.post(body, query, content_type="text/csv; charset=utf-8")


def without_history() -> Stage:
    return Stage(SimpleNamespace(is_readable=True))


def problems(answer: Answer) -> str:
    assert answer.status == 400, answer.body
    told = answer.json()
    return " ".join(told.get("problems", [told["error"]]))


@in_loop
async def test_a_list_in_json_is_read_with_how_its_rows_are_called() -> None:
    the = without_history()
    answer = await the.post(
        {
            "rows": [{"number": "+15550100001"}, "+15550100002"], "name": "Bread", "from": "+15550100003",
            "profile": "p", "carrier": "fake", "record": True, "hours": "9-12", "attempts": 2, "greeting": "Hello.",
            "session": {"speed": 0.9}, "start": "2030-01-31T09:00:00+01:00",
        },
        by=Operator("desk", "bakery"), idempotency_key="k",
    )  # fmt: skip
    assert (answer.status, answer.json()) == (201, {"id": "c1", "warnings": ["of the session", "of the rows"]})
    (asked,) = the.campaigns.asked
    assert [row.number for row in asked.rows()] == ["+15550100001", "+15550100002"]
    assert (asked.name, asked.key, asked.is_paused, asked.is_dry) == ("Bread", "k", False, False)
    assert asked.start_at == 1_896_076_800.0
    assert (asked.schedule.begins, asked.schedule.ends, asked.schedule.attempts) == (9 * 60, 12 * 60, 2)
    call = asked.call
    assert (call.from_number, call.profile, call.carrier, call.record) == ("+15550100003", "p", "fake", True)
    assert (call.session, call.by, call.business) == (
        {"speed": 0.9, "greeting": "Hello."}, "token desk", "bakery",
    )  # fmt: skip


@in_loop
async def test_a_list_in_csv_has_everything_else_in_the_query_and_both_are_its_digest() -> None:
    the = without_history()
    for query in ("?record=TRUE&dry_run=0&start=paused&pauses=busy:60", "?record=1"):
        assert (await the.csv(b"number\n+15550100001\n", query)).status == 201
    first, second = the.campaigns.asked
    assert ([row.number for row in first.rows()], first.is_paused, first.call.record) == (["+15550100001"], True, True)
    assert first.schedule.pauses["busy"] == 60
    assert first.digest != second.digest
    the.campaigns.is_new = False
    assert (await the.csv(b"number\n+15550100001\n", "?record=1")).status == 200, "it was made before"
    assert the.campaigns.asked[-1].digest == second.digest
    the.campaigns.is_new = True
    assert (await the.csv(b"number\n+15550100001\n", "?dry_run=true")).status == 200, "nothing is made"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?record=maybe", "record must be true or false"), ("?dry_run=", "dry_run must be true or false"),
        ("?name=a&name=b", "name must be given once"), ("?houres=9-18", "did you mean hours"),
        ("?session=%7B%7D", "no parameter"), (f"?name={'x' * 201}", "at most 200 characters"),
    ],
)  # fmt: skip
@in_loop
async def test_a_query_that_makes_no_sense_is_refused(query: str, words: str) -> None:
    the = without_history()
    assert words in problems(await the.csv(b"number\n+15550100001\n", query))
    assert the.campaigns.asked == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"rows": "x"}, "rows must be a list"), ({"name": 7}, "name must be a text"),
        ({"name": "a\x00b"}, "name must be a text of at most"), ({"start": ["now"]}, "start must be a text"),
        ({"session": []}, "session must be an object"), ({"record": "yes"}, "record must be true or false"),
        ({"session": {"voice": 5}}, "Nor such a speed"), ({"start": "2030-01-31"}, "with its zone"),
        ({"start": "2030-01-31T09:00:00+99:00"}, "with its zone"), ({"rwos": []}, "did you mean rows"),
    ],
)  # fmt: skip
@in_loop
async def test_a_body_that_makes_no_sense_is_refused_with_all_its_problems(more: Any, words: str) -> None:
    the = without_history()
    assert words in problems(await the.post({"rows": ["+15550100001"], **more}))
    assert the.campaigns.asked == []


@in_loop
async def test_a_json_list_takes_no_query_and_a_key_is_short_and_printable() -> None:
    the = without_history()
    assert "The query is for a list in text/csv: put name into the body." in problems(
        await the.post({"rows": ["x"]}, "?name=a")
    )
    for key in ("k" * 256, "a\tb"):
        assert "printable characters" in problems(await the.post({"rows": ["x"]}, idempotency_key=key))
    assert (await the.post({"rows": ["x"]}, idempotency_key="k" * 255)).status == 201


@in_loop
async def test_what_is_refused_later_is_told_as_it_is() -> None:
    the = without_history()
    the.campaigns.refuses = DialRefused(503, "Another list is being read.", wait=5)
    answer = await the.post({"rows": ["x"]})
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    the.campaigns.refuses = BadList("The list has no rows.")
    assert problems(await the.post({"rows": ["x"]})) == "The list has no rows."
    the.history.is_readable = False
    assert (await the.get(PATH)).status == 503
    assert (await the.get(f"{PATH}x")).status == 404


@contextlib.asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """With three lists, of 3, 0 and 0 rows; the second is a business's."""
    await new_database.put_into(folder)
    history = History(url_of("", str(folder)), recordings=folder / "recordings", retention_days=0, country="")
    await history.open()
    try:
        for number, count in enumerate((3, 0, 0)):
            entry = {
                "id": f"c{number}", "name": "", "asked": "{}", "digest": "", "created_by": "operator",
                "seq": number + 1, "start_at": 0.0, "business": "bakery" if number == 1 else "",
            }  # fmt: skip
            await history.campaigns.add(entry, [row(place) for place in range(1, count + 1)])
        yield Stage(history)
    finally:
        await history.journal.close()
        await history.close()


def row(number: int) -> dict[str, Any]:
    return {
        "row": number, "line": number, "number": f"+1555010000{number}", "zones": "UTC", "variables": "{}",
        "state": "skipped" if number == 2 else "waiting", "tries": 0, "next_at": 0.0, "changed_at": 0.0, "outcome": "",
        "reason": "",
    }  # fmt: skip


async def pages(the: Stage, path: str) -> list[list[Any]]:
    """All pages, as each one's Link leads to the next."""
    found: list[list[Any]] = []
    while path:
        answer = await the.get(path)
        assert answer.status == 200, answer.body
        found.append(answer.json())
        path = answer.headers.get("link", "").partition(">")[0][1:]
    return found


@in_loop
async def test_pages_lead_on_to_the_last_one(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        assert [[each["id"] for each in page] for page in await pages(the, f"{PATH}?limit=2")] == [["c2", "c1"], ["c0"]]
        assert [each["id"] for each in (await the.get(PATH, Operator("oven", "bakery"))).json()] == ["c1"]
        rows = f"{PATH}/c0/rows"
        assert [[each["row"] for each in page] for page in await pages(the, f"{rows}?limit=1")] == [[1], [2], [3], []]
        waiting = await pages(the, f"{rows}?limit=1&state=waiting")
        assert [each for page in waiting for each in page] == [
            {"row": 1, "state": "waiting"}, {"row": 3, "state": "waiting"},
        ]  # fmt: skip


@pytest.mark.parametrize(
    "query", ["state=wating", "state=%00", "state=waiting&state=done", "limit=0", "limit=501", "after=-1", "before=1"]
)
@in_loop
async def test_a_page_that_there_cannot_be_is_refused(tmp_path: Path, query: str) -> None:
    """A state that no row has found no rows, as if there were none."""
    async with stage(tmp_path) as the:
        assert (await the.get(f"{PATH}/c0/rows?{query}")).status == 400


@in_loop
async def test_only_lists_that_are_there_are_told_of_and_changed(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        for path in (f"{PATH}/nobody", f"{PATH}/%00", f"{PATH}/nobody/rows", f"{PATH}/nobody/rows?state=done"):
            assert (await the.get(path)).status == 404, path
        assert (await the.get(f"{PATH}/c0")).json() == {"id": "c0"}
        for path, status in (
            ("nobody/pause", 404), ("c0/stop", 404), ("c0/pause", 200), ("c0/resume", 200), ("c0/cancel", 409),
        ):  # fmt: skip
            assert (await request(the.app, "POST", f"{PATH}/{path}")).status == status, path
        assert the.campaigns.changed == [("c0", "paused"), ("c0", "running"), ("c0", "cancelled")]
        assert "loading" in json.dumps((await request(the.app, "POST", f"{PATH}/c0/cancel")).json())
