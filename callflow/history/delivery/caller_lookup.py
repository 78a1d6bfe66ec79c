"""Posts a question about a caller to the address in CALLER_LOOKUP, signed as events are, and returns the answer.

Redirects are not followed, and no error holds the address, for the reasons that `receiver.py` gives.
"""

from __future__ import annotations

import logging
import time
from typing import Final

import httpx
import msgspec

from callflow import runtime
from callflow.contracts.caller_lookup import MOST_BYTES, Question
from callflow.contracts.errors import LookupFailed
from callflow.history.delivery.signature import Signer


_AT_ONCE: Final = 64
"""The most simultaneous questions; further ones wait, within their time."""
_KEPT_SECONDS: Final = 60.0
"""How long an idle connection is kept for the next caller."""


class UrlLookup:
    """Asks a server of ours: see `callflow.switchboard.caller_lookup.Ask`."""

    def __init__(self, url: str, signer: Signer, seconds: float) -> None:
        """`seconds`: after these nobody waits any more. Loads what the first request needs."""
        runtime.prepare_httpx()
        for chatty in map(logging.getLogger, ("httpx", "httpcore")):
            chatty.setLevel(max(chatty.level, logging.WARNING))  # they would put the whole address into the log
        self._url, self._signer = url, signer
        self._client = httpx.AsyncClient(
            headers={"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "callflow"},
            follow_redirects=False,
            timeout=httpx.Timeout(seconds),
            limits=httpx.Limits(
                max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE, keepalive_expiry=_KEPT_SECONDS
            ),
            verify=runtime.tls(),
        )

    async def __call__(self, question: Question) -> bytes:
        """Return the body of the answer. Raises LookupFailed and TimeoutError."""
        told = {
            "call": question.call, "carrier": question.carrier, "from": question.from_number, "to": question.to_number,
        }  # fmt: skip
        body = msgspec.json.encode(told)
        headers = self._signer.headers(f"lookup_{question.call}", body.decode(), time.time())
        try:
            async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
                if not 200 <= response.status_code < 300:
                    raise LookupFailed(f"HTTP {response.status_code}")
                return await _read(response)
        except httpx.TimeoutException:
            raise TimeoutError from None
        except httpx.HTTPError as error:  # its text may hold the address
            raise LookupFailed(f"no answer ({type(error).__name__})") from None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


async def _read(response: httpx.Response) -> bytes:
    told = bytearray()
    async for some in response.aiter_raw():
        told += some
        if len(told) > MOST_BYTES:
            raise LookupFailed(f"its answer has more than {MOST_BYTES >> 10} kB")
    return bytes(told)
