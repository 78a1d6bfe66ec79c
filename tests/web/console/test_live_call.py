"""What the routes about one live call have in common: which call, which names, and what is answered."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from callflow.contracts.errors import BadRequest
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.hold import add_hold
from callflow.web.console.live_call import live_call, only, taken
from callflow.web.console.mute import add_mute
from callflow.web.console.say import add_say
from tests.web.console import bare
from tests.web.console.bare import Line, LiveCalls, bare_app, request


def test_a_call_that_is_not_live_is_not_there_and_its_name_cannot_forge_a_line() -> None:
    board = cast(Switchboard, LiveCalls(c=7))
    assert live_call(board, "c") == cast(Any, 7)
    for name in ("", "C", "c ", "x\ny\x1b[2J", "x" * 9999):
        with pytest.raises(BadRequest) as refused:
            live_call(board, name)
        (problem,) = refused.value.problems
        assert (refused.value.status, problem.isprintable(), len(problem) < 150) == (404, True, True)


def test_a_body_has_the_names_of_its_route_and_no_others() -> None:
    only({}, "party")
    only({"party": 1}, "party", "on")
    with pytest.raises(BadRequest) as refused:
        only({"prty": 1, "on": 2, "\x00": 3}, "party")
    assert refused.value.status == 400
    assert refused.value.problems[0] == 'There is no "prty" in this body: did you mean party?'
    assert len(refused.value.problems) == 3
    with pytest.raises(BadRequest) as many:
        only(dict.fromkeys(map(str, range(5000))), "party")
    assert len(many.value.problems) == 20


def test_what_a_call_has_not_taken_is_answered_with_the_reason() -> None:
    async def main() -> None:
        async with bare_app().app_context():
            no = taken("The call is over.", "c", on=True)
            assert (no.status_code, json.loads(await no.get_data())) == (409, {"error": "The call is over."})
            yes = taken("", "c", on=True)
            assert (yes.status_code, json.loads(await yes.get_data())) == (202, {"call": "c", "on": True})

    asyncio.run(main())


# The same of all of them

ROUTES: dict[str, Any] = {
    "hold": None, "resume": None, "mute": {"party": "caller"}, "say": {"text": "Hello."},
}  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
def test_each_route_refuses_what_it_does_not_know_before_the_call_is_asked(route: str) -> None:
    async def main() -> None:
        line, app, good = Line(), bare_app(), ROUTES[route]
        board = cast(Any, LiveCalls(c=bare.live_call(line)))
        for add in (add_hold, add_mute, add_say):
            add(app, lambda: board, has_token=True)
        path = f"/api/calls/c/{route}"
        for body in (b"[]", b"7", b"null", b'"x"', b"{", b"\xff", b'{"a": 1}', b'{"party": NaN}', b"[" * 10_000):
            assert (await request(app, "POST", path, body)).status == 400, body
        twice = json.dumps(good or {"x": 1})[:-1] + "," + json.dumps(good or {"x": 1})[1:]
        assert (await request(app, "POST", path, twice.encode())).status == 400, "a name that stands there twice"
        assert (await request(app, "POST", path, good or {}, content_type="text/plain")).status == 415
        for method in ("GET", "PUT", "DELETE"):
            assert (await request(app, method, path, good)).status == 405
        assert (await request(app, "POST", f"{path}?x=1", good)).status == 400
        line.asked.clear()
        assert (await request(app, "POST", path.replace("/c/", "/d/"), good)).status == 404
        assert line.asked == []
        line.why = "The caller is not there yet."
        refused = await request(app, "POST", path, good)
        assert (refused.status, refused.json()) == (409, {"error": "The caller is not there yet."})

    asyncio.run(main())
