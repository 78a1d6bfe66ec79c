"""The two halves of an outbound call that is conducted at the engine's SIP address, without a socket."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from callflow.agent.conversation import Turn
from callflow.call.call import Call
from callflow.call.machine import BRIDGED
from callflow.call.outbound_order import OutboundOrder
from callflow.call.restore import restore_call
from callflow.config.settings import Settings
from callflow.contracts import events
from callflow.contracts.commands import Dial
from callflow.contracts.errors import DialRefused
from callflow.contracts.events import LegIds
from callflow.contracts.tools import Caller
from callflow.engines.common.account import Account
from callflow.switchboard.call_configs import CallConfigs
from callflow.switchboard.call_ids import call_id
from callflow.switchboard.dialer import Dialer, DialRequest
from tests.call.offline import FakeCarrier, FakeToolbox, as_carrier, config, until
from tests.switchboard.test_switchboard import Stage, stage


DIALLED = "11111111-1111-4111-8111-111111111111"
OTHER = LegIds("rtc_1", "")


SIP_CONFIG = config(route="sip", sip_address="sip:p@example.org")


def ordered(**changes: Any) -> OutboundOrder:
    return OutboundOrder(
        to_number="+15550100001", from_number="+15550100002", carrier="fake", session={"voice": "ash"},
        variables={"name": "Ada"}, config=dataclasses.replace(SIP_CONFIG, **changes),
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


@pytest.mark.e2e
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


async def test_whoever_was_called_and_led_away_can_ask_there_not_to_be_called_again() -> None:
    """That call had arrived here, so its agent had no `opt_out`."""
    async with led(ordered()) as (the, _):
        asked: list[Caller] = []

        def make_toolbox(caller: Caller, acts: Any) -> Any:
            asked.append(caller)
            return FakeToolbox()

        the.board._services = dataclasses.replace(the.services, make_toolbox=make_toolbox)
        await other_side(the)
        await until(lambda: asked)
        assert (asked[0].was_called, asked[0].to_number) == (True, "+15550100001")


@pytest.mark.parametrize("message", ["", "Call us back."])
async def test_the_carrier_listens_for_machines_also_where_whoever_answers_is_led_away(message: str) -> None:
    async with led(ordered(machine_detection=True, voicemail_message=message)) as (the, dialled):
        (dial,) = [one.command for one in the.carrier.executed if isinstance(one.command, Dial)]
        assert dial.machines == "hang_up", "nobody here could leave a message"
        dialled.post(events.AnsweredBy(who="machine"))
        await until(lambda: not the.board.is_live(DIALLED))
        assert (dialled.model.cause, "hangup" in the.carrier.names()) == ("machine", True)


async def test_a_machine_that_has_talked_with_the_agent_over_there_is_a_person() -> None:
    """The conversation is another call's, so that of the call that was dialled has no exchange."""
    async with led(ordered(machine_detection=True)) as (the, dialled):
        other = await other_side(the)
        said = [Turn(who, f"{who}{each}", "yes", is_heard=True) for each in range(3) for who in ("agent", "caller")]
        other.agent.conversation.restore(said, 0)
        assert other.agent.conversation.exchanges == 3
        await until(lambda: dialled.ids.control)
        the.board.leg_known(DIALLED, dialled.ids, events.CALLER)
        await the.tell(events.AnsweredBy(who="machine"), dialled.ids)
        assert "answered_by" in [one["event"] for one in the.written(DIALLED)]
        assert (the.board.is_live(DIALLED), dialled.model.state) == (True, BRIDGED)


SIP: dict[str, Any] = {
    "route": "sip", "openai_project_id": "proj_a", "openai_api_key": "sk-a",
    "openai_webhook_secret": "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4", "record_announcement": "Recorded.",
}  # fmt: skip
ASKED = DialRequest(to_number="+15550100001", from_number="+15550100002")
MESSAGE = DialRequest(to_number="", from_number="+15550100002", session={"voicemail_message": "Call us back."})
RECORD = DialRequest(to_number="", from_number="+15550100002", record=True)


@pytest.mark.parametrize(
    ("request_", "settings", "why"),
    [
        (MESSAGE, SIP, "no message can be left"), (RECORD, SIP, "would never begin"),
        (ASKED, SIP, ""), (MESSAGE, {}, ""), (RECORD, {"record_announcement": "Recorded."}, ""),
        (RECORD, SIP | {"record_announcement": ""}, ""),
    ],
)  # fmt: skip
async def test_what_a_call_that_is_led_away_cannot_have_is_refused_where_it_is_asked_for(
    request_: DialRequest, settings: dict[str, Any], why: str
) -> None:
    """It was taken with 201 and left out: a machine had the talking agent, and nothing was recorded."""
    configs = CallConfigs(Settings(**settings), Account())
    carriers = {"fake": as_carrier(FakeCarrier("dials", "leads_to_sip"))}
    dialer = Dialer(cast(Any, None), cast(Any, None), configs, carriers, may_dial=cast(Any, None), per_minute=1)
    try:
        await dialer.check(request_)
        told = ""
    except DialRefused as refused:
        told = " ".join(refused.reasons)
    assert (why in told) if why else (told == "")


async def test_what_a_caller_costs_who_is_led_away_is_told_of_the_leg_that_the_other_call_names() -> None:
    """The history adds it to that call."""
    async with stage("leads_to_sip") as the:
        the.board._services = dataclasses.replace(the.services, config=lambda *_: SIP_CONFIG)
        the.board.sip_leading._services = the.board._services
        leg = LegIds("v3:x", "leg-1")
        await the.tell(events.CallInitiated(from_number="+15550100001", to_number="+15550100002"), leg)
        assert (the.board.calls, the.board.counts["led_to_sip"]) == ([], 1)
        await the.tell(events.CarrierCost(of="leg-1", amount=0.02), leg)
        await the.tell(events.CallInitiated(linked="fake:leg-1", route="stream"), OTHER)
        (arrived,) = the.board.calls
        led_as = arrived.ids.session.removeprefix("leg:fake:")
        assert [one["event"] for one in the.written(led_as)] == ["carrier_cost"]
        assert arrived.given_config is None


async def test_what_anybody_says_of_a_call_that_is_not_there_orders_nothing() -> None:
    async with led(ordered()) as (the, _):
        other = await other_side(the, DIALLED[:-1] + "2")
        assert (other.given_config, other.ids.session, other.to_number) == (None, "", "+2")
