"""Signed webhooks to the application, with Telnyx's retries.

Vendor: developers.telnyx.com, webhook fundamentals.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from callflow.sandbox.common.faults import ANY, for_event
from callflow.sandbox.common.http_server import Tasks
from callflow.sandbox.common.webhooks import WebhookSender
from callflow.sandbox.telnyx.faults import Faults, Timing


def timestamp() -> str:
    """Return the time as occurred_at has it: ISO 8601, UTC, microseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(slots=True)
class Delivery:
    """One attempt to deliver one webhook. `at`: its beginning, in seconds of `time.monotonic`. `status` is None until
    it is answered, and stays so if it never is."""

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
    """Signs webhook bodies.

    Telnyx docs: Ed25519 over `timestamp|raw body`; the public key is base64 of its 32 raw bytes.
    """

    def __init__(self, words: str = "") -> None:
        """`words`: the key is made from them, the same each time; "": a new one."""
        seed = hashlib.sha256(f"emulated Telnyx: {words}".encode()).digest()
        self._key = Ed25519PrivateKey.from_private_bytes(seed) if words else Ed25519PrivateKey.generate()
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_key = base64.b64encode(raw).decode("ascii")

    def sign(self, body: bytes, at: int | None = None) -> dict[str, str]:
        """Return the two signature headers. `at` is in Unix seconds, now by default."""
        stamp = str(int(time.time()) if at is None else at)
        signature = self._key.sign(stamp.encode("ascii") + b"|" + body)
        return {
            "Telnyx-Signature-Ed25519": base64.b64encode(signature).decode("ascii"),
            "Telnyx-Timestamp": stamp,
        }


def envelope(event_type: str, payload: Mapping[str, Any], event_id: str, attempt: int, url: str, at: str) -> bytes:
    """Encode a webhook body, version 2 of the format: {"data": {...}, "meta": {...}}."""
    data = {"record_type": "event", "event_type": event_type, "id": event_id, "occurred_at": at, "payload": payload}
    return msgspec.json.encode({"data": data, "meta": {"attempt": attempt, "delivered_to": url}})


class Webhooks(WebhookSender[Delivery]):
    """Sends webhooks in the background and keeps every attempt."""

    def __init__(self, tasks: Tasks, signer: Signer, timing: Timing, changed: Callable[[], None]) -> None:
        super().__init__(tasks, changed, {"User-Agent": "telnyx-webhooks"})
        self.signer = signer
        self.timing = timing
        self.hosts: dict[str, str] = {}
        """Where requests to single hosts are really sent, such as "http://127.0.0.1:6000"; others: where their name
        leads."""
        self._held: list[tuple[str, str, asyncio.Event]] = []
        """Webhooks that wait for another one: leg, the event type waited for, and what releases them."""

    def emit(
        self,
        event_type: str,
        payload: Mapping[str, Any],
        url: str,
        faults: Faults,
        *,
        failover: str = "",
        undelivered: Callable[[], None] | None = None,
    ) -> None:
        """Send an event in the background, as the faults allow. `failover`: the URL that is tried when nobody takes it
        at the other one. `undelivered`: called when nobody takes it there either."""
        if event_type in faults.webhook_drop or ANY in faults.webhook_drop:
            return
        targets = (url, failover)
        event_id, at = str(uuid.uuid4()), timestamp()
        copies = [event_id] * (1 + for_event(faults.webhook_duplicates, event_type, 0))
        copies += [str(uuid.uuid4()) for _ in range(for_event(faults.webhook_new_ids, event_type, 0))]
        for each in copies:
            work = self._emit(event_type, payload, each, at, targets, faults, undelivered)
            self.tasks.spawn(work, f"webhook {event_type}")

    async def _emit(
        self,
        event_type: str,
        payload: Mapping[str, Any],
        event_id: str,
        at: str,
        targets: tuple[str, str],
        faults: Faults,
        undelivered: Callable[[], None] | None,
    ) -> None:
        leg = str(payload.get("call_leg_id"))
        if (other := faults.webhook_hold.get(event_type)) is not None:
            await self.attempted(leg, other, faults.webhook_hold_limit_s)
        if delay := for_event(faults.webhook_delay_s, event_type, 0.0):
            await asyncio.sleep(delay)
        url, failover = targets
        last = await self.deliver(event_type, payload, event_id, url, at=at)
        if last.will_be_retried and failover:
            last = await self.deliver(event_type, payload, event_id, failover, at=at)
        if last.will_be_retried and undelivered is not None:
            undelivered()

    async def attempted(self, leg: str, event_type: str, seconds: float) -> None:
        """Wait until an event of this leg has been sent and answered, or has failed, once; at most so many seconds."""
        if self._delivered(leg, event_type):
            return
        released = asyncio.Event()
        held = (leg, event_type, released)
        self._held.append(held)
        try:
            async with asyncio.timeout(seconds):
                await released.wait()
        except TimeoutError:
            if held in self._held:
                self._held.remove(held)

    async def deliver(
        self, event_type: str, payload: Mapping[str, Any], event_id: str, url: str, *, at: str | None = None
    ) -> Delivery:
        """Send an event, with retries. Returns the last attempt."""
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
        """Make one POST request. The attempt is in `deliveries` before it is answered."""
        self.deliveries.append(delivery)
        self.changed()
        url, sent = delivery.url, dict(headers)
        parts = urlsplit(url)
        if (found := self.hosts.get(parts.netloc)) is not None:
            server = urlsplit(found)
            url, sent["Host"] = urlunsplit(parts._replace(scheme=server.scheme, netloc=server.netloc)), parts.netloc
        try:
            async with asyncio.timeout(self.timing.webhook_timeout_s):
                response = await self._client.post(url, content=body, headers=sent)
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
