"""Our ids of calls, computed from the carriers' ids."""

from __future__ import annotations

import uuid
from typing import Final

from callflow.contracts.event import LegIds


_CALLS: Final = uuid.UUID("5f0c0d5e-8f0b-5c4e-9a57-2f3f8a1d7c61")


def call_id(carrier: str, ids: LegIds) -> str:
    """Return our id of a call. It is computed from the carrier's id, so a webhook repeated after a restart finds the
    same call."""
    return str(uuid.uuid5(_CALLS, f"{carrier}:{ids.leg or ids.control}"))
