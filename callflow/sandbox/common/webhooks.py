"""The HTTP client behind a carrier's webhooks, and the list of what was sent."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import httpx

from callflow.sandbox.common.http_server import Tasks


DeliveryT = TypeVar("DeliveryT")


_tls: list[ssl.SSLContext] = []


def share_tls(context: ssl.SSLContext) -> None:
    """Send webhooks with this TLS context, which the program has already: loading the certificates once more takes
    25 ms and 0.9 MB."""
    _tls[:] = [context]


def _shared_tls() -> ssl.SSLContext:
    if not _tls:
        share_tls(ssl.create_default_context())
    return _tls[0]


class WebhookSender(Generic[DeliveryT]):
    """Sends webhooks and keeps every attempt in `deliveries`. What they say is the carrier's own."""

    def __init__(self, tasks: Tasks, changed: Callable[[], None], headers: Mapping[str, str]) -> None:
        self.tasks = tasks
        self.changed = changed
        self.deliveries: list[DeliveryT] = []
        """Every attempt to deliver a webhook, in the order in which they began."""
        self._client = httpx.AsyncClient(
            verify=_shared_tls(),
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # each attempt has its own limits
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30),
            headers=dict(headers),
        )

    async def close(self) -> None:
        """Close the HTTP client and its connections."""
        await self._client.aclose()
