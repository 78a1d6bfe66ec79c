"""What calls have cost at Twilio. The price of a call is null until some minutes after its end, and negative then.

Vendor: www.twilio.com/docs/voice/api/call-resource, Price and PriceUnit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from callflow.contracts.cost_events import CarrierCost
from carriers.twilio.webhooks import NEVER_ANSWERED


def costs_of(resources: Sequence[Mapping[str, Any]]) -> tuple[Sequence[CarrierCost], bool]:
    """Read the prices of call resources. Returns those that are known, and whether none is still to come: what nobody
    answered has no price."""
    found = [cost_of(each) for each in resources]
    is_whole = all(cost or each.get("status") in NEVER_ANSWERED for cost, each in zip(found, resources, strict=True))
    return [cost for cost in found if cost is not None], is_whole


def cost_of(resource: Mapping[str, Any]) -> CarrierCost | None:
    """Read the price of a call resource; None: it has none yet."""
    price, unit, seconds = resource.get("price"), resource.get("price_unit"), resource.get("duration")
    try:
        amount = abs(float(price)) if isinstance(price, (str, int, float)) else math.nan
        billed = float(seconds) if isinstance(seconds, (str, int)) else None
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(amount) or not math.isfinite(billed or 0.0):
        return None
    currency = unit.upper()[:3] if isinstance(unit, str) and unit else "USD"
    return CarrierCost(of=str(resource.get("sid") or ""), amount=amount, currency=currency, seconds=billed)
