"""The route that connects a caller with a person: whom, how, and what it is not possible for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.web.console.identity import Operator
from callflow.web.console.transfer import add_transfer
from tests.web.asgi import Answer
from tests.web.console.bare import LiveCalls, bare_app, request


TARGETS = {"sales": "+15550100005", "desk": "sip:desk@pbx.example"}


class Requests:
    """The requests of a live call, which says `why_not`; "": it takes the transfer."""

    def __init__(self, why_not: str) -> None:
        self.why_not = why_not
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    def transfer(self, target: str, number: str, **more: str) -> str:
        self.asked.append((target, number, more))
        return self.why_not


async def transfer(
    body: Any,
    *,
    why_not: str = "",
    can: tuple[str, ...] = ("transfers", "refers"),
    why: str = "",
) -> tuple[Answer, list[tuple[str, str, dict[str, str]]]]:
    """Ask for a transfer of a live call. `why`: why the number is not dialled. Returns what the call was asked, too."""
    requests = Requests(why_not)
    call = SimpleNamespace(
        requests=requests,
        config=SimpleNamespace(transfer_targets=TARGETS, business="taxis"),
        carrier=SimpleNamespace(name="fake", can=frozenset(can)),
    )

    async def may_dial(number: str, business: str) -> str:
        return f"{why} {number} {business}" if why else ""

    app = bare_app()
    add_transfer(app, lambda: cast(Any, LiveCalls(c=call)), may_dial, has_token=True)
    return await request(app, "POST", "/api/calls/c/transfer", body, by=Operator("desk")), requests.asked


@pytest.mark.parametrize(
    ("body", "told", "number"),
    [
        ({"to": "sales"}, ("sales", "warm"), "+15550100005"),
        ({"to": "  SALES ", "mode": "cold"}, ("sales", "cold"), "+15550100005"),
        ({"to": "+15550100009"}, ("the person", "warm"), "+15550100009"),
        ({"to": "desk"}, ("desk", "refer"), "sip:desk@pbx.example"),
    ],
    ids=["a name", "a name however it is spelt", "a number", "a SIP address"],
)
async def test_the_caller_is_connected_with_whom_it_says(body: Any, told: tuple[str, str], number: str) -> None:
    answer, asked = await transfer({**body, "summary": "A taxi for eight."})
    assert (answer.status, answer.json()) == (202, {"call": "c", "to": told[0], "mode": told[1]})
    assert asked == [(told[0], number, {"by": "token desk", "summary": "A taxi for eight.", "mode": told[1]})]


@pytest.mark.parametrize(
    ("body", "changes", "status", "said"),
    [
        ({}, {}, 400, "to is missing"),
        ({"to": "sales", "mode": "fast"}, {}, 400, "mode must be"),
        ({"to": "sales", "summary": 7}, {}, 400, "summary must be a text"),
        ({"to": "sales", "target": "x"}, {}, 400, "target"),
        ({"to": "nobody"}, {}, 400, "sales, desk"),
        ({"to": "sip:evil@example.org"}, {}, 400, "a name that is known"),
        ({"to": "desk", "mode": "warm"}, {}, 400, "referred"),
        ({"to": "sales", "mode": "refer"}, {}, 400, "referred"),
        ({"to": "sales"}, {"can": ()}, 409, "cannot be transferred"),
        ({"to": "desk"}, {"can": ("transfers",)}, 409, "cannot be transferred"),
        ({"to": "sales"}, {"why": "not dialled:"}, 403, "not dialled: +15550100005 taxis"),
        ({"to": "sales"}, {"why_not": "The caller is on hold."}, 409, "The caller is on hold."),
    ],
)
async def test_what_cannot_be_is_refused_in_a_sentence(body: Any, changes: Any, status: int, said: str) -> None:
    answer, asked = await transfer(body, **changes)
    assert answer.status == status
    assert said in answer.json()["error"]
    assert bool(asked) is ("why_not" in changes), "the call was asked although it could not be"


async def test_a_call_that_is_over_is_not_found() -> None:
    app = bare_app()
    add_transfer(app, lambda: cast(Any, LiveCalls()), cast(Any, None), has_token=True)
    answer = await request(app, "POST", "/api/calls/c/transfer", {"to": "sales"})
    assert answer.status == 404
