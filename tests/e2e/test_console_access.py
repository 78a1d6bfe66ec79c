"""Who may do what on the operators' port, over real sockets: logins that last over a restart, roles, and masks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from callflow.cli.operators_port import OperatorsPort
from callflow.config.settings import Settings
from callflow.web.console.roles import LEAST
from tests.e2e.outbound import THEIRS, dialling
from tests.e2e.product import Product, product, until
from tests.e2e.scenes import conversing


ALL, VIEWER, DESK = (f"the-token-number-{each}-of-all" for each in range(3))
SETTINGS: dict[str, Any] = {"console_token": ALL, "console_tokens": f"eye:view:{VIEWER},desk:operate:{DESK}"}
PAGE = {"X-Callflow": "console"}


def browser(the: Product) -> httpx.AsyncClient:
    """As a browser does: it keeps cookies, and its page says where it is from."""
    url = f"http://127.0.0.1:{the.app.console_at[1]}"
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=20, headers={"Origin": url})


@contextlib.asynccontextmanager
async def logged_in(the: Product, token: str) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(the) as client:
        answer = await client.post("/login?next=/api/calls", data={"token": token})
        assert (answer.status_code, answer.headers["location"]) == (303, "/api/calls"), answer.text
        yield client


async def test_a_viewer_sees_a_live_call_without_its_numbers_and_leaves_it_alone() -> None:
    async with product(**SETTINGS) as the:
        call = await the.telnyx.ring()
        await conversing(the, call)
        (live,) = the.app.switchboard.calls
        numbers = (live.describe()["from"], live.describe()["to"])
        assert all(number.startswith("+1555") for number in numbers)
        async with logged_in(the, VIEWER) as eye, logged_in(the, DESK) as desk:
            assert (await eye.get("/api/whoami")).json() == {"name": "eye", "role": "view", "business": ""}
            for path in ("/api/calls", "/api/calls/live", f"/api/calls/{live.id}", "/metrics", "/api/numbers"):
                seen, whole = await eye.get(path), await desk.get(path)
                assert seen.status_code == whole.status_code == 200, path
                assert not any(number in seen.text for number in numbers), path
            seen, whole = await eye.get("/api/calls/live"), await desk.get("/api/calls/live")
            assert all(f"+1555•••{number[-4:]}" in seen.text and number in whole.text for number in numbers)
            for path, body in (("say", {"text": "Hello."}), ("hangup", {"when": "now"}), ("hold", {})):
                assert (await eye.post(f"/api/calls/{live.id}/{path}", json=body, headers=PAGE)).status_code == 403
            assert (await desk.patch("/api/session", json={"voice": "cedar"}, headers=PAGE)).status_code == 403
            assert (await desk.post(f"/api/calls/{live.id}/hangup", json={"when": "now"})).status_code == 403
            assert the.app.switchboard.is_live(live.id)
            ended = await desk.post(f"/api/calls/{live.id}/hangup", json={"when": "now"}, headers=PAGE)
            assert ended.json()["by"] == "token desk"
        await call.wait_ended()
        await the.quiet()


async def test_who_operates_dials_and_who_views_does_not() -> None:
    async with dialling(**SETTINGS) as the:
        rules = {rule.rule for rule in the.app.console().url_map.iter_rules()}
        assert {rule for _, rule in LEAST} - rules == {"/mcp"}, "a name in there is misspelt"
        body = {"toNumber": THEIRS}
        async with logged_in(the, VIEWER) as eye, logged_in(the, DESK) as desk:
            assert (await eye.post("/api/calls", json=body, headers=PAGE)).status_code == 403
            port = the.app.console_at[1]
            for token, status in ((VIEWER, 403), (DESK, 404)):  # as the commands ask
                command = OperatorsPort(Settings(console_port=port, console_token=SecretStr(token)))
                answer = await asyncio.to_thread(command.ask, "POST", "/api/calls/nobody/hangup")
                assert answer[0] == status, answer
            assert not the.app.switchboard.calls
            made = await desk.post("/api/calls", json=body, headers=PAGE)
            assert made.status_code == 201, made.text
            await until(lambda: the.app.switchboard.calls[0].model.state == "streaming", "the conversation")
            await desk.post(f"/api/calls/{made.json()['id']}/hangup", json={"when": "now"}, headers=PAGE)
            await the.quiet()


async def test_a_login_lasts_over_a_restart_and_not_over_a_change_of_its_token(tmp_path: Path) -> None:
    folder: dict[str, Any] = {"data_dir": str(tmp_path)}
    async with product(**SETTINGS, **folder) as the, logged_in(the, DESK) as client:
        cookies = dict(client.cookies)
    changed = f"desk:operate:{DESK}-another"
    for tokens, status in ((SETTINGS["console_tokens"], 200), (changed, 401)):
        settings = {**SETTINGS, "console_tokens": tokens, **folder}
        async with product(**settings) as the, browser(the) as client:
            client.cookies.update(cookies)
            assert (await client.get("/api/whoami")).status_code == status
    assert not any(token in str(cookies) for token in (ALL, VIEWER, DESK))


async def test_an_answer_with_masks_is_whole_over_a_socket() -> None:
    async with product(**SETTINGS) as the, logged_in(the, VIEWER) as eye:
        seen = await asyncio.gather(*(eye.get(path) for path in ("/health", "/tools", "/metrics", "/api/session") * 5))
        assert {answer.status_code for answer in seen} == {200}
        assert (await eye.head("/api/calls")).status_code == 200
        assert (await eye.get("/api/calls?sid=nobody")).status_code == 404
        assert (await eye.post("/logout")).json() == {"success": True}
        assert (await eye.get("/api/whoami")).status_code == 401
        page = await eye.get("/", headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["location"]) == (303, "/login")
