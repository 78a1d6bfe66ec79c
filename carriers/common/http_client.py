"""One HTTP client for a carrier's REST API: a deadline for each try, and retries that do no harm.

Retried are failed connections, lost answers, 408, 429 and 5xx. The request is identical each time, so a carrier that
knows its command id executes it once. Where executing it twice would do harm, only what certainly had no effect is
retried: requests that were never sent, and 429. No other 4xx is retried.
"""

from __future__ import annotations

import asyncio
import email.utils
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from callflow import runtime
from callflow.contracts import secret_text
from callflow.contracts.command_fence import may_send
from callflow.contracts.errors import CarrierError, Refuses
from callflow.contracts.secret_text import Secrets


log = logging.getLogger(__name__)

_MOST_WAIT = 10.0
"""Seconds; no caller waits longer, whatever the carrier asks for."""
_MOST_AT_ONCE: Final = 100
"""Requests to a carrier. Whoever comes beyond waits here, and not in httpcore: there each request looks at all
connections for each that waits, so that a thousand hang-ups at the same moment took half a minute, and ran out of
time."""
_BACKOFF = wait_exponential_jitter(multiplier=0.25, max=2.0, jitter=0.1)

ReadError = Callable[[httpx.Response], CarrierError]
"""Turns an answer that is no success into a CarrierError."""


class Api:
    """A carrier's REST API: one base URL, and answers in JSON."""

    def __init__(
        self,
        base: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        read_error: ReadError,
        seconds: float,
        retries: int,
    ) -> None:
        """`base`: the address that paths are added to. `auth`: user and password. `read_error`: reads a refusal.
        `seconds`: for one try. `retries`: further tries after the first."""
        runtime.prepare_httpx()
        self._read_error = read_error
        self._secrets = Secrets([(headers or {}).get("Authorization", "").rpartition(" ")[2], *(auth or ())[1:]])
        self._seconds = seconds
        self._retries = retries
        self._client = httpx.AsyncClient(
            base_url=base.rstrip("/"),
            headers=dict(headers or {}),
            auth=auth,
            timeout=httpx.Timeout(seconds),
            limits=httpx.Limits(max_connections=_MOST_AT_ONCE, max_keepalive_connections=50),
            verify=runtime.tls(),
        )
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)
        self.retried = 0

    async def post(self, path: str, body: Mapping[str, Any], *, retries: int | None = None) -> Any:
        """Send JSON and return the decoded answer. Raises CarrierError when the last try failed.

        `retries`: another number of further tries.
        """
        return await self.request("POST", path, retries=retries, json=dict(body))

    async def request(
        self,
        method: str,
        path: str,
        *,
        retries: int | None = None,
        repeatable: bool | Literal["answered"] = True,
        **content: Any,
    ) -> Any:
        """Send `content` as httpx takes it (`json`, `data` for a form, `params`) and return the decoded answer.

        An answer that is no JSON is `{}`. Nothing is sent for a call that another node has: see
        `contracts/command_fence.py`.
        `repeatable`: the carrier may get the request twice without harm; "answered": only if it has answered the first.
        Raises CarrierError when the last try failed; `unknown`: the request may have had an effect all the same.
        """
        tries = 1 + (self._retries if retries is None else retries)
        retrying = AsyncRetrying(
            stop=stop_after_attempt(tries),
            wait=_wait,
            retry=retry_if_exception(lambda error: isinstance(error, CarrierError) and error.retry),
            before_sleep=self._before_sleep,
            reraise=True,
        )
        try:
            return await retrying(self._once, method, path, repeatable, content)
        except (CarrierError, asyncio.CancelledError) as error:
            # tenacity's frames hold the error, as it holds them: else only a garbage collection would free the call
            raise error.with_traceback(None) from None
        finally:
            retrying.iter_state.reset()  # its steps refer to it

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _once(
        self, method: str, path: str, repeatable: bool | Literal["answered"], content: Mapping[str, Any]
    ) -> Any:
        if not await may_send():
            raise CarrierError("another node has this call meanwhile", unknown=True)  # an earlier try may have come
        try:
            # each of httpx's own timeouts bounds one step only, so a very slow answer would pass them all
            async with self._turns, asyncio.timeout(self._seconds):
                response = await self._client.request(method, path, **content)
        except (httpx.HTTPError, TimeoutError) as error:
            unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
            message = f"no answer from the carrier ({type(error).__name__})"
            # httpx's text may hold the request
            retry = repeatable is True or unsent
            refuses: Refuses = "limit" if unsent else ""
            raise CarrierError(message, retry=retry, unknown=not unsent, refuses=refuses) from None
        del response.stream  # read to its end; it refers to the response, and only a garbage collection would free both
        log.debug("carrier command: %s answered HTTP %d", method, response.status_code)
        if response.is_success:
            try:
                return response.json()
            except (ValueError, RecursionError):
                return {}
        status = response.status_code
        failure = self._failure(response, content)
        failure.unknown = status == 408 or status >= 500
        failure.refuses = failure.refuses or _about(status)
        failure.retry = failure.retry or status == 429 or (bool(repeatable) and failure.unknown)
        if failure.retry:
            failure.wait = asked_to_wait(response.headers, limited=status == 429)
        raise failure

    def _failure(self, response: httpx.Response, content: Mapping[str, Any]) -> CarrierError:
        """Read a refusal; its text is left out when it holds a secret of the request."""
        failure = self._read_error(response)
        secrets = self._secrets.plus([*secret_text.sent(content), *content.get("auth", ())[1:]])
        if secrets.within(response.text):  # the whole text, because a part of a key would not be found
            failure.args = (f"HTTP {failure.status} {secret_text.NOT_SHOWN}",)
            failure.code = secrets.safe_text(failure.code, "")
        return failure

    def _before_sleep(self, state: RetryCallState) -> None:
        self.retried += 1
        error = state.outcome.exception() if state.outcome else None
        log.warning("carrier command failed, trying again: %s", error)


def not_its_own(status: int, is_own: bool, setting: str) -> str:
    """Return what is added to a refusal that has no code: a 404 that is not the carrier's own is that of a wrong
    address. `setting`: the one that has the address."""
    return f", and not in its own words: does {setting} lead to its API?" if status == 404 and not is_own else ""


def _about(status: int) -> Refuses:
    """Return what a refusal is about, where the carrier's own code does not say it."""
    if status in (401, 402):
        return "account"
    return "limit" if status in (408, 429) or status >= 500 else ""


def asked_to_wait(headers: httpx.Headers, *, limited: bool) -> float:
    """Return the seconds that `Retry-After` (seconds or a date) asks for, 10 at most, or 0. `limited`: or
    `x-ratelimit-reset`, which Telnyx may send with any answer, and which asks for nothing while there is room. Vendor:
    developers.telnyx.com, Rate limiting."""
    for name in ("retry-after", *(("x-ratelimit-reset",) if limited else ())):
        text = headers.get(name, "").strip()
        if not text:
            continue
        try:
            seconds = float(text)
        except ValueError:
            seconds = _seconds_until(text)
        if 0 < seconds < float("inf"):
            return min(seconds, _MOST_WAIT)
    return 0.0


def _seconds_until(date: str) -> float:
    parts = email.utils.parsedate_tz(date)
    try:
        return email.utils.mktime_tz(parts) - time.time() if parts else 0.0
    except (ValueError, OverflowError):
        return 0.0


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait if isinstance(error, CarrierError) else 0.0
    return asked or _BACKOFF(state)
