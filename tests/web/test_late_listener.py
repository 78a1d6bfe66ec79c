"""The app for operators, which a thread makes when somebody first connects."""

from __future__ import annotations

import asyncio
import logging
import threading

import httpx
import pytest
from quart import Quart

from callflow import runtime
from callflow.web.listeners import Inherited, Listeners
from tests.loop import other_tasks


def bound() -> tuple[Listeners, str]:
    """Listeners, and where the operators' one is reached."""
    inherited = Inherited(runtime.bind("127.0.0.1", 0), runtime.bind("127.0.0.1", 0))
    made = Listeners(inherited, node="", ping_seconds=0.0, media_server="hypercorn")
    made.public, made.console = inherited.public, inherited.console
    assert made.console is not None
    host, port = runtime.name_of(made.console)
    return made, f"http://{host}:{port}/"


async def closed(listeners: Listeners) -> None:
    await listeners.close()
    listeners.public.close()
    assert listeners.console is not None
    assert listeners.console.fileno() == -1, "the port is free again"
    assert not other_tasks()


async def test_it_is_made_by_a_thread_once_somebody_connects_and_all_who_connect_meanwhile_wait() -> None:
    listeners, address = bound()
    makers: list[threading.Thread] = []
    may_go_on = threading.Event()

    def make() -> Quart:
        makers.append(threading.current_thread())
        assert may_go_on.wait(5)
        app = Quart("late")

        @app.get("/")
        async def hello() -> str:
            return "hello"

        return app

    assert await listeners.open_console(make, late=True) is None
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        asked = [asyncio.create_task(client.get(address)) for _ in range(5)]
        async with asyncio.timeout(5):
            while not makers:  # noqa: ASYNC110 - a thread has no event for us
                await asyncio.sleep(0.005)
        may_go_on.set()
        assert [each.text for each in await asyncio.gather(*asked)] == ["hello"] * 5
    assert len(makers) == 1
    assert makers[0] is not threading.main_thread()
    await closed(listeners)


async def test_who_never_asks_leaves_nothing_open() -> None:
    listeners, _ = bound()
    assert await listeners.open_console(lambda: pytest.fail("nobody has asked"), late=True) is None
    await asyncio.sleep(0)
    await closed(listeners)


async def test_an_app_that_cannot_be_made_is_told_and_refuses(caplog: pytest.LogCaptureFixture) -> None:
    listeners, address = bound()

    def fail() -> Quart:
        raise ValueError("no page")

    await listeners.open_console(fail, late=True)
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        for _ in range(2):
            with pytest.raises(httpx.TransportError):
                await client.get(address)
    assert "no page" in caplog.text
    assert caplog.records[0].levelno == logging.ERROR
    await closed(listeners)


async def test_in_a_cluster_it_is_made_at_once() -> None:
    listeners, address = bound()
    app = Quart("now")
    assert await listeners.open_console(lambda: app, late=False) is app
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        assert (await client.get(address)).status_code == 404
    await closed(listeners)
