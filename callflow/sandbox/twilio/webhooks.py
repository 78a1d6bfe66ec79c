"""Signed requests to the application: for documents, and to tell it what has happened."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import random
import ssl
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from time import monotonic
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import httpx

from callflow.sandbox.common.http_server import Tasks
from callflow.sandbox.twilio.errors import TwimlError
from callflow.sandbox.twilio.faults import ANY, Faults, Timing


_LIMITS: Final = {"ct": (100, 10000, 5000), "rt": (100, 15000, 15000), "tt": (100, 15000, 15000), "rc": (0, 5, 1)}
"""Twilio docs: range and default of the connection overrides, in ms; `rc` counts."""
_AS_TWIML: Final = ("text/xml", "application/xml", "text/html")


@cache
def _tls() -> ssl.SSLContext:
    """Loading the certificates takes longer than most tests: once is enough."""
    return ssl.create_default_context()


class Overrides(NamedTuple):
    """The fragment of a webhook's URL: never sent, not signed."""

    connect_s: float
    read_s: float
    total_s: float
    retries: int
    retried: frozenset[str]

    @classmethod
    def of(cls, url: str) -> Overrides:
        """Raises TwimlError on what Twilio would not take."""
        given = {name: values[-1] for name, values in parse_qs(urlsplit(url).fragment).items()}
        numbers = {}
        for name, (low, high, usual) in _LIMITS.items():
            text = given.get(name, str(usual))
            if not text.isdigit() or not low <= int(text) <= high:
                raise TwimlError(11200, f"the connection override {name}={text} is not {low} to {high}")
            numbers[name] = int(text)
        reasons = frozenset(given.get("rp", "ct").split(","))
        if unknown := reasons - {"4xx", "5xx", "ct", "rt", "all"}:
            raise TwimlError(11200, f"the connection override rp has no {min(unknown)}")
        return cls(numbers["ct"] / 1000, numbers["rt"] / 1000, numbers["tt"] / 1000, numbers["rc"], reasons)

    def retries_on(self, reason: str) -> bool:
        return reason in self.retried or ("all" in self.retried and bool(reason))


@dataclass(slots=True)
class Delivery:
    """One attempt at one request. `status` is None until it is answered, and stays so if it never is."""

    at: float
    kind: str
    """"voice", "status" or "stream"."""
    method: str
    url: str
    params: Mapping[str, str]
    token: str
    attempt: int
    status: int | None = None
    error: str | None = None
    latency: float | None = None
    """Seconds to the answer, or to giving up."""
    content_type: str = ""
    body: str = ""

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def failure(self) -> str:
        """As the connection overrides name it: "ct", "rt", "4xx", "5xx"; "" for none."""
        if self.status is None:
            return "ct" if (self.error or "").startswith("Connect") else "rt"
        return f"{self.status // 100}xx" if self.status >= 400 else ""


@dataclass
class Signer:
    """Twilio docs: HMAC-SHA1 of the URL and all parameters, keyed by the account's auth token; or, with a shared key,
    HMAC-SHA256 keyed by its secret."""

    auth_token: str
    shared_key: tuple[str, str] | None = None
    """Id and secret; None: the auth token signs."""

    def sign(self, url: str, params: Mapping[str, str] | None = None) -> dict[str, str]:
        """The headers for a POST of these parameters, or for a request without a body."""
        text = url.partition("#")[0] + "".join(name + value for name, value in sorted((params or {}).items()))
        if self.shared_key is None:
            digest = hmac.new(self.auth_token.encode(), text.encode(), hashlib.sha1).digest()
            return {"X-Twilio-Signature": base64.b64encode(digest).decode()}
        name, secret = self.shared_key
        digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
        return {
            "X-Twilio-Signature": base64.b64encode(digest).decode(),
            "X-Twilio-Webhooks-Signature-Settings": f"key={name},algorithm=HMAC_SHA256",
        }


