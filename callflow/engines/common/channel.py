"""Shared by the modules of one session: sending to the server, reporting to the call, timers, counters, and the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec

from callflow.contracts.engine import EngineListener, ErrorReported, SessionContext, SessionLost
from callflow.contracts.secret_text import Secrets
from callflow.engines.common.engine_socket import EngineSocket
from callflow.timers import Timers


log = logging.getLogger(__name__)

_LARGE: Final = 2 << 10
"""Bytes of an event for which room is made among what may wait: events of a session's course are smaller."""


class Channel:
    """Sends client events to the server and engine events to the call."""

    def __init__(self, context: SessionContext, notify: EngineListener, secrets: Secrets) -> None:
        """`secrets`: removed from all texts."""
        self.call, self.session, self.tap = context.call, context.session, context.tap
        self.notify = notify
        """Reports an event to the call."""
        self.secrets = secrets
        self.socket: EngineSocket | None = None
        """None: it is not open."""
        self.is_debugging = log.isEnabledFor(logging.DEBUG)
        """Every event except audio is logged in a few words."""
        self.is_over = False
        """The call has ended. No event is sent any more, except `response.cancel` for a response that the server
        begins."""
        self.is_closed = False
        self._warns = True
        """The next event that cannot be read is worth a warning."""
        self.lost: asyncio.Future[SessionLost] | None = None
        """A future of the reason of the end; created when the session begins."""
        self._timers = Timers()

    def send(self, event: dict[str, Any], *, after_end: bool = False) -> None:
        """Send a client event. `after_end`: even when the call has ended.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events
        """
        if self.socket is None or (self.is_over and not after_end):
            return
        if self.is_debugging:
            names = (event.get(name) for name in ("type", "event_id", "response_id", "item_id"))
            log.debug("call %s: to engine %d: %s", self.call, self.session, " ".join(name for name in names if name))
        if self.tap.watcher is not None:
            self.tap.watcher.event("to_model", event["type"], event, self.secrets.safe_text)
        text = msgspec.json.encode(event)
        if len(text) > _LARGE:  # a picture, the conversation of the session before
            self.socket.allow(len(text))
        self.socket.put(text.decode())

    def report(self, code: str, message: str) -> None:
        """Report an error that does not end the session to the call."""
        self.notify(ErrorReported(code, message))

    def cannot_read(self, why: Exception) -> None:
        """Log that an event of the server cannot be read, and is passed over; all but a session's first at debug."""
        level, self._warns = logging.WARNING if self._warns else logging.DEBUG, False
        if log.isEnabledFor(level):
            said = self.secrets.safe_text(str(why))[:200]
            log.log(level, "call %s: engine %d: an event cannot be read: %s", self.call, self.session, said)

    def give_up(self, reason: str, *, retry: bool = True) -> None:
        """End the session. `retry`: another session may succeed. Only the first reason counts."""
        if self.lost is not None and not self.lost.done():
            self.lost.set_result(SessionLost(self.secrets.safe_text(reason), retry))

    def start_timer(self, name: str, seconds: float, callback: Callable[[], object]) -> None:
        """Start a timer, in place of a running timer of the same name. After the call's end no timer starts."""
        self._timers.start(name, seconds, callback)

    def stop_timer(self, name: str) -> None:
        """Stop a timer, if it runs."""
        self._timers.stop(name)

    def is_timed(self, name: str) -> bool:
        """Return whether a timer of this name is running."""
        return self._timers.is_running(name)

    def end(self) -> None:
        """Note the end of the call: see `is_over`."""
        self.is_over = True
        self._timers.close()

    def close(self) -> None:
        """Stop all timers, and give up what was asked for."""
        self.is_closed = True
        self.give_up("closed")
        self._timers.close()
