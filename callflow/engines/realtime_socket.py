"""The WebSocket to OpenAI Realtime: opened with retries, within one deadline."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_before_delay, wait_exponential_jitter
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

from callflow.engines.session_config import RealtimeConfig, session_url
from callflow.errors import EngineError


log = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 0.3
_MOST_MESSAGE: Final = 4 << 20
"""Bytes of one server event: a minute of PCM in one audio delta, which are far smaller."""
_RECEIVE_BYTES: Final = 32 << 10
"""A second of the model's audio is 11 kB as µ-law, 64 kB as PCM."""
_PING_SECONDS: Final = 3.0
"""A peer that hangs is noticed within twice that."""


async def open_socket(config: RealtimeConfig, call: str) -> ClientConnection:
    """Tries until the deadline: what 429 and 5xx say may pass; what other refusals say will not. Raises EngineError."""
    seconds = config.connect_seconds
    trouble = ["no answer came"]

    def before_sleep(state: RetryCallState) -> None:
        trouble[0] = str(state.outcome.exception()) if state.outcome else ""
        log.warning("call %s: %s; trying again", call, trouble[0])

    try:
        async with asyncio.timeout(seconds):
            async for attempt in AsyncRetrying(
                stop=stop_before_delay(seconds),
                wait=_wait,
                retry=retry_if_exception(lambda error: isinstance(error, EngineError) and error.retry),
                before_sleep=before_sleep,
                reraise=True,
            ):
                with attempt:
                    return await _open_once(config)
    except TimeoutError:
        raise EngineError(f"no connection to the engine within {seconds:g} s; {trouble[0]}") from None
    raise AssertionError("unreachable: the last attempt either returns or raises")


async def _open_once(config: RealtimeConfig) -> ClientConnection:
    try:
        connection = await connect(
            session_url(config),
            additional_headers={"Authorization": f"Bearer {config.api_key}"},
            compression=None,
            open_timeout=None,  # the deadline is over all tries
            close_timeout=CLOSE_SECONDS,
            max_size=_MOST_MESSAGE,
            max_queue=256,
            ping_interval=_PING_SECONDS,
            ping_timeout=_PING_SECONDS,
        )
        # What the kernel hands over at once is taken apart at once, and all calls wait for that.
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        return connection
    except InvalidStatus as error:
        status = error.response.status_code
        after = error.response.headers.get("Retry-After", "")
        raise EngineError(
            f"the engine refused the connection: HTTP {status}",
            retry=status in (408, 429) or status >= 500,
            wait=min(float(after), 5.0) if after.isascii() and after.isdigit() else 0.0,
        ) from None
    except (OSError, EOFError, WebSocketException) as error:
        # The rest of WebSocketException are addresses that no second try can mend.
        retry = isinstance(error, (OSError, EOFError, InvalidHandshake))
        what = f"the engine cannot be reached: {type(error).__name__}"
        raise EngineError(what, retry=retry) from None  # its own words may hold the address, with its query


_BACKOFF = wait_exponential_jitter(multiplier=0.2, max=2.0, jitter=0.1)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait if isinstance(error, EngineError) else 0.0
    return asked or _BACKOFF(state)
