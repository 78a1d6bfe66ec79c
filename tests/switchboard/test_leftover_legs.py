"""A leg whose call is over is ended, and a carrier that does not do it is told in the log."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from callflow.call.command_ids import command_id
from callflow.contracts.carrier import ActiveCall, Carrier, CarrierRequest
from callflow.contracts.commands import Hangup
from callflow.contracts.errors import CarrierError
from callflow.contracts.event import LegIds
from callflow.contracts.log_format import CALL
from callflow.switchboard.leftover_legs import hang_up_leg


IDS = LegIds("control", "leg")
NAME = "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc"


def hung_up(error: Exception | None = None) -> list[tuple[CarrierRequest, str]]:
    sent: list[tuple[CarrierRequest, str]] = []

    class OneCarrier:
        async def execute(self, request: CarrierRequest) -> None:
            sent.append((request, CALL.get()))
            if error is not None:
                raise error

    leg = cast(ActiveCall, type("Leg", (), {"call": NAME, "ids": IDS}))
    asyncio.run(hang_up_leg(cast(Carrier, OneCarrier()), leg))
    return sent


def test_a_leg_is_hung_up_once_under_an_id_that_no_command_of_its_call_has() -> None:
    ((request, call),) = hung_up()
    assert (request.command, request.call, request.ids, call) == (Hangup(), NAME, IDS, NAME)
    assert request.id not in {command_id(NAME, step, number) for step in range(1, 50) for number in range(9)}
    assert hung_up()[0][0].id == request.id, "the carrier knows one that is sent again"


def test_a_carrier_that_refuses_is_told_and_nothing_else_stops(caplog: pytest.LogCaptureFixture) -> None:
    hung_up(CarrierError("HTTP 500"))
    (told,) = [each.getMessage() for each in caplog.records]
    assert told == f"call {NAME}: its leg cannot be ended: HTTP 500"


def test_a_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        hung_up(ZeroDivisionError())
