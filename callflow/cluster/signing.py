"""Signs what nodes say to each other: HMAC-SHA256 over time, method, target, and length and hash of the body, under
CLUSTER_SECRET. Pure.

Length and hash stand in the header, so that a node knows before it reads a body that another node has sent it. A
signature holds for half a minute, so the nodes' clocks have to agree that well.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

from callflow.contracts.errors import Forged


HEADER: Final = "x-callflow-cluster"
_SECONDS: Final = 30.0
_FORM: Final = re.compile(r"t=([0-9]{1,12}),n=([0-9]{1,12}),b=([0-9a-f]{64}),v1=([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class SignedBody:
    """What a node has signed of a body that is still to be read."""

    length: int
    """Bytes."""
    digest: str

    def check(self, body: bytes) -> None:
        """Verify that this is the body. Raises Forged."""
        if len(body) != self.length or not hmac.compare_digest(self.digest, hashlib.sha256(body).hexdigest()):
            raise Forged("its body is not the one that a node has signed")


def sign(secret: bytes, now: float, method: str, target: str, body: bytes) -> str:
    """Return the value of the header. `now`: Unix time in seconds. `target`: path and query, with the app's name
    before."""
    signed = f"t={int(now)},n={len(body)},b={hashlib.sha256(body).hexdigest()}"
    return f"{signed},v1={_mac(secret, signed, method, target)}"


def verify(secret: bytes, given: str, now: float, method: str, target: str) -> SignedBody:
    """Verify a signature, and return which body belongs to it. `now`: Unix time, in seconds. Raises Forged."""
    form = _FORM.fullmatch(given)
    if form is None:
        raise Forged("no signature of a node")
    if not hmac.compare_digest(form[4], _mac(secret, given.rpartition(",")[0], method, target)):
        raise Forged("not signed with this cluster's secret")
    if abs(now - int(form[1])) > _SECONDS:
        raise Forged("a signature of another time: do the clocks of the nodes agree?")
    return SignedBody(int(form[2]), form[3])


def _mac(secret: bytes, signed: str, method: str, target: str) -> str:
    return hmac.new(secret, f"{signed}\n{method}\n{target}".encode(), hashlib.sha256).hexdigest()
