"""A stop of the server waits for what operators change, also where whoever asked for it has gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from callflow.app import Application
from callflow.config.settings import Settings
from tests.call.offline import until
from tests.history.new_database import put_into
from tests.web.asgi import ask


ADMIN, TOKEN = "an-admin-secret-of-32-characters!", "a-token-of-the-tests-1234"
CHANGES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("PATCH", "/api/session", {"voice": "cedar"}),
    ("PUT", "/api/profiles/taxis", {"voice": "cedar", "numbers": ["+15550100002"]}),
    ("PUT", "/api/tools/own/ask_them", {"name": "ask_them", "description": "Ask.", "parameters": {"type": "object"}}),
    ("POST", "/api/realtime/control/settings", {"settings": {}}),
)
STORES = {"StoredOverrides", "ProfileStore", "OwnToolStore", "StoredControl"}
SLOW_SECONDS = 0.05


def begun() -> int:
    return sum(task.get_name() == "a change that was asked for" for task in asyncio.all_tasks())


async def test_all_that_operators_were_changing_is_written_before_the_history_is_closed(tmp_path: Path) -> None:
    """Only campaigns and numbers were waited for."""
    await put_into(tmp_path)
    given: dict[str, Any] = {"openai_api_key": "sk-of-this-test", "data_dir": str(tmp_path), "console_token": TOKEN}
    given["realtime_control_admin_secret"] = ADMIN
    the = Application(Settings(**given))
    the.open()
    await the.recovery.is_open(5)
    console, database = the.console(), the.history.database
    order, goes_on = list[str](), asyncio.Event()
    write, close, close_sockets = database.write, database.close, the._listeners.close

    async def held(work: Callable[[Any], Any]) -> Any:
        if work.__qualname__.partition(".")[0] not in STORES:
            return await write(work)
        await goes_on.wait()
        found = await write(work)
        order.append("written")
        return found

    async def closed() -> None:
        order.append("closed")
        await close()

    async def sockets_closed() -> None:
        await close_sockets()
        asyncio.get_running_loop().call_later(SLOW_SECONDS, goes_on.set)

    database.write, database.close, the._listeners.close = held, closed, sockets_closed  # type: ignore[method-assign]
    headers = {"content_type": "application/json", "x_admin_secret": ADMIN, "authorization": f"Bearer {TOKEN}"}
    asking = [
        asyncio.create_task(ask(console, method, path, body=json.dumps(body).encode(), **headers))
        for method, path, body in CHANGES
    ]
    await until(lambda: begun() == len(CHANGES) or any(each.done() for each in asking))
    for each in asking:
        assert each.cancel(), each.result().json()
    await asyncio.wait(asking)
    await the.close()
    assert order == [*["written"] * len(CHANGES), "closed"]