@dataclass
class Webhooks:
    """Asks, tells, and keeps a record of every attempt.

    `server`: where every public host really is, "http://127.0.0.1:6000"; "": where its name says.
    """

    tasks: Tasks
    signer: Signer
    timing: Timing
    changed: Callable[[], None]
    server: str = ""
    deliveries: list[Delivery] = field(default_factory=list)
    _client: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self._client = httpx.AsyncClient(
            verify=_tls(),
            trust_env=False,
            timeout=None,  # each attempt has its own limits
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30),
            headers={"User-Agent": "TwilioProxy/1.1", "Accept": "*/*", "X-Home-Region": "us1"},
        )

    async def close(self) -> None:
        await self._client.aclose()

    def real(self, url: str) -> tuple[str, str]:
        """Where a request to that URL is sent, and its Host header."""
        parts = urlsplit(url)
        if not self.server:
            return urlunsplit(parts._replace(fragment="")), parts.netloc
        server = urlsplit(self.server)
        real = parts._replace(scheme=server.scheme, netloc=server.netloc, fragment="")
        return urlunsplit(real), parts.netloc

    async def document(self, url: str, method: str, params: Mapping[str, str], faults: Faults) -> str:
        """The TwiML that the application answers with. Raises TwimlError."""
        delivery = await self.ask("voice", url, method, params, faults)
        if delivery.status is None:
            raise TwimlError(11205 if delivery.failure == "ct" else 11200, delivery.error or "no answer")
        if not delivery.ok:
            raise TwimlError(11200, f"HTTP {delivery.status}")
        kind = delivery.content_type.partition(";")[0].strip().lower()
        if kind not in _AS_TWIML:
            raise TwimlError(12300, f"Content-Type {kind or 'missing'}")
        return delivery.body

    def tell(self, kind: str, url: str, method: str, params: Mapping[str, str], faults: Faults) -> None:
        """A callback, in the background, as well or as badly as the faults say."""
        if url and not ({kind, ANY} & set(faults.webhook_drop)):
            self.tasks.spawn(self._tell(kind, url, method, params, faults), f"webhook {kind}")

    async def _tell(self, kind: str, url: str, method: str, params: Mapping[str, str], faults: Faults) -> None:
        try:
            await self.ask(kind, url, method, params, faults)
        except TwimlError as error:
            self.deliveries.append(Delivery(monotonic(), kind, method, url, params, "", 0, error=error.detail))

    async def ask(self, kind: str, url: str, method: str, params: Mapping[str, str], faults: Faults) -> Delivery:
        """The last attempt at a request. Raises TwimlError on an URL that nobody could ask."""
        if urlsplit(url).scheme not in ("http", "https"):
            raise TwimlError(11200, f"{url[:100]!r} is no http URL")
        overrides = Overrides.of(url)

        def of(table: Mapping[str, float]) -> float:
            return table.get(kind, table.get(ANY, 0))

        if delay := of(faults.webhook_delay_s):
            await asyncio.sleep(delay)
        token = "" if faults.no_tokens else str(uuid.uuid4())
        tokens = [token] * (1 + int(of(faults.webhook_duplicates)))
        tokens += [str(uuid.uuid4()) for _ in range(int(of(faults.webhook_new_tokens)))]
        asked = (self._ask(kind, url, method, params, each, overrides, faults) for each in tokens)
        return (await asyncio.gather(*asked))[-1]

    async def _ask(
        self, kind: str, url: str, method: str, params: Mapping[str, str], token: str, how: Overrides, faults: Faults
    ) -> Delivery:
        over = monotonic() + min(how.total_s, self.timing.webhook_ceiling_s)
        attempt = 0
        while True:
            attempt += 1
            delivery = Delivery(monotonic(), kind, method, url, params, token, attempt)
            await self._attempt(delivery, how, over, faults)
            left = over - monotonic()
            if attempt > how.retries or not how.retries_on(delivery.failure) or left <= self.timing.retry_pause_s:
                return delivery
            await asyncio.sleep(self.timing.retry_pause_s)

    async def _attempt(self, delivery: Delivery, how: Overrides, over: float, faults: Faults) -> None:
        """One request. The attempt is on record before its answer is."""
        self.deliveries.append(delivery)
        self.changed()
        url, host = self.real(delivery.url)
        pairs = list(delivery.params.items())
        random.shuffle(pairs)
        headers = {"Host": host, "I-Twilio-Idempotency-Token": delivery.token} if delivery.token else {"Host": host}
        body = None
        if delivery.method == "GET":
            asked = urlencode(pairs)
            url += ("&" if urlsplit(url).query else "?") + asked
            signed = delivery.url.partition("#")[0]
            headers |= self.signer.sign(signed + ("&" if urlsplit(signed).query else "?") + asked)
        else:
            body = urlencode(pairs).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
            headers |= self.signer.sign(delivery.url, delivery.params)
        try:
            async with asyncio.timeout(max(0.0, over - monotonic())):
                response = await self._client.request(
                    delivery.method,
                    url,
                    content=body,
                    headers=headers,
                    timeout=httpx.Timeout(how.read_s, connect=how.connect_s),
                )
            self._answered(delivery, response, faults)
        except TimeoutError:
            delivery.error = f"no answer within {monotonic() - delivery.at:.1f} s"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            delivery.error = f"{type(error).__name__}: {error}"
        delivery.latency = monotonic() - delivery.at
        self.changed()

    def _answered(self, delivery: Delivery, response: httpx.Response, faults: Faults) -> None:
        for name in (delivery.kind, ANY):
            if faults.webhook_lose.get(name, 0) > 0:
                faults.webhook_lose[name] -= 1
                delivery.error = "the answer was lost (fault)"
                return
        delivery.content_type = response.headers.get("content-type", "")
        with contextlib.suppress(UnicodeDecodeError):
            delivery.body = response.content.decode("utf-8-sig")
        if delivery.kind == "voice" and response.is_success and "content-length" not in response.headers:
            delivery.error = "12100: a chunked reply, which Twilio may cut off"
            return
        delivery.status = response.status_code
