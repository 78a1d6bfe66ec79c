"""Posts a question about a caller to the address in CALLER_LOOKUP, signed as events are, and returns the answer."""

from __future__ import annotations

import time

import msgspec

from callflow.contracts.caller_lookup import MOST_BYTES, Question
from callflow.contracts.errors import LookupFailed
from callflow.history.delivery.signature import Signer
from callflow.history.delivery.url_post import UrlPost


class UrlLookup:
    """Asks a server of ours: see `callflow.switchboard.caller_lookup.Ask`."""

    def __init__(self, url: str, signer: Signer, seconds: float) -> None:
        """`seconds`: after these nobody waits any more. Loads what the first request needs."""
        self._signer = signer
        self._post = UrlPost(url, seconds, most_bytes=MOST_BYTES, failed=LookupFailed)

    async def __call__(self, question: Question) -> bytes:
        """Return the body of the answer. Raises LookupFailed and TimeoutError."""
        told = {
            "call": question.call, "carrier": question.carrier, "from": question.from_number, "to": question.to_number,
        }  # fmt: skip
        body = msgspec.json.encode(told)
        return await self._post(body, self._signer.headers(f"lookup_{question.call}", body.decode(), time.time()))

    async def close(self) -> None:
        """Close all connections."""
        await self._post.close()
