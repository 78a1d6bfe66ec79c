"""Posts one event to the receiver at EVENTS_URL, and says what its answer means for the event.

What the address may do, and who may see it, is in `url_post.py`.
"""

from __future__ import annotations

import asyncio
from typing import Final

import httpx

from callflow.history.delivery.answer import Answer, judged
from callflow.history.delivery.signature import Signer
from callflow.history.delivery.url_post import make_client


TRY_SECONDS: Final = 10.0
"""For one try, from the connection to the end of the answer."""
_MOST_ANSWER: Final = 16 << 10
"""Bytes of an answer's body that are read, so that its connection can be used again. Nobody looks at them."""


class Receiver:
    """The HTTP client for EVENTS_URL: posts one event, and judges the answer."""

    def __init__(self, url: str, signer: Signer, *, at_once: int, seconds: float = TRY_SECONDS) -> None:
        """`at_once`: the most simultaneous requests. `seconds`: for one try."""
        self._url, self._signer, self._seconds = url, signer, seconds
        limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
        self._client = make_client(seconds, limits)

    async def post(self, name: str, body: str, now: float) -> Answer:
        """Send one event, and wait for the answer, at most `seconds`. `now`: Unix time, in seconds."""
        headers = self._signer.headers(name, body, now)
        try:
            # each of httpx's own timeouts bounds one step only, so a very slow answer would pass them all
            async with asyncio.timeout(self._seconds):
                async with self._client.stream("POST", self._url, content=body.encode(), headers=headers) as response:
                    await _read_a_little(response)
        except TimeoutError:
            return Answer("again", f"no answer within {self._seconds:g} s")
        except httpx.TimeoutException:
            return Answer("again", f"no answer within {self._seconds:g} s")
        except httpx.HTTPError as error:  # its text may hold the address
            return Answer("again", f"no answer ({type(error).__name__})")
        return judged(response.status_code, response.headers.get("retry-after", ""))

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


async def _read_a_little(response: httpx.Response) -> None:
    left = _MOST_ANSWER
    async for some in response.aiter_raw():
        left -= len(some)
        if left < 0:
            return
