"""OpenAI does nothing by itself when this server does not answer: there is no other address that it would ask.

Vendor: developers.openai.com/api/docs/guides/realtime-sip.
"""

from __future__ import annotations

from collections.abc import Mapping

from callflow.contracts.errors import CarrierError
from callflow.contracts.failover import Failover, FailoverPlan
from callflow.contracts.numbers import Part, Value


_NONE = "OpenAI has no address that it asks when this server does not answer"


class NoFailover:
    """An account that does nothing by itself: see `callflow.contracts.failover.FailoverAccount`."""

    async def plan(self, wanted: Failover) -> FailoverPlan:
        """Return that nothing is to be changed."""
        return FailoverPlan(())

    async def values(self, part: Part) -> Mapping[str, Value]:
        """Raise CarrierError."""
        raise CarrierError(_NONE)

    async def change(self, resource: str, values: Mapping[str, Value]) -> None:
        """Raise CarrierError."""
        raise CarrierError(_NONE)
