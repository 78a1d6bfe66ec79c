"""What the telephone system of a caller who came over SIP does with a REFER: it calls another address in our place.

RFC 3515 (REFER, and NOTIFY with the SIP status of the new call), RFC 5589 (transfer).
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

from callflow.sandbox.common.callee import Callee


ACCEPTED: Final = 202
TRYING: Final = 100
CONNECTED: Final = 200
_ADDRESS: Final = re.compile(r"sips?:[^\s@<>]+@[^\s@<>]+")
_STATUS: Final = {"busy": 486, "rejects": 603, "not_reachable": 404, "no_answer": 408}
"""The SIP status of the new call, by what is at its other end; anything else is connected."""
BYE_S: Final = 1.0
"""Whoever was referred hangs up so long after the new call is connected, if nobody has done so before."""


def is_sip(address: str) -> bool:
    """Return whether this is a SIP address, and no number."""
    return _ADDRESS.fullmatch(address) is not None


async def calls(callee: Callee, ring_s: float, no_answer_s: float) -> int:
    """Call somebody, who rings for `ring_s` unless they say otherwise, and return the new call's final SIP status.
    `no_answer_s`: the longest that nobody answers."""
    rings = ring_s if callee.ring_s is None else callee.ring_s
    await asyncio.sleep(no_answer_s if callee.does == "no_answer" else rings)
    return _STATUS.get(callee.does, CONNECTED)
