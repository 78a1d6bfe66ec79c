"""What an account at OpenAI does not have: telephone numbers, and an address to ask when this server does not answer.

Numbers lead there from other carriers, as a SIP address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from callflow.contracts.errors import CarrierError
from callflow.contracts.failover import Failover, FailoverPlan
from callflow.contracts.numbers import OwnNumber, Part, Plan, Value


_NONE = "OpenAI has no telephone numbers: they lead there from another carrier"


class NoNumbers:
    """An account without numbers: see `callflow.contracts.numbers.NumberAccount`."""

    async def list_numbers(self, address: str) -> Sequence[OwnNumber]:
        """Return none."""
        return ()

    async def plan(self, number: str, address: str) -> Plan | None:
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
