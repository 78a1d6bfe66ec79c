"""The id of a call follows from the Idempotency-Key of the request that makes it, so that one key makes one call."""

from __future__ import annotations

import uuid
from typing import Final


_DIALS: Final = uuid.UUID("0d1b6c5e-55a9-5b0c-8f7e-4be2a3f0c9d1")


def call_of(key: str, business: str = "") -> str:
    """Return the id of the call that a request with this key makes, or has made. `business`: keys of each are its own;
    "": of those who are bound to none."""
    return str(uuid.uuid5(_DIALS, f"{business}\n{key}" if business else key))


def key_of(campaign: str, row: int, tries: int) -> str:
    """Return the Idempotency-Key of the next call of a row of a campaign, after so many calls that are over."""
    return f"campaign {campaign} row {row} call {tries + 1}"
