"""The HTTP client behind a carrier's webhooks, and the list of what was sent."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from functools import cache
from typing import Generic, TypeVar

import httpx

from callflow.sandbox.common.http_server import Tasks


DeliveryT = TypeVar("DeliveryT")


@cache
def _tls() -> ssl.SSLContext:
    """The TLS context, made once: loading the certificates takes longer than most tests."""
    return ssl.create_default_context()


class WebhookSender(Generic[DeliveryT]):
    """Sends webhooks and keeps every attempt in `deliveries`. What they say is the carrier's own."""

    def __init__(self, tasks: Tasks, changed: Callable[[], None], headers: Mapping[str, str]) -> None:
        self.tasks = tasks
        self.changed = changed
        self.deliveries: list[DeliveryT] = []
        """Every attempt to deliver a webhook, in the order in which they began."""
        self._client = httpx.AsyncClient(
            verify=_tls(),
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # each attempt has its own limits
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30),
            headers=dict(headers),
        )

    async def close(self) -> None:
        """Close the HTTP client and its connections."""
        await self._client.aclose()
