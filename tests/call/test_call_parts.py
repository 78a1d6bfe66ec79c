"""The parts of a call: made as its carrier and its config say, and none of them keeps the call alive."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from callflow.agent.prompts import typed, typing_lost
from callflow.call import call_parts
from callflow.call.call import Call
from callflow.call.dtmf import MASK
from callflow.call.services import CallServices
from callflow.contracts.events import LegIds
from callflow.journal.redaction import Redactor
from callflow.media.relay import Relay
from callflow.media.remote_line import RemoteLine
from tests.call.offline import FakeCarrier, as_carrier, events_of, services
from tests.in_loop import in_loop


NAME = "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc"


class Agent:
    """What the agent is told of keys."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def respond_to(self, text: str, *, shown: str, by: str = "") -> None:
        self.told.append((text, shown))


@asynccontextmanager
async def call(*can: str, **config: Any) -> AsyncIterator[tuple[Call, CallServices]]:
    shared = services(**config)
    made = Call(NAME, as_carrier(FakeCarrier(*can)), LegIds("control"), shared)
    try:
        yield made, shared
    finally:
        await made.relay.close()


@pytest.mark.parametrize(("can", "kind"), [((), Relay), (("media_is_remote",), RemoteLine)])
@in_loop
async def test_a_call_whose_audio_goes_elsewhere_has_another_line(can: tuple[str, ...], kind: type[Relay]) -> None:
    async with call(*can) as (made, _):
        assert type(made.relay) is kind


@in_loop
async def test_no_part_keeps_its_call_alive() -> None:
    gc.collect()
    gc.disable()
    try:
        made = Call(NAME, as_carrier(FakeCarrier()), LegIds("control"), services())
        await made.relay.close()
        made._carrier_commands = None  # type: ignore[assignment] # it is none of these, and let go of at the end
        seen = weakref.ref(made)
        del made
        assert seen() is None, "it is freed only by the garbage collector, while no caller hears anything"
    finally:
        gc.enable()


CARD = "4111111111111111"
ENTRIES: list[tuple[str, bool, tuple[str, str] | None, str]] = [
    ("4711", False, (typed("4 7 1 1"), typed("4711")), "4711"),
    ("4711", True, (typed("4 7 1 1"), typed(MASK * 4)), MASK * 4),
    (f"47{MASK}1", False, (typing_lost(), typing_lost()), MASK * 4),
    (CARD, False, (typed(" ".join(CARD)), typed(Redactor().text(CARD))), Redactor().text(CARD)),
]


@pytest.mark.parametrize(("digits", "sensitive", "told", "noted"), ENTRIES)
@in_loop
async def test_an_entry_is_told_to_the_agent_and_written_down_as_it_may_be(
    digits: str, sensitive: bool, told: tuple[str, str], noted: str
) -> None:
    async with call(dtmf_sensitive=sensitive) as (made, shared):
        agent = Agent()
        made.agent = agent  # type: ignore[assignment]
        call_parts._entered(made, shared, digits)
        assert agent.told == [told]
        (entry,) = [one for one in shared.journal.read(NAME) if one.name == "digits"]
        assert entry.event["digits"] == noted
        assert CARD not in str(entry.event)


@in_loop
async def test_an_entry_that_is_over_after_the_call_is_nobodys() -> None:
    async with call() as (made, shared):
        agent = Agent()
        made.agent = agent  # type: ignore[assignment]
        made.model.state = "hangup"
        call_parts._entered(made, shared, "4711")
        assert agent.told == []
        assert "digits" not in events_of(made, shared)
