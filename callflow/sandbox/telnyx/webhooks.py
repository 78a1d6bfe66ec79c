"""Signed webhooks: what Telnyx tells the application, and how often it tries."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from time import monotonic
from typing import Any

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from callflow.sandbox.common.http_server import Tasks
from callflow.sandbox.telnyx.faults import ANY, Faults, Timing


@cache
def _tls() -> ssl.SSLContext:
    """Loading the certificates takes longer than most tests: once is enough."""
    return ssl.create_default_context()


def timestamp() -> str:
    """ISO 8601, UTC, microseconds: the form of occurred_at."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(slots=True)
class Delivery:
    """One attempt to deliver one webhook. `status` is None until it is answered, and stays so if it never is."""

    at: float
    event_type: str
    event_id: str
    attempt: int
    url: str
    payload: Mapping[str, Any]
    status: int | None = None
    error: str | None = None
    latency: float | None = None
    """Seconds to the answer, or to giving up."""

    @property
    def ok(self) -> bool:
        """Telnyx docs: any 2xx is success; a redirect is a failure."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def will_be_retried(self) -> bool:
        """Telnyx docs: 408, 429, 5xx and no answer are retried, other 4xx are not."""
        return self.status is None or self.status in (408, 429) or self.status >= 500


class Signer:
    """Telnyx docs: Ed25519 over `timestamp|raw body`; the public key is base64 of its 32 raw bytes."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_key = base64.b64encode(raw).decode("ascii")

    def sign(self, body: bytes, at: int | None = None) -> dict[str, str]:
        """The two signature headers. `at` is in Unix seconds."""
        stamp = str(int(time.time()) if at is None else at)
        signature = self._key.sign(stamp.encode("ascii") + b"|" + body)
        return {
            "Telnyx-Signature-Ed25519": base64.b64encode(signature).decode("ascii"),
            "Telnyx-Timestamp": stamp,
        }


def envelope(event_type: str, payload: Mapping[str, Any], event_id: str, attempt: int, url: str, at: str) -> bytes:
    """Version 2 of the webhook format."""
    data = {"record_type": "event", "event_type": event_type, "id": event_id, "occurred_at": at, "payload": payload}
    return msgspec.json.encode({"data": data, "meta": {"attempt": attempt, "delivered_to": url}})


@dataclass
class Webhooks:
    """Sends webhooks in the background and keeps a record of every attempt."""

    tasks: Tasks
    signer: Signer
    timing: Timing
    changed: Callable[[], None]
    deliveries: list[Delivery] = field(default_factory=list)
    _client: httpx.AsyncClient = field(init=False)
    _held: list[tuple[str, str, asyncio.Event]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._client = httpx.AsyncClient(
            verify=_tls(),
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # the attempt has its own limit
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30),
            headers={"User-Agent": "telnyx-webhooks"},
        )

    async def close(self) -> None:
        await self._client.aclose()

    def emit(self, event_type: str, payload: Mapping[str, Any], url: str, faults: Faults) -> None:
        """Tells the application, as well or as badly as the faults say."""

        def of(table: dict[str, int]) -> int:
            return table.get(event_type, table.get(ANY, 0))

        if event_type in faults.webhook_drop or ANY in faults.webhook_drop:
            return
        event_id, at = str(uuid.uuid4()), timestamp()
        copies = [event_id] * (1 + of(faults.webhook_duplicates))
        copies += [str(uuid.uuid4()) for _ in range(of(faults.webhook_new_ids))]
        for each in copies:
            self.tasks.spawn(self._emit(event_type, payload, each, at, url, faults), f"webhook {event_type}")

    async def _emit(
        self, event_type: str, payload: Mapping[str, Any], event_id: str, at: str, url: str, faults: Faults
    ) -> None:
        leg = str(payload.get("call_leg_id"))
        if (other := faults.webhook_hold.get(event_type)) is not None and not self._delivered(leg, other):
            released = asyncio.Event()
            self._held.append((leg, other, released))
            try:
                async with asyncio.timeout(faults.webhook_hold_limit_s):
                    await released.wait()
            except TimeoutError:
                pass  # the other event never came: late is still better than never
        delay = faults.webhook_delay_s.get(event_type, faults.webhook_delay_s.get(ANY, 0.0))
        if delay:
            await asyncio.sleep(delay)
        await self.deliver(event_type, payload, event_id, url, at=at)

    async def deliver(
        self, event_type: str, payload: Mapping[str, Any], event_id: str, url: str, *, at: str | None = None
    ) -> Delivery:
        """Sends an event, again if need be. Returns the last attempt."""
        occurred_at = at or timestamp()
        pauses = iter((*self.timing.webhook_retries_s, None))
        attempt = 0
        while True:
            attempt += 1
            body = envelope(event_type, payload, event_id, attempt, url, occurred_at)
            headers = {"Content-Type": "application/json", **self.signer.sign(body)}
            delivery = await self.attempt(
                Delivery(monotonic(), event_type, event_id, attempt, url, payload), body, headers
            )
            if not delivery.will_be_retried or (pause := next(pauses)) is None:
                return delivery
            await asyncio.sleep(pause)

    async def attempt(self, delivery: Delivery, body: bytes, headers: Mapping[str, str]) -> Delivery:
        """One POST. The attempt is on record before its answer is."""
        self.deliveries.append(delivery)
        self.changed()
        try:
            async with asyncio.timeout(self.timing.webhook_timeout_s):
                response = await self._client.post(delivery.url, content=body, headers=dict(headers))
            delivery.status = response.status_code
        except TimeoutError:
            delivery.error = f"no answer within {self.timing.webhook_timeout_s:g} s"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            delivery.error = f"{type(error).__name__}: {error}"
        delivery.latency = monotonic() - delivery.at
        self._release(delivery)
        self.changed()
        return delivery

    def _delivered(self, leg: str, event_type: str) -> bool:
        return any(
            each.event_type == event_type and each.latency is not None and str(each.payload.get("call_leg_id")) == leg
            for each in self.deliveries
        )

    def _release(self, delivery: Delivery) -> None:
        leg = str(delivery.payload.get("call_leg_id"))
        for held in tuple(self._held):
            if held[:2] == (leg, delivery.event_type):
                held[2].set()
                self._held.remove(held)
