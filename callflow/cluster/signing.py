"""Signs what nodes say to each other: HMAC-SHA256 over time, method, target and body, under CLUSTER_SECRET. Pure.

A signature holds for half a minute, so the nodes' clocks have to agree that well.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

from callflow.contracts.errors import Forged


HEADER: Final = "x-callflow-cluster"
_SECONDS: Final = 30.0
_FORM: Final = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")


def sign(secret: bytes, now: float, method: str, target: str, body: bytes) -> str:
    """Return the value of the header. `now`: Unix time in seconds. `target`: path and query, with the app's name
    before."""
    at = int(now)
    return f"t={at},v1={_mac(secret, at, method, target, body)}"


def verify(secret: bytes, given: str, now: float, method: str, target: str, body: bytes) -> None:
    """Verify it. Raises Forged."""
    form = _FORM.fullmatch(given)
    if form is None:
        raise Forged("no signature of a node")
    at = int(form[1])
    if not hmac.compare_digest(form[2], _mac(secret, at, method, target, body)):
        raise Forged("not signed with this cluster's secret")
    if abs(now - at) > _SECONDS:
        raise Forged("a signature of another time: do the clocks of the nodes agree?")


def _mac(secret: bytes, at: int, method: str, target: str, body: bytes) -> str:
    digest = hashlib.sha256(body).hexdigest()
    return hmac.new(secret, f"{at}\n{method}\n{target}\n{digest}".encode(), hashlib.sha256).hexdigest()
