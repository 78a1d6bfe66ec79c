"""The routes by which a browser logs in and out, and the one that says who asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import parse_qs

from quart import Quart, Response, request

from callflow.contracts.errors import BadRequest
from callflow.web.console import login_page
from callflow.web.console.identity import ASKING, Operator
from callflow.web.console.login_limit import LoginLimit
from callflow.web.console.login_sessions import COOKIE, SECONDS, LoginSessions
from callflow.web.console.node_fan_out import NodeFanOut
from callflow.web.console.policy import cookies
from callflow.web.responses import error_response, json_object, json_response, query_parameters, unknown_names


_EXAMPLE: Final = '{"token": "…"}'
_WRONG: Final = "This token is not known here."
_FORM: Final = "application/x-www-form-urlencoded"
_LONGEST_TOKEN: Final = 4096


def add_login(
    app: Quart,
    sessions: LoginSessions,
    fan_out: NodeFanOut | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Add the routes to the app. `fan_out`: the other nodes, where a login holds, too; None: there are none.
    `clock`: seconds of a steady clock, for the limit of wrong tokens."""
    limit = LoginLimit()

    @app.get("/api/whoami")
    @query_parameters()
    async def whoami() -> Response:
        """Answer who asks, and what that role is."""
        return json_response(_operator(ASKING.get()))

    @app.get("/login")
    @query_parameters("next", login_page.AGAIN)
    async def form() -> Any:
        """Answer the page with the form."""
        if not sessions.is_needed:
            return _to(_next())
        if request.args.get(login_page.AGAIN):
            return Response(login_page.once_more(_next()), headers=login_page.HEADERS_ONCE_MORE)
        return _page(200)

    @app.post("/login")
    @query_parameters("next")
    async def log_in() -> Any:
        """Take a token, of the form or as JSON, and set the cookie."""
        is_form = request.mimetype == _FORM
        token = await _token_of_form() if is_form else await _token_of_json()
        if not sessions.is_needed:
            return _to(_next()) if is_form else json_response(_operator(Operator()))
        address, now = request.remote_addr or "", clock()
        if wait := limit.wait(address, now):
            said = f"Too many wrong tokens: try again in {wait} s."
            return _refused(429, said, Retry_After=str(wait))
        holder = sessions.holder_of_token(token.encode("utf-8", "replace")) if token else None
        if holder is None:
            limit.failed(address, now)
            return _refused(401, _WRONG)
        answer = _to(_next()) if is_form else json_response(_operator(holder))
        _set_cookie(answer, sessions.begin(holder), SECONDS)
        return answer

    @app.post("/logout")
    @query_parameters()
    async def log_out() -> Any:
        """End the login, here, at the other nodes that answer, and in the browser."""
        logins = [cookie for cookie in cookies(list(request.scope["headers"])) if sessions.holder(cookie) is not None]
        for cookie in logins:
            sessions.end(cookie)
        if logins and fan_out is not None:
            await fan_out.answers()
        answer = _to(login_page.PATH) if request.mimetype == _FORM else json_response({"success": True})
        _set_cookie(answer, "", 0)
        return answer


def _operator(operator: Operator) -> dict[str, str]:
    return {"name": operator.shown, "role": operator.role, "business": operator.business}


def _next() -> str:
    return login_page.wanted(request.args.get("next", ""))


def _to(path: str) -> Response:
    return Response(b"", 303, headers={"Location": path})


def _page(status: int, problem: str = "") -> Response:
    return Response(login_page.page(problem), status, headers=login_page.HEADERS)


def _refused(status: int, sentence: str, **headers: str) -> Response:
    """Answer that a login failed: a program in JSON, a browser with the form again."""
    if "text/html" not in request.headers.get("Accept", ""):
        return error_response(status, sentence, **headers)
    answer = _page(status, sentence)
    answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return answer


def _set_cookie(answer: Response, value: str, seconds: int) -> None:
    is_encrypted = request.headers.get("Origin", "").startswith("https:")  # which a proxy in front does not hide
    answer.set_cookie(
        COOKIE, value, max_age=seconds, path="/", secure=is_encrypted, httponly=True, samesite="Strict"
    )  # fmt: skip


async def _token_of_json() -> str:
    body = await json_object(_EXAMPLE)
    if problems := unknown_names(body, ["token"]):
        raise BadRequest(400, *problems)
    token = body.get("token", "")
    if not isinstance(token, str) or len(token) > _LONGEST_TOKEN:
        raise BadRequest(400, f"token must be a text, such as {_EXAMPLE}.")
    return token.strip()


async def _token_of_form() -> str:
    body = cast(bytes, await request.get_data())
    try:
        given = parse_qs(body.decode("ascii"), max_num_fields=10).get("token", [])
    except ValueError:
        raise BadRequest(400, "The form cannot be read.") from None
    return given[0].strip()[:_LONGEST_TOKEN] if len(given) == 1 else ""
