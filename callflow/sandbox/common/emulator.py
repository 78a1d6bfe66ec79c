"""The base of every emulated carrier: its port, its start and end, and what a test asks of any of them."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import msgspec

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.control_api import ControlRoutes
from callflow.sandbox.common.exchange import CallT, Exchange, FaultsT
from callflow.sandbox.common.http_server import HttpServer, Request, Response, in_url


class Api(Protocol):
    """The carrier's own HTTP interface."""

    commands: list[Any]

    async def handle(self, request: Request) -> Response: ...


CommandT = TypeVar("CommandT")
DeliveryT = TypeVar("DeliveryT")


class Emulator(Generic[CallT, FaultsT, CommandT, DeliveryT]):
    """Serves a carrier's API and the routes under /sandbox/ on one port. Use it as an async context manager.

    Args:
        port: 0 takes any free one.
    """

    def __init__(
        self, exchange: Exchange[CallT, FaultsT], api: Api, control: ControlRoutes, host: str, port: int
    ) -> None:
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
        """Listen. Raises OSError when the port is taken."""
        await self._server.start()
        self._exchange.root = self.root

    async def close(self) -> None:
        """End everything within a second: sockets are cut, tasks are cancelled, no webhook is sent about it."""
        self._exchange.pacer.close()
        for call in self._exchange.calls.values():
            for stream in call.streams:
                stream.drop()
        await self._server.close()
        await self._exchange.tasks.close()
        await self._exchange.webhooks.close()

    @property
    def root(self) -> str:
        """The URL of the emulator without a path."""
        return f"http://{in_url(self.host)}:{self._server.port}"

    @property
    def calls(self) -> dict[str, CallT]:
        """All calls by the id that the carrier's API uses, in the order in which they began."""
        return self._exchange.calls

    @property
    def commands(self) -> list[CommandT]:
        """Every request to the API."""
        return self._api.commands

    @property
    def deliveries(self) -> list[DeliveryT]:
        """Every attempt at a webhook."""
        return self._exchange.webhooks.deliveries

    @property
    def faults(self) -> FaultsT:
        """The faults of all calls that have none of their own."""
        return self._exchange.faults

    @faults.setter
    def faults(self, faults: FaultsT) -> None:
        self._exchange.faults = faults

    @property
    def callee(self) -> Callee:
        """What a dialled phone does that is not in `callees`. May be set to a word of `Callee.does`, too."""
        return self._exchange.callee

    @callee.setter
    def callee(self, what: Callee | str) -> None:
        self._exchange.callee = what

    @property
    def callees(self) -> dict[str, Callee]:
        """What the phone of a number does when it is dialled."""
        return self._exchange.callees

    @property
    def faults_of(self) -> dict[str, FaultsT]:
        """The faults of the legs that are dialled to a number; any other number has `faults`."""
        return self._exchange.faults_of

    def log(self) -> dict[str, Any]:
        """Return {"commands": [...], "deliveries": [...]}: all API requests and webhook attempts, as JSON types."""
        return {
            "commands": [msgspec.to_builtins(command) for command in self.commands],
            "deliveries": [msgspec.to_builtins(delivery) for delivery in self.deliveries],
        }

    @property
    def failures(self) -> list[BaseException]:
        """Errors of the emulator itself; a test may want this to be empty."""
        return self._exchange.tasks.failures

    def forget_ended(self) -> None:
        """Forget the calls that are over; and, while there is no other, all requests and recordings: for an emulator
        that serves for days, and that nobody asks what happened."""
        calls, exchange = self._exchange.calls, self._exchange
        for name in [name for name, call in calls.items() if call.ended_at is not None]:
            del calls[name]
        if not calls:
            for kept in (self.commands, self.deliveries, exchange.recordings):
                kept.clear()

    async def until(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until `condition` holds; it is tried after every change of a call, command, delivery or stream.

        Raises TimeoutError after `timeout` seconds, with a description of what happened.
        """
        await self._exchange.changed.until(condition, timeout, self._exchange.story)
