"""Filters of the history, and searches that are saved under a name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from callflow.journal.notes import Began, Ended, FirstWord
from tests.web.console.stage import Stage, play


ALL, DESK, EYE, SHOP = (f"{name}-token-of-some-characters" for name in ("all", "desk", "eye", "shop"))
NAMED = f"desk:operate:{DESK},eye:view:{EYE},shop:operate:bakery:{SHOP}"


async def save(the: Stage, name: str, filters: Any) -> int:
    answer = await the.send("PUT", f"/api/views/{name}", json.dumps({"filters": filters}).encode())
    return answer.status


async def names(the: Stage, token: str) -> list[str]:
    the.headers = {"authorization": f"Bearer {token}"}
    return [each["name"] for each in (await the.get("/api/views")).json()]


def test_a_view_is_saved_for_all_and_shown_to_those_who_may_search_so(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        the.headers = {"authorization": f"Bearer {DESK}"}
        assert await save(the, "Missed", {"result": "caller", "days": "7", "text": " "}) == 201
        assert await save(the, "Ada", {"number": "+15550100001"}) == 201
        assert await save(the, "Missed", {"result": "caller"}) == 200
        assert await save(the, "Odd", {"colour": "red"}) == 400
        assert await save(the, "Odd", {"days": 7}) == 400
        (_, missed) = (await the.get("/api/views")).json()
        assert (missed["name"], missed["filters"], missed["by"]) == ("Missed", {"result": "caller"}, "token desk")
        assert await names(the, EYE) == ["Missed"], "they may not search for a number"
        assert await save(the, "Mine", {}) == 403
        assert await names(the, SHOP) == []
        assert await save(the, "Missed", {"days": "1"}) == 201
        assert await names(the, SHOP) == ["Missed"]
        assert await names(the, DESK) == ["Ada", "Missed"]
        assert (await the.send("DELETE", "/api/views/Ada")).status == 200
        assert (await the.send("DELETE", "/api/views/Ada")).status == 404

    play(tmp_path, main, token=ALL, named_tokens=NAMED)


CALLS: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "heard": ("normal_clearing", True, {}),
    "gone": ("normal_clearing", False, {}),
    "busy": ("user_busy", False, {"direction": "outbound"}),
    "odd": ("some_new_cause", False, {"carrier": "twilio"}),
    "ended": ("agent", True, {"profile": "sales"}),
    "model": ("engine_lost", True, {}),
}


FOUND = {
    "result=success": "ended heard",
    "result=caller": "busy gone",
    "result=carrier": "odd",
    "result=engine": "model",
    "result=user_busy": "busy",
    "direction=outbound": "busy",
    "direction=inbound&result=carrier": "odd",
    "carrier=twilio": "odd",
    "profile=sales": "ended",
}


def test_the_history_is_filtered_by_more_than_words(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        for number, (call, (cause, heard, began)) in enumerate(CALLS.items()):
            notes = [FirstWord(ms=1)] if heard else []
            begun = Began(**{"carrier": "telnyx", "from_number": "+15550100001", "to_number": "+15550100002", **began})
            await the.write(begun, *notes, Ended(cause=cause), call=call, at=1_700_000_000.0 + number * 100)
        for query, expected in FOUND.items():
            found = (await the.get(f"/api/conversations?columns=all&{query}")).json()
            assert sorted(each["call_id"] for each in found) == expected.split(), query
            exported = (await the.get(f"/api/conversations/export?format=csv&{query}")).body.decode()
            assert exported.count("\n") == len(found) + 1, query
        (model,) = (await the.get("/api/conversations?columns=all&result=engine")).json()
        assert (model["result"], model["ended_because"][:20]) == ("engine", "the voice model was ")
        assert (await the.get("/api/conversations?result=good")).status == 400

    play(tmp_path, main)
