"""The two halves of an outbound call that is conducted at the engine's SIP address, without a socket."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

from callflow.call.call import Call
from callflow.call.machine import BRIDGED
from callflow.call.outbound_order import OutboundOrder
from callflow.call.restore import restore_call
from callflow.contracts import events
from callflow.contracts.events import LegIds
from callflow.switchboard.call_ids import call_id
from tests.call.offline import as_carrier, config, until
from tests.switchboard.test_switchboard import Stage, stage


DIALLED = "11111111-1111-4111-8111-111111111111"
OTHER = LegIds("rtc_1", "")


def ordered(**changes: Any) -> OutboundOrder:
    return OutboundOrder(
        to_number="+15550100001", from_number="+15550100002", carrier="fake", session={"voice": "ash"},
        variables={"name": "Ada"}, config=config(route="sip", sip_address="sip:p@example.org", **changes),
    )  # fmt: skip


@contextlib.asynccontextmanager
async def led(order: OutboundOrder) -> AsyncIterator[tuple[Stage, Call]]:
    """A call whose other end has answered, and was led to the engine's SIP address."""
    async with stage("dials", "leads_to_sip") as the:
        dialled = the.board.dial(DIALLED, as_carrier(the.carrier), order)
        await until(the.carrier.names)
        dialled.post(events.CallAnswered())
        await until(lambda: dialled.model.state == BRIDGED)
        yield the, dialled


async def other_side(the: Stage, call: str = DIALLED) -> Call:
    """The call that arrives there, with headers that whoever calls has written."""
    await the.tell(events.CallInitiated(from_number="+1", to_number="+2", linked=f"call:{call}"), OTHER)
    found = the.board.live(call_id("fake", OTHER))
    assert found is not None
    return found


async def test_the_other_side_has_in_its_own_journal_how_it_was_ordered() -> None:
    """Another node may take it over than the one that takes over the call that was dialled."""
    order = ordered()
    async with led(order) as (the, _):
        other = await other_side(the)
        assert other.given_config is order.config
        assert (other.is_outbound, other.from_number, other.to_number) == (False, order.from_number, order.to_number)
        await until(lambda: the.written(other.id))
        restored = restore_call(the.services.journal.read(other.id))
        assert restored is not None
        assert restored.part_of is not None
        assert restored.part_of.fingerprint() == order.fingerprint()
        again = dataclasses.replace(restored.part_of, config=order.config)
    async with stage() as elsewhere:
        restored.part_of = again
        taken = elsewhere.board.restore(as_carrier(elsewhere.carrier), restored)
        assert taken is not None
        assert (taken.given_config, taken.is_outbound) == (order.config, False)


async def test_what_anybody_says_of_a_call_that_is_not_there_orders_nothing() -> None:
    async with led(ordered()) as (the, _):
        other = await other_side(the, DIALLED[:-1] + "2")
        assert (other.given_config, other.ids.session, other.to_number) == (None, "", "+2")
