"""Signed requests to the application: for TwiML documents, and callbacks about what has happened."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import httpx

from callflow.sandbox.common.faults import ANY, for_event
from callflow.sandbox.common.http_server import Tasks
from callflow.sandbox.common.webhooks import WebhookSender
from callflow.sandbox.twilio.errors import TwimlError
from callflow.sandbox.twilio.faults import Faults, Timing


_LIMITS: Final = {"ct": (100, 10000, 5000), "rt": (100, 15000, 15000), "tt": (100, 15000, 15000), "rc": (0, 5, 1)}
"""Twilio docs: range and default of the connection overrides, in ms; `rc` counts."""
_AS_TWIML: Final = ("text/xml", "application/xml", "text/html")


class Overrides(NamedTuple):
    """The connection overrides in the fragment of a webhook's URL, which is neither sent nor signed.

    https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
    """

    connect_s: float
    read_s: float
    total_s: float
    retries: int
    retried: frozenset[str]
    """The failures after which there is a retry: "ct", "rt", "4xx", "5xx", "all"."""

    @classmethod
    def from_url(cls, url: str) -> Overrides:
        """Read the fragment of a URL. Raises TwimlError for values that Twilio would not accept."""
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
        """Return whether there is a retry after that failure ("": there was none)."""
        return reason in self.retried or ("all" in self.retried and bool(reason))


@dataclass(slots=True)
class Delivery:
    """One attempt at one request. `at` is in monotonic seconds.

    `status` is None until it is answered, and stays so if it never is.
    """

    at: float
    kind: str
    """"voice", "status", "stream", "amd" or "recording"."""
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
        """Whether the answer was a 2xx."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def failure(self) -> str:
        """What failed, as the connection overrides name it: "ct", "rt", "4xx", "5xx", or ""."""
        if self.status is None:
            return "ct" if (self.error or "").startswith("Connect") else "rt"
        return f"{self.status // 100}xx" if self.status >= 400 else ""


@dataclass
class Signer:
    """Signs requests (https://www.twilio.com/docs/usage/webhooks/webhooks-security).

    Twilio docs: HMAC-SHA1 of the URL and all parameters, keyed by the account's auth token; or, with a shared key,
    HMAC-SHA256 keyed by its secret.
    """

    auth_token: str
    shared_key: tuple[str, str] | None = None
    """Id and secret; None: the auth token signs."""
    accounts: Mapping[str, str] = field(default_factory=dict)
    """Auth tokens of other accounts by their SIDs."""

    def sign(self, url: str, params: Mapping[str, str] | None = None, *, account: str = "") -> dict[str, str]:
        """Return the headers for a POST of these parameters, or for a request without a body. `account`: whose token
        signs; "": that of the parameters, or the first one's."""
        text = url.partition("#")[0] + "".join(name + value for name, value in sorted((params or {}).items()))
        if self.shared_key is None:
            token = self.accounts.get(account or (params or {}).get("AccountSid", ""), self.auth_token)
            digest = hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()
            return {"X-Twilio-Signature": base64.b64encode(digest).decode()}
        name, secret = self.shared_key
        digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
        return {
            "X-Twilio-Signature": base64.b64encode(digest).decode(),
            "X-Twilio-Webhooks-Signature-Settings": f"key={name},algorithm=HMAC_SHA256",
        }


