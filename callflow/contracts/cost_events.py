"""What a carrier says that a call has cost."""

from __future__ import annotations

from typing import ClassVar

from callflow.contracts.event import Event


class CarrierCost(Event, frozen=True, kw_only=True):
    """What the carrier takes for a leg of the call. It comes after the end of the call, often minutes later."""

    name: ClassVar[str] = "carrier_cost"
    of: str = ""
    """The carrier's id of the leg."""
    amount: float = 0.0
    """Not negative."""
    currency: str = "USD"
    """ISO 4217, in capitals."""
    seconds: float | None = None
    """What was billed; None: the carrier does not say."""
