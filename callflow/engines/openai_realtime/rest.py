"""The vendor's REST API beside the WebSocket: one way to ask it; and where the WebSocket is, for pages.

Vendor: https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from callflow import runtime
from callflow.contracts import addresses
from callflow.contracts.errors import VendorRefused
from callflow.contracts.printable import line
from callflow.contracts.secret_text import Secrets


_MOST_ANSWER: Final = 2 << 20
"""Bytes of an answer; a list of all models has some 20 kB."""
_AT_ONCE: Final = 8
_LONGEST: Final = 300


def socket_origin(url: str) -> str:
    """Return scheme, host and port of the WebSocket's address, as a page's policy names them; "": none can be named."""
    try:
        parts, port = urlsplit(url), urlsplit(url).port
    except ValueError:
        return ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    is_plain = parts.scheme in ("ws", "wss") and host and not set(host) & set(" ;,'\"\\*")
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}" if is_plain else ""


class VendorApi:
    """Asks the REST API with our key."""

    def __init__(self, root: str, api_key: str) -> None:
        """`root`: the address of the API, such as `https://api.openai.com/v1`. Loads what the first request needs."""
        runtime.prepare_httpx()
        self._root, self._key = root, api_key
        self._secrets = Secrets([api_key, *addresses.secrets_in(root)])
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def ask(self, method: str, path: str, body: Any = None, *, seconds: float) -> dict[str, Any]:
        """Return the object in the answer. Raises VendorRefused: with the vendor's status, or 504 when no answer comes
        within `seconds`, or 502 when there is none that can be read."""
        headers = {"Authorization": f"Bearer {self._key}", "User-Agent": "callflow", "Accept-Encoding": "identity"}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = msgspec.json.encode(body)
        try:
            async with (
                asyncio.timeout(seconds),
                self._places,
                httpx.AsyncClient(follow_redirects=False, timeout=seconds, verify=runtime.tls()) as client,
                client.stream(method, f"{self._root}{path}", content=content, headers=headers) as response,
            ):
                status, told = response.status_code, await _read(response)
        except (TimeoutError, httpx.TimeoutException):
            raise VendorRefused(504, f"OpenAI has not answered within {seconds:g} seconds") from None
        except httpx.HTTPError as error:  # its text may hold the address
            raise VendorRefused(502, f"OpenAI cannot be reached ({type(error).__name__})") from None
        if not 200 <= status < 300:
            raise VendorRefused(status if 400 <= status < 600 else 502, self._words(status, told))
        try:
            found = msgspec.json.decode(told)
        except (msgspec.DecodeError, ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise VendorRefused(502, "OpenAI's answer cannot be read: it is no JSON object")
        return found

    def _words(self, status: int, told: bytes) -> str:
        """Return why it refused, in its own words if these hold no secret."""
        try:
            message = msgspec.json.decode(told)["error"]["message"]
        except (msgspec.DecodeError, ValueError, RecursionError, TypeError, KeyError):
            message = ""
        words = line(self._secrets.safe_text(str(message)))[:_LONGEST] if message else "without a reason"
        return f"OpenAI refuses it (HTTP {status}): {words}".removesuffix(".")


async def _read(response: httpx.Response) -> bytes:
    told = bytearray()
    async for some in response.aiter_raw():
        told += some
        if len(told) > _MOST_ANSWER:
            raise VendorRefused(502, "OpenAI's answer is too large")
    return bytes(told)
