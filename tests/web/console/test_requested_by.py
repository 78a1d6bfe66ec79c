"""Who has asked for something, in the words of the journal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from quart import Response

from callflow.web.console.identity import Operator
from callflow.web.console.requested_by import ASKED_BY, COMMAND_LINE, CONSOLE, OPERATOR, requester
from tests.web.console.bare import bare_app, request


def who(*, has_token: bool = True, name: str = "", **headers: Any) -> str:
    app = bare_app()

    @app.post("/who")
    async def told() -> Response:
        return Response(requester(has_token=has_token))

    return asyncio.run(request(app, "POST", "/who", by=Operator(name), **headers)).body.decode()


OURS: Any = {ASKED_BY.replace("-", "_"): COMMAND_LINE}


def test_a_token_with_a_name_is_told_whatever_else_is_said() -> None:
    assert who(name="desk") == who(name="desk", **OURS) == who(name="desk", has_token=False) == "token desk"


def test_without_a_name_it_is_whoever_knows_the_token_or_sits_at_this_machine() -> None:
    assert (who(), who(has_token=False)) == (CONSOLE, OPERATOR)
    assert who(**OURS) == who(has_token=False, **OURS) == COMMAND_LINE


@pytest.mark.parametrize(
    "said", ["", "Command line", "command line ", "command\tline", "token root", "caller", "x" * 999]
)
def test_nobody_gives_themselves_another_name(said: str) -> None:
    told = who(callflow_asked_by=said)
    assert told == CONSOLE
