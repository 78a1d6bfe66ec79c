"""Posts what happens to our calls to the address in REALTIME_CONTROL_URL, and returns the answer.

Redirects are not followed, and no error holds the address, because it may hold a key.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import httpx

from callflow import runtime
from callflow.contracts.control import MOST_BYTES
from callflow.contracts.errors import ControlFailed


_AT_ONCE: Final = 64
_KEPT_SECONDS: Final = 60.0


class UrlPost:
    """See `callflow.switchboard.control.ask.Post`."""

    def __init__(self, url: str, seconds: float) -> None:
        """`seconds`: after these nobody waits any more. Loads what the first request needs."""
        runtime.prepare_httpx()
        for chatty in map(logging.getLogger, ("httpx", "httpcore")):
            chatty.setLevel(max(chatty.level, logging.WARNING))  # they would put the whole address into the log
        self._url = url
        self._client = httpx.AsyncClient(
            headers={"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "callflow"},
            follow_redirects=False,
            timeout=httpx.Timeout(seconds),
            limits=httpx.Limits(
                max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE, keepalive_expiry=_KEPT_SECONDS
            ),
            verify=runtime.tls(),
        )

    async def __call__(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Return the body of the answer. Raises ControlFailed and TimeoutError."""
        told = bytearray()
        try:
            async with self._client.stream("POST", self._url, content=body, headers=dict(headers)) as response:
                if not 200 <= response.status_code < 300:
                    raise ControlFailed(f"HTTP {response.status_code}")
                async for some in response.aiter_raw():
                    told += some
                    if len(told) > MOST_BYTES:
                        raise ControlFailed(f"its answer has more than {MOST_BYTES >> 10} kB")
        except httpx.TimeoutException:
            raise TimeoutError from None
        except httpx.HTTPError as error:  # its text may hold the address
            raise ControlFailed(f"no answer ({type(error).__name__})") from None
        return bytes(told)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
