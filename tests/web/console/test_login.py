"""Browsers log in, and what their cookie is good for."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest

from callflow.web.console import auth, headers, roles
from callflow.web.console.auth import AccessMiddleware
from callflow.web.console.identity import ASKING, OPERATE, VIEW, named_tokens
from callflow.web.console.login_limit import TRIES
from callflow.web.console.policy import AccessPolicy
from tests.web.asgi import Answer, scope
from tests.web.console.stage import CALL, Stage, play


ALL, VIEWER, DESK, TAXIS = (f"the-token-number-{each}-of-all" for each in range(4))
NAMED = f"eye:view:{VIEWER},desk:operate:{DESK},cab:operate:taxis:{TAXIS}"
FORM = "application/x-www-form-urlencoded"
PAGE = {"x_callflow": "console", "origin": "http://localhost"}


def cookie_of(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


async def log_in(the: Stage, token: str, **more: str) -> Answer:
    the.headers = {}
    return await the.send("POST", "/login", json.dumps({"token": token}).encode(), **more)


async def submit(the: Stage, token: str, query: str = "", **more: str) -> Answer:
    the.headers = {}
    given = {"content_type": FORM, "origin": "http://localhost", "accept": "text/html", **more}
    return await the.send("POST", f"/login{query}", urlencode({"token": token}).encode(), **given)


async def who(the: Stage, **given: str) -> Any:
    return (await the.get("/api/whoami", **given)).json()


def test_a_login_is_as_good_as_its_token(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        for token, told in (
            (ALL, {"name": "operator", "role": "configure", "business": ""}),
            (VIEWER, {"name": "eye", "role": "view", "business": ""}),
            (TAXIS, {"name": "cab", "role": "operate", "business": "taxis"}),
        ):
            answer = await log_in(the, token)
            assert (answer.status, answer.json()) == (200, told)
            cookie = cookie_of(answer)
            assert token not in str(answer)
            assert await who(the, cookie=cookie) == told
            assert await who(the, cookie=f"theme=dark; {cookie}; x=y") == told
            old = f"{cookie.partition('=')[0]}=old; "
            assert await who(the, cookie=old * 3 + cookie) == told, "a browser may send old ones, too"
            answer = await the.get("/api/whoami", cookie=old * 8 + cookie)
            assert answer.status == 401, "each costs a signature, and there is no end of them"
            assert await who(the, authorization=f"Bearer {token}") == told
            assert (await the.get("/api/whoami", cookie=cookie, authorization="Bearer wrong")).status == 401
        assert (await the.get("/api/whoami")).status == 401

    play(tmp_path, main, token=ALL, named_tokens=NAMED)


@pytest.mark.parametrize(("origin", "secure"), [("http://localhost", False), ("https://localhost", True)])
def test_scripts_and_other_sites_do_not_get_the_cookie(tmp_path: Path, origin: str, secure: bool) -> None:
    async def main(the: Stage) -> None:
        set_cookie = (await log_in(the, DESK, origin=origin)).headers["set-cookie"]
        assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} <= set(set_cookie.split("; "))
        assert ("Secure" in set_cookie) == secure
        assert "Domain" not in set_cookie

    play(tmp_path, main, token=ALL, named_tokens=NAMED)


def test_with_a_cookie_only_our_own_page_changes_something(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        call, path, body = the.live(CALL), f"/api/calls/{CALL}/hangup", b'{"when": "now"}'
        cookie = cookie_of(await log_in(the, DESK))
        tried: list[dict[str, Any]] = [
            {}, {"x_callflow": "yes"}, {"origin": "http://localhost"}, {**PAGE, "origin": "http://evil.example"},
            {**PAGE, "origin": "null"}, {"x_callflow": "console", "sec_fetch_site": "same-site"},
        ]  # fmt: skip
        for refused in tried:
            answer = await the.send("POST", path, body, cookie=cookie, **refused)
            assert answer.status == 403, refused
        assert call.hung_up == []
        answer = await the.send("POST", path, body, cookie=cookie, **PAGE)
        assert (answer.status, call.hung_up) == (200, [("now", "token desk")])
        cookie = cookie_of(await log_in(the, VIEWER))
        assert (await the.send("POST", path, body, cookie=cookie, **PAGE)).status == 403

    play(tmp_path, main, token=ALL, named_tokens=NAMED)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_no_page_of_another_site_reads_anything(tmp_path: Path, site: str) -> None:
    async def main(the: Stage) -> None:
        for path in ("/api/calls", "/metrics", "/api/whoami"):
            for mode in ("no-cors", "cors", "websocket"):
                answer = await the.get(path, sec_fetch_site=site, sec_fetch_mode=mode, accept="text/event-stream")
                assert (answer.status, "another origin" in answer.json()["error"]) == (403, True)
            assert (await the.get(path, sec_fetch_site="same-origin", sec_fetch_mode="cors")).status == 200

    play(tmp_path, main)
    play(tmp_path, main, token=ALL, named_tokens=NAMED)


def test_a_logout_ends_the_login(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        cookie = cookie_of(await log_in(the, DESK))
        left = await the.send("POST", "/logout", b"", cookie=cookie, **PAGE)
        assert (left.status, left.json()) == (200, {"success": True})
        assert "Max-Age=0" in left.headers["set-cookie"]
        assert (await the.get("/api/whoami", cookie=cookie)).status == 401
        by_form = await the.send("POST", "/logout", content_type=FORM, cookie=cookie)
        assert (by_form.status, by_form.headers["location"]) == (303, "/login")

    play(tmp_path, main, token=ALL, named_tokens=NAMED)


def test_wrong_tokens_are_refused_and_after_some_not_even_compared(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        for wrong in ("", "wrong", ALL + "x", "ü" * 20):
            answer = await log_in(the, wrong)
            assert (answer.status, answer.headers.get("set-cookie")) == (401, None)
        for body, status in (
            (b"[]", 400),
            (b'{"token": 5}', 400),
            (b'{"tokn": ""}', 400),
            (b"", 400),
            (b"{", 400),
            (b'{"token": "\\ud800"}', 400),
        ):
            assert (await the.send("POST", "/login", body)).status == status
        for _ in range(TRIES - 4):
            assert (await submit(the, "wrong")).status == 401
        answer = await log_in(the, ALL)
        assert (answer.status, int(answer.headers["retry-after"]) > 0) == (429, True)
        page = await submit(the, ALL)
        assert (page.status, b"Too many wrong tokens" in page.body) == (429, True)
        assert (await the.get("/api/whoami", authorization=f"Bearer {ALL}")).status == 200, "programs go on"

    play(tmp_path, main, token=ALL, named_tokens=NAMED)


def test_without_a_token_there_is_nothing_to_log_in_to(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        assert await who(the) == {"name": "operator", "role": "configure", "business": ""}
        assert (await the.get("/login?next=/x")).headers["location"] == "/x"
        assert (await submit(the, "anything")).headers["location"] == "/"
        assert (await log_in(the, "anything")).json()["role"] == "configure"

    play(tmp_path, main)


# The page


def test_the_page_runs_nothing_and_comes_back(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        the.headers = {}
        page = await the.get("/login?next=/api/calls?sid=x")
        text, policy = page.body.decode(), page.headers["content-security-policy"]
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert not re.search("<script|<link|<img|src=|action=| on[a-z]+=", text)
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
        assert headers.csp_hash(style) in policy
        assert page.headers["referrer-policy"] == "same-origin", "or the form comes with Origin: null"
        wrong = await submit(the, "wrong", "?next=/x")
        assert (wrong.status, 'role="alert"' in wrong.body.decode()) == (401, True)
        right = await submit(the, DESK, "?next=/api/calls%3Fsid%3Dx")
        assert (right.status, right.headers["location"]) == (303, "/api/calls?sid=x")
        assert (await who(the, cookie=cookie_of(right)))["name"] == "desk"
        for origin in ("null", "http://evil.example"):
            assert (await submit(the, DESK, origin=origin)).status == 403

    play(tmp_path, main, token=ALL, named_tokens=NAMED)


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/", "/login"), ("/api/calls", "/login?next=%2Fapi%2Fcalls"),
        ("/api/calls?sid=x%26y&z=é", "/login"), ("/api/calls?sid=a%26b", "/login?next=%2Fapi%2Fcalls%3Fsid%3Da%2526b"),
    ],
)  # fmt: skip
def test_a_browser_without_a_login_is_sent_to_it(tmp_path: Path, path: str, there: str) -> None:
    async def main(the: Stage) -> None:
        the.headers = {}
        html = {"accept": "text/html,application/xhtml+xml;q=0.9"}
        sent = await the.get(path, **html)
        assert (sent.status, sent.headers["location"]) == (303, there)
        for given in ({}, {"accept": "application/json"}, {"accept": "*/*"}):
            assert (await the.get(path, **given)).status == 401
        assert (await the.send("POST", "/api/calls", b"{}", **html)).status == 401

    play(tmp_path, main, token=ALL, named_tokens=NAMED)


def test_who_follows_a_link_of_another_site_is_asked_again_with_the_cookie(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        the.headers = {}
        link = {"accept": "text/html", "sec_fetch_mode": "navigate", "sec_fetch_site": "cross-site"}
        sent = await the.get("/api/calls?sid=x&live=1", **link)
        assert (sent.status, sent.headers["location"][-8:]) == (303, "&again=1")
        page = await the.get(sent.headers["location"], **link)
        assert b'content="0; url=/api/calls?sid=x&amp;live=1"' in page.body
        (script,) = re.findall("<script>(.*?)</script>", page.body.decode())
        policy = page.headers["content-security-policy"]
        assert f"default-src 'none'; script-src {headers.csp_hash(script)};" in policy
        again = await the.get("/api/calls?sid=x", **{**link, "sec_fetch_site": "same-origin"})
        assert (again.status, again.headers["location"]) == (303, "/login?next=%2Fapi%2Fcalls%3Fsid%3Dx")

    play(tmp_path, main, token=ALL, named_tokens=NAMED)


# Sockets and streams


def served(path: str, token: str, inner: Any, *, kind: str = "websocket", **given: str) -> list[Any]:
    """What the middleware sends. `inner`: the app behind it."""
    sent: list[Any] = []

    async def main() -> None:
        async def receive() -> Any:
            return {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            sent.append(message)

        named = [(name.replace("_", "-"), value) for name, value in {"host": "localhost", **given}.items()]
        middleware = AccessMiddleware(
            inner, AccessPolicy("x", token, named_tokens(NAMED), secrets_now=lambda: [bytes(32)])
        )
        async with asyncio.timeout(10):
            await middleware(scope("GET", path, named, kind), receive, send)

    asyncio.run(main())
    return sent


async def talks(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": f"{ASKING.get().shown} +15550100001"})


def login(name: str) -> str:
    sessions = AccessPolicy("x", ALL, named_tokens(NAMED), secrets_now=lambda: [bytes(32)]).sessions
    (holder,) = (holder for _, holder in named_tokens(NAMED) if holder.name == name)
    return f"callflow_console={sessions.begin(holder)}"


def test_a_socket_needs_a_place_in_the_table_a_role_and_our_own_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {("WEBSOCKET", "/api/calls/<call>/listen"): VIEW, ("WEBSOCKET", "/api/calls/<call>/talk"): OPERATE}
    monkeypatch.setattr(roles, "LEAST", {**roles.LEAST, **table})
    roles._forms.cache_clear()
    try:
        own, bearer = {"origin": "http://localhost"}, {"authorization": f"Bearer {DESK}"}
        for path, token, given, told in (
            ("/x", ALL, {**own, **bearer}, 403), ("/api/calls/c/listen", ALL, {}, 401),
            ("/api/calls/c/listen", ALL, {"cookie": login("eye")}, 403),
            ("/api/calls/c/listen", ALL, {"cookie": login("eye"), "origin": "http://evil.example"}, 403),
            ("/api/calls/c/listen", ALL, {"cookie": login("eye"), **own}, "eye +1555•••0001"),
            ("/api/calls/c/talk", ALL, {"cookie": login("eye"), **own}, 403),
            ("/api/calls/c/talk", ALL, {"cookie": login("desk"), **own}, "desk +15550100001"),
            ("/api/calls/c/talk", ALL, bearer, "desk +15550100001"),
            # At whose call it is the app looks: see `business_scope.py`.
            ("/api/calls/c/talk", ALL, {"cookie": login("cab"), **own}, "cab +15550100001"),
            ("/api/calls/c/talk", "", {}, "operator +15550100001"), ("/api/calls/c/talk", "", {"host": "evil"}, 421),
            ("/api/calls/c/talk", "", {"origin": "http://evil.example"}, 403),
        ):  # fmt: skip
            sent = served(path, token, talks, **given)
            assert (sent[-1].get("text") or sent[0]["status"]) == told, (path, given)
    finally:
        roles._forms.cache_clear()


def test_what_goes_on_and_on_ends_with_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    async def streams(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    cookie, later = login("desk"), SimpleNamespace(time=lambda: 4e9)
    monkeypatch.setattr(auth, "time", later)
    sent = served("/api/live", ALL, streams, kind="http", cookie=cookie)
    assert [each["type"] for each in sent] == ["http.response.start"]