class Webhooks(WebhookSender[Delivery]):
    """Requests documents, sends callbacks, and keeps every attempt.

    Args:
        server: where requests to any host are really sent, such as "http://127.0.0.1:6000"; "": to that host.
    """

    def __init__(
        self, tasks: Tasks, signer: Signer, timing: Timing, changed: Callable[[], None], server: str = ""
    ) -> None:
        super().__init__(tasks, changed, {"User-Agent": "TwilioProxy/1.1", "Accept": "*/*", "X-Home-Region": "us1"})
        self.signer = signer
        self.timing = timing
        self.server = server
        self.hosts: dict[str, str] = {}
        """Where requests to single hosts are really sent, whatever `server` says."""

    def server_of(self, host: str) -> str:
        """Return where requests to this host are really sent; "": to where its name leads."""
        return self.hosts.get(host, self.server)

    def _route(self, url: str) -> tuple[str, str]:
        """Where a request to that URL is sent, and its Host header."""
        parts = urlsplit(url)
        if not (found := self.server_of(parts.netloc)):
            return urlunsplit(parts._replace(fragment="")), parts.netloc
        server = urlsplit(found)
        routed = parts._replace(scheme=server.scheme, netloc=server.netloc, fragment="")
        return urlunsplit(routed), parts.netloc

    async def document(self, url: str, method: str, params: Mapping[str, str], faults: Faults) -> str:
        """Request a document and return its TwiML. Raises TwimlError."""
        delivery = await self.request("voice", url, method, params, faults)
        if delivery.status is None:
            raise TwimlError(11205 if delivery.failure == "ct" else 11200, delivery.error or "no answer")
        if not delivery.ok:
            raise TwimlError(11200, f"HTTP {delivery.status}")
        kind = delivery.content_type.partition(";")[0].strip().lower()
        if kind not in _AS_TWIML:
            raise TwimlError(12300, f"Content-Type {kind or 'missing'}")
        return delivery.body

    def notify(
        self, kind: str, url: str, method: str, params: Mapping[str, str], faults: Faults, event: str = ""
    ) -> None:
        """Send a callback in the background, as the faults allow."""
        if url and not ({kind, f"{kind}:{event}", ANY} & set(faults.webhook_drop)):
            self.tasks.spawn(self._notify(kind, url, method, params, faults, event), f"webhook {kind}")

    async def _notify(
        self, kind: str, url: str, method: str, params: Mapping[str, str], faults: Faults, event: str
    ) -> None:
        try:
            await self.request(kind, url, method, params, faults, event)
        except TwimlError as error:
            self.deliveries.append(Delivery(monotonic(), kind, method, url, params, "", 0, error=error.detail))

    async def request(
        self, kind: str, url: str, method: str, params: Mapping[str, str], faults: Faults, event: str = ""
    ) -> Delivery:
        """Make a request, with retries, and return its last attempt. Raises TwimlError for what is no http URL."""
        if urlsplit(url).scheme not in ("http", "https"):
            raise TwimlError(11200, f"{url[:100]!r} is no http URL")
        overrides = Overrides.from_url(url)
        one = f"{kind}:{event}"
        if delay := faults.webhook_delay_s.get(one, for_event(faults.webhook_delay_s, kind, 0.0)):
            await asyncio.sleep(delay)
        token = "" if faults.no_tokens else str(uuid.uuid4())
        tables = faults.webhook_duplicates, faults.webhook_new_tokens
        again, new = (table.get(one, for_event(table, kind, 0)) for table in tables)
        tokens = [token] * (1 + again) + [str(uuid.uuid4()) for _ in range(new)]
        requests = (self._request(kind, url, method, params, each, overrides, faults) for each in tokens)
        return (await asyncio.gather(*requests))[-1]

    async def _request(
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
        """Make one request. The attempt is in `deliveries` before it is answered."""
        self.deliveries.append(delivery)
        self.changed()
        url, host = self._route(delivery.url)
        pairs = list(delivery.params.items())
        random.shuffle(pairs)
        headers = {"Host": host, "I-Twilio-Idempotency-Token": delivery.token} if delivery.token else {"Host": host}
        body = None
        if delivery.method == "GET":
            query = urlencode(pairs)
            url += ("&" if urlsplit(url).query else "?") + query
            signed = delivery.url.partition("#")[0]
            url_signed = signed + ("&" if urlsplit(signed).query else "?") + query
            headers |= self.signer.sign(url_signed, account=delivery.params.get("AccountSid", ""))
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
        except asyncio.CancelledError:
            delivery.error = "the call went on without the answer"
            raise
        finally:
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
