"""A listener's life without a connection: it is open when the app has started, and closes in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from quart import Quart

from callflow import runtime
from callflow.web import listener as module
from callflow.web.listener import Listener
from tests.loop import other_tasks


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CLOSE_SECONDS", 0.02)


def made(app: Quart, **settings: Any) -> Listener:
    return Listener(runtime.bind("127.0.0.1", 0), app, **{"media_ping_seconds": 0.0, **settings})


def server(*, hangs: bool = False) -> Callable[..., Any]:
    """In place of Hypercorn's `worker_serve`."""

    async def serve(app: Any, config: Any, *, sockets: Any, shutdown_trigger: Callable[[], Any]) -> None:
        await app.app.startup()
        await shutdown_trigger()
        if hangs:
            await asyncio.Event().wait()

    return serve


async def test_it_is_open_when_the_app_has_started_and_closes_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "worker_serve", server())
    app, started = Quart("test"), list[str]()

    @app.before_serving
    async def begin() -> None:
        started.append("app")

    listener = made(app)
    await listener.open()
    assert started == ["app"]
    await listener.close()
    assert not other_tasks()


async def test_what_the_app_raises_when_it_starts_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "worker_serve", server())
    app = Quart("test")

    @app.before_serving
    async def begin() -> None:
        raise OSError("no data folder")

    listener = made(app)
    with pytest.raises(OSError, match="no data folder"):
        await listener.open()
    await listener.close()


async def test_a_server_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "worker_serve", server(hangs=True))
    real_wait = asyncio.wait

    async def wait(tasks: Any, **how: Any) -> Any:
        return await real_wait(tasks, **{**how, **({"timeout": 0.05} if how.get("timeout") else {})})

    monkeypatch.setattr(asyncio, "wait", wait)
    listener = made(Quart("test"))
    await listener.open()
    began = monotonic()
    await listener.close()
    assert monotonic() - began < 1
    assert not other_tasks()


def test_closing_before_opening_is_nothing() -> None:
    asyncio.run(made(Quart("test")).close())


def test_what_the_server_is_told_to_bound() -> None:
    listener = made(Quart("test"), media_ping_seconds=20.0)
    config = listener._config
    asyncio.run(listener.close())
    assert config.media_ping_seconds == 20.0
    assert config.websocket_max_message_size == 512 << 10
    assert config.websocket_ping_interval is None, "Hypercorn's own pings never stop"
    assert not config.include_server_header
