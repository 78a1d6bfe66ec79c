"""The routes that put a caller on hold, and take them off it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from callflow.web.console.hold import add_hold
from callflow.web.console.identity import Operator
from tests.web.console.bare import Line, LiveCalls, bare_app, live_call, request


@pytest.mark.parametrize(("act", "on_hold"), [("hold", True), ("resume", False)])
@pytest.mark.parametrize("body", [None, b"", b"  ", b"{}"])
def test_the_call_is_asked_once_and_the_answer_says_how_it_is_now(act: str, on_hold: bool, body: Any) -> None:
    async def main() -> None:
        line, app = Line(), bare_app()
        add_hold(app, lambda: cast(Any, LiveCalls(c=live_call(line))), has_token=True)
        answer = await request(app, "POST", f"/api/calls/c/{act}", body, by=Operator("desk"))
        assert (answer.status, answer.json()) == (202, {"call": "c", "on_hold": on_hold})
        assert line.asked == [(act, "token desk")]

    asyncio.run(main())


def test_without_a_token_it_is_whoever_sits_at_this_machine() -> None:
    async def main() -> None:
        line, app = Line(), bare_app()
        add_hold(app, lambda: cast(Any, LiveCalls(c=live_call(line))), has_token=False)
        await request(app, "POST", "/api/calls/c/hold")
        await request(app, "POST", "/api/calls/c/resume")
        assert line.asked == [("hold", "operator"), ("resume", "operator")]

    asyncio.run(main())
