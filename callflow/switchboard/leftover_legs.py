"""Ends legs at the carrier whose call is over."""

from __future__ import annotations

import logging

from callflow.call.command_ids import command_id
from callflow.contracts.carrier import ActiveCall, Carrier, CarrierRequest
from callflow.contracts.commands import Hangup
from callflow.contracts.errors import CarrierError
from callflow.contracts.log_format import CALL


log = logging.getLogger(__name__)


async def hang_up_leg(carrier: Carrier, leg: ActiveCall) -> None:
    """End a leg whose call is over. Steps count from 1, so no command of the call has this id."""
    CALL.set(leg.call)
    try:
        await carrier.execute(CarrierRequest(Hangup(), command_id(leg.call, 0, 0), leg.call, leg.ids))
    except CarrierError as error:
        log.warning("call %s: its leg cannot be ended: %s", leg.call, error)
