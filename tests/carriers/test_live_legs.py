"""The live legs of Telnyx' connection, and of which of our calls each is."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.contracts.carrier import ActiveCall
from callflow.contracts.events import CALLER, HUMAN, LegIds
from carriers.common.http_client import Api
from carriers.telnyx.ids import call_of
from carriers.telnyx.live_legs import find, of_connection


CALL = "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc"


def state(text: str | bytes) -> str:
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


class Pages:
    """Telnyx: these answers, one after another, the last one again and again."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), list[Any]()

    async def request(self, method: str, path: str, *, params: dict[str, str], retries: int) -> Any:
        self.asked.append((method, path, params))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def listed(pages: Pages, connection: str = "c/1") -> list[ActiveCall]:
    return asyncio.run(of_connection(cast(Api, pages), connection))


def leg(control: str, client_state: Any = None) -> dict[str, Any]:
    return {"call_control_id": control, "call_leg_id": "l", "call_session_id": "s", "client_state": client_state}


def page(*legs: Any, after: Any = None) -> dict[str, Any]:
    return {"data": list(legs), "meta": {"cursors": {"after": after}}}


def test_all_pages_are_read_and_each_leg_has_its_call() -> None:
    pages = Pages(page(leg("a", state(CALL)), after="n"), page(leg("b", state(f"{CALL}:{HUMAN}"))))
    found = listed(pages)
    assert [(one.ids.control, one.call, one.leg) for one in found] == [("a", CALL, CALLER), ("b", CALL, HUMAN)]
    assert [path for _, path, _ in pages.asked] == ["/connections/c%2F1/active_calls"] * 2
    assert [params.get("page[after]") for _, _, params in pages.asked] == [None, "n"]
    assert find(found, CALL, HUMAN) == LegIds("b", "l", "s")
    assert find(found, CALL, "other") is find([], CALL, CALLER) is None


def test_a_list_without_an_end_ends() -> None:
    pages = Pages(page(leg("a"), after="again"))
    assert len(listed(pages)) == len(pages.asked) == 8


@pytest.mark.parametrize(
    "answer",
    [None, [], 7, "x", {}, {"data": None}, {"data": {}}, {"data": [7, None]}, page(after=7),
     page(after="n"), {"data": [], "meta": []},
     {"data": [], "meta": {"cursors": []}}, page(after="")],
)  # fmt: skip
def test_an_odd_answer_lists_nothing_and_is_asked_for_once(answer: Any) -> None:
    pages = Pages(answer)
    assert (listed(pages), len(pages.asked)) == ([], 1)


def test_without_a_connection_nothing_is_asked() -> None:
    pages = Pages(page(leg("a")))
    assert (listed(pages, ""), pages.asked) == ([], [])


# Whose a leg is


@pytest.mark.parametrize(
    ("given_", "found"),
    [
        (state(CALL), (CALL, CALLER)), (state(f"{CALL}:human"), (CALL, "human")), (state(f"{CALL}:"), (CALL, CALLER)),
        (state(CALL.upper()), (CALL, CALLER)), (state("another's"), ("", CALLER)), (state(b"\xff"), ("", CALLER)),
        ("no base64!", ("", CALLER)), ("", ("", CALLER)), (None, ("", CALLER)), (7, ("", CALLER)), ("é", ("", CALLER)),
        (state(f"{CALL}:{'x' * 99}"), ("", CALLER)), ([state(CALL)], ("", CALLER)),
    ],
)  # fmt: skip
def test_a_state_that_is_not_ours_is_of_no_call(given_: Any, found: tuple[str, str]) -> None:
    assert call_of(given_) == found


@settings(max_examples=30)
@given(st.binary(max_size=50) | st.text(max_size=20))
def test_no_state_of_another_application_is_a_fault_of_ours(odd: bytes | str) -> None:
    call, _ = call_of(state(odd) if isinstance(odd, bytes) else odd)
    assert call == "" or len(call) == 36
