"""What calls have cost at Twilio. The price of a call is null until some minutes after its end, and negative then.

Vendor: www.twilio.com/docs/voice/api/call-resource, Price and PriceUnit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from callflow.contracts.cost_events import CarrierCost


def cost_of(resource: Mapping[str, Any]) -> CarrierCost | None:
    """Read the price of a call resource; None: it has none yet."""
    price, unit, seconds = resource.get("price"), resource.get("price_unit"), resource.get("duration")
    try:
        amount = abs(float(price)) if isinstance(price, (str, int, float)) else math.nan
        billed = float(seconds) if isinstance(seconds, (str, int)) else None
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(amount):
        return None
    currency = unit.upper()[:3] if isinstance(unit, str) and unit else "USD"
    return CarrierCost(of=str(resource.get("sid") or ""), amount=amount, currency=currency, seconds=billed)
