"""Posts to an address of the user's: a receiver of events, a caller lookup, a control endpoint.

Redirects are not followed: the address that was set is the only one that gets numbers of callers. Nothing that is
logged, kept or raised holds the address, because it may hold a key.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import httpx

from callflow import runtime
from callflow.contracts.errors import ControlFailed, LookupFailed


_AT_ONCE: Final = 64
"""The most simultaneous questions; further ones wait, within their time."""
_KEPT_SECONDS: Final = 60.0
"""How long an idle connection is kept for the next question."""


def make_client(seconds: float, limits: httpx.Limits) -> httpx.AsyncClient:
    """Return a client for such addresses, and load what its first request needs. `seconds`: for each step of one."""
    runtime.prepare_httpx()
    for chatty in map(logging.getLogger, ("httpx", "httpcore")):
        # Under an ASGI server of somebody else the log is theirs, and these would put the whole address into it.
        chatty.setLevel(max(chatty.level, logging.WARNING))
    return httpx.AsyncClient(
        headers={"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "callflow"},
        follow_redirects=False,
        timeout=httpx.Timeout(seconds),
        limits=limits,
        verify=runtime.tls(),
    )


class UrlPost:
    """Asks one address. Implements `callflow.switchboard.control.ask.Post`."""

    def __init__(
        self, url: str, seconds: float, *, most_bytes: int, failed: type[ControlFailed] | type[LookupFailed]
    ) -> None:
        """`seconds`: after these nobody waits any more. `most_bytes`: of an answer. `failed`: what is raised where
        there is none."""
        limits = httpx.Limits(
            max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE, keepalive_expiry=_KEPT_SECONDS
        )
        self._url, self._most_bytes, self._failed = url, most_bytes, failed
        self._client = make_client(seconds, limits)

    async def __call__(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Return the body of the answer. Raises TimeoutError, and `failed`."""
        told = bytearray()
        try:
            async with self._client.stream("POST", self._url, content=body, headers=dict(headers)) as response:
                if not 200 <= response.status_code < 300:
                    raise self._failed(f"HTTP {response.status_code}")
                async for some in response.aiter_raw():
                    told += some
                    if len(told) > self._most_bytes:
                        raise self._failed(f"its answer has more than {self._most_bytes >> 10} kB")
        except httpx.TimeoutException:
            raise TimeoutError from None
        except httpx.HTTPError as error:  # its text may hold the address
            raise self._failed(f"no answer ({type(error).__name__})") from None
        return bytes(told)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
