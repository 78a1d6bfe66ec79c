"""Calls without a socket: a carrier and an engine that only note what they are asked for."""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from callflow.call.call import Call
from callflow.call.call_config import CallConfig
from callflow.call.services import CallServices
from callflow.call.stream_tokens import StreamTokens
from callflow.config.settings import Settings
from callflow.contracts.carrier import ActiveCall, Carrier, CarrierRequest, Request, WebhookReply
from callflow.contracts.events import Event, LegIds
from callflow.engines.common.account import Account
from callflow.journal.journal import MemoryJournal
from callflow.journal.live_feed import LiveFeed
from callflow.journal.redaction import Redactor
from callflow.switchboard.call_configs import call_config


class FakeCarrier:
    """Answers every webhook with its event's name, and obeys every command."""

    name = "fake"
    preamble_seconds = 0.0
    routes = ()

    def __init__(self, *can: str) -> None:
        self.can = frozenset(can)
        self.executed: list[CarrierRequest] = []
        self.error: Exception | None = None
        self.statuses: dict[str, str | Exception] = {}
        self.active: list[LegIds] | Exception = []
        self.problem = ""

    def reply(self, event: Event | None, orders: Sequence[CarrierRequest], *, over: bool = False) -> WebhookReply:
        text = f"{'over ' if over else ''}{event.name if event else ''}"
        carried = "answers_in_reply" in self.can
        return WebhookReply(text.encode(), rest=() if carried else tuple(orders))

    async def execute(self, order: CarrierRequest) -> None:
        self.executed.append(order)
        if self.error is not None:
            raise self.error

    async def dial(self, order: CarrierRequest) -> LegIds:
        self.executed.append(order)
        return LegIds("dialled", "dialled leg")

    async def call_status(self, ids: LegIds) -> str:
        status = self.statuses.get(ids.control, "answered")
        if isinstance(status, Exception):
            raise status
        return status

    async def active_calls(self) -> list[ActiveCall]:
        if isinstance(self.active, Exception):
            raise self.active
        return [ActiveCall(ids) for ids in self.active]

    async def number_id(self, number: str) -> str:
        return ""

    def verify_stream(self, request: Request, secrets: Sequence[str] = ()) -> str:
        return self.problem

    def names(self) -> list[str]:
        """The commands that it was sent, in order."""
        return [order.command.name for order in self.executed]


class FakeEngine:
    """A session that connects to nobody."""

    can: frozenset[Any] = frozenset()

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass

    def withdraw(self) -> Mapping[str, bool]:
        return {}

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class FakeToolbox:
    """An agent that can do nothing."""

    definitions: Sequence[Any] = ()
    shown: Sequence[Any] = ()

    async def run(self, name: str, arguments: str) -> Any:
        raise KeyError(name)


def config(**changes: Any) -> CallConfig:
    """How calls are conducted by default, with an engine that connects to nobody."""
    made = call_config(Settings(), Account())
    agent = dataclasses.replace(made.agent, make_engine=cast(Any, lambda context, hear: FakeEngine()))
    return dataclasses.replace(made, agent=agent, **changes)


def services(
    *, run_after_call: Callable[[Coroutine[Any, Any, None]], object] = asyncio.ensure_future, **changes: Any
) -> CallServices:
    """What calls share, in memory."""
    made = config(**changes)
    return CallServices(
        journal=MemoryJournal(),
        live=LiveFeed(),
        config=lambda *_: made,
        make_toolbox=cast(Any, lambda caller, acts: FakeToolbox()),
        stream_tokens=StreamTokens(bytes(32)),
        journal_seconds=1.0,
        address=lambda: "https://phone.example",
        now=time.time,
        leg_known=lambda call, ids, leg: None,
        run_after_call=run_after_call,
        number=lambda told: told,
        redact=Redactor(),
        recordings=Path(tempfile.gettempdir()) / "no recordings are made",
    )


def as_carrier(fake: FakeCarrier) -> Carrier:
    return cast(Carrier, fake)


def events_of(call: Call, shared: CallServices) -> list[str]:
    """The events and notes of a call, in order."""
    return [entry.event["event"] for entry in shared.journal.read(call.id)]


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until that holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - conditions of fakes have no event
            await asyncio.sleep(0.001)
