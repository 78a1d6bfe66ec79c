"""An emulated carrier's outside: its port, its life, and what a test asks of any of them."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from callflow.sandbox.common.control_api import ControlRoutes
from callflow.sandbox.common.http_server import HttpServer, Request, Response, Tasks, in_url
from callflow.sandbox.common.pacer import Pacer, Signal


class Api(Protocol):
    """The carrier's own HTTP interface."""

    commands: list[Any]

    async def handle(self, request: Request) -> Response: ...


class Exchange(Protocol):
    """What all calls of a carrier share."""

    tasks: Tasks
    changed: Signal
    pacer: Pacer
    faults: Any

    @property
    def calls(self) -> dict[str, Any]: ...

    @property
    def webhooks(self) -> Any: ...

    def story(self) -> str: ...


class Emulator:
    def __init__(self, exchange: Exchange, api: Api, control: ControlRoutes, host: str, port: int) -> None:
        self.host = host
        self._exchange = exchange
        self._api, self._control = api, control
        self._server = HttpServer(self._handle, host, port, exchange.tasks)

    async def _handle(self, request: Request) -> Response:
        if request.path.startswith("/sandbox/"):
            return await self._control.handle(request)
        return await self._api.handle(request)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        await self._server.start()

    async def close(self) -> None:
        """Ends everything within a second: sockets are cut, tasks are cancelled, nobody is told."""
        self._exchange.pacer.close()
        for call in self._exchange.calls.values():
            for stream in call.streams:
                stream.drop()
        await self._server.close()
        await self._exchange.tasks.close()
        await self._exchange.webhooks.close()

    @property
    def root(self) -> str:
        """Where its API is, without a path."""
        return f"http://{in_url(self.host)}:{self._server.port}"

    def log(self) -> dict[str, Any]:
        """Commands and deliveries, as JSON can hold them."""
        return {
            "commands": [msgspec.to_builtins(command) for command in self._api.commands],
            "deliveries": [msgspec.to_builtins(delivery) for delivery in self._exchange.webhooks.deliveries],
        }

    @property
    def failures(self) -> list[BaseException]:
        """Errors of the emulator itself; a test may want this to be empty."""
        return self._exchange.tasks.failures

    async def until(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        """Waits for anything about calls, commands, deliveries or streams. Raises TimeoutError with the story."""
        await self._exchange.changed.until(condition, timeout, self._exchange.story)
