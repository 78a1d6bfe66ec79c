"""What is asked about a call while it rings, both at once: the caller lookup and the control endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple, Protocol

from callflow.call.call_config import CallConfig
from callflow.call.caller_lookup import Asking, lookup_note, question
from callflow.call.requests import Requests
from callflow.call.services import CallServices
from callflow.contracts.caller_lookup import LookedUp
from callflow.contracts.control import AT_START, Controlled, ControlQuestion
from callflow.contracts.events import CallInitiated
from callflow.journal.notes import Note, UnknownNote


class Asked(Protocol):
    """The call, as far as it takes the answers."""

    config: CallConfig
    requests: Requests

    @property
    def note(self) -> Callable[[Note | UnknownNote], None]: ...


class Answers(NamedTuple):
    """What came of them. None: it was not asked, or has nothing to say."""

    looked_up: LookedUp | None = None
    controlled: Controlled | None = None


def are_asked(services: CallServices) -> bool:
    """Return whether there is anything to ask."""
    return services.caller_lookup is not None or (services.control is not None and services.control.at_start)


def longest_seconds(services: CallServices) -> float:
    """Return how long the answers may take."""
    looking = services.caller_lookup.seconds if services.caller_lookup is not None else 0.0
    asked = services.control is not None and services.control.at_start
    return max(looking, services.control.seconds if asked and services.control is not None else 0.0)


async def answers(
    call: Asking, services: CallServices, event: CallInitiated, over: Coroutine[Any, Any, None]
) -> Answers:
    """Ask about a call that rings. What has not come when the call is `over` is dropped."""
    asks = question(call, event)
    lookup, control = services.caller_lookup, services.control
    looking = asyncio.ensure_future(lookup.look_up(asks)) if lookup is not None else None
    controlling = None
    if control is not None and control.at_start:
        controlling = asyncio.ensure_future(
            control.ask(
                ControlQuestion(
                    event=AT_START, call=asks.call, carrier=asks.carrier, from_number=asks.from_number,
                    to_number=asks.to_number, direction="inbound",
                )
            )
        )  # fmt: skip
    ending = asyncio.ensure_future(over)
    tasks: list[asyncio.Future[Any]] = [task for task in (looking, controlling) if task is not None]
    try:
        while not ending.done() and (left := [task for task in tasks if not task.done()]):
            await asyncio.wait([*left, ending], return_when=asyncio.FIRST_COMPLETED)
        return Answers(_of_lookup(looking), _of_control(controlling))
    finally:
        for task in (*tasks, ending):
            task.cancel()


def write_down(told: Answers, call: Asked) -> None:
    """Note what came of it, and take the changes of the session before there is one."""
    if told.looked_up is not None:
        call.note(lookup_note(call.config, told.looked_up))
    if told.controlled is not None:
        call.requests.step_in.controlled(AT_START, told.controlled)


_OVER: Final = "the call was over before"


def _of_lookup(task: asyncio.Future[LookedUp] | None) -> LookedUp | None:
    if task is None:
        return None
    return task.result() if task.done() else LookedUp(outcome="late", why=_OVER)


def _of_control(task: asyncio.Future[Controlled | None] | None) -> Controlled | None:
    if task is None:
        return None
    return task.result() if task.done() else Controlled(outcome="late", why=_OVER)
