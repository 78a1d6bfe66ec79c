"""An account at OpenAI has no telephone numbers: they lead there from other carriers, to a SIP address.

Vendor: developers.openai.com/api/docs/guides/realtime-sip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from callflow.contracts.errors import CarrierError
from callflow.contracts.numbers import OwnNumber, Part, PointingPlan, Value


_NONE = "OpenAI has no telephone numbers: they lead there from another carrier"


class NoNumbers:
    """An account without numbers: see `callflow.contracts.numbers.NumberAccount`."""

    async def list_numbers(self, address: str) -> Sequence[OwnNumber]:
        """Return none."""
        return ()

    async def plan(self, number: str, address: str) -> PointingPlan | None:
        """Return None: there is no such number."""
        return None

    async def values(self, part: Part) -> Mapping[str, Value]:
        """Raise CarrierError."""
        raise CarrierError(_NONE)

    async def change(self, resource: str, values: Mapping[str, Value]) -> None:
        """Raise CarrierError."""
        raise CarrierError(_NONE)

    async def release(self, number_id: str) -> None:
        """Raise CarrierError."""
        raise CarrierError(_NONE)
