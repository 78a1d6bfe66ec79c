"""The state of one emulated session, as its input, its responses and its event handlers share it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from websockets.asyncio.server import ServerConnection

from callflow.sandbox.openai_realtime import config as settings
from callflow.sandbox.openai_realtime.connection import Connection
from callflow.sandbox.openai_realtime.errors import Refusal
from callflow.sandbox.openai_realtime.faults import Faults, Quirks
from callflow.sandbox.openai_realtime.items import Conversation, Item, Tokens
from callflow.sandbox.openai_realtime.script import Pace, Script


log = logging.getLogger(__name__)

TOKENS_A_MINUTE: Final = 40000
"""The limit from which `rate_limits.updated` counts down."""


class SessionState(Connection):
    """The connection, the configuration, the conversation and the tasks of a session.

    Args:
        socket: the WebSocket, after its handshake.
        number: of the connection, from 1.
        model: as the client asked for it.
        transcription: whether it is a transcription session.
        faults: returns the server's faults, which may change during a session.
    """

    def __init__(
        self,
        socket: ServerConnection,
        number: int,
        *,
        model: str,
        transcription: bool,
        script: Script,
        pace: Pace,
        quirks: Quirks,
        faults: Callable[[], Faults],
    ) -> None:
        super().__init__(socket, number, faults)
        self.id = self.new_id("sess")
        self.conversation_id = self.new_id("conv")
        self.script = script
        self.pace = pace
        self.quirks = quirks
        self.jitter = pace.jitter_source(number)
        promised = quirks.session_seconds if quirks.expires_at_in is None else quirks.expires_at_in
        expires_at = int(time.time() + promised)
        self.config: dict[str, Any] = settings.defaults(self.id, model, expires_at, quirks, transcription=transcription)
        """The effective session object, as `session.updated` shows it."""
        self.conversation = Conversation()
        self.generated: dict[str, bytearray] = {}
        """All audio that was sent of each assistant item, in the session's format, also of what was truncated later."""
        self.voice_locked = False
        """Set by the first audio of the model; from then on the voice cannot change."""
        self._cached = Tokens()
        """The conversation as the last completed response left it: what the next one finds in the cache."""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def items(self) -> list[Item]:
        """The items of the conversation, in order."""
        return self.conversation.items

    def now(self) -> float:
        """Return the time of the event loop's clock, in seconds."""
        return self._loop.time()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that ends with the session at the latest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("sandbox session %d: a task failed", self.number, exc_info=task.exception())

    async def cancel_tasks(self, *others: asyncio.Task[None]) -> None:
        """Cancel all tasks, and those `others`, and wait for their end."""
        tasks = [*others, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def fail(self, code: str, message: str, *, kind: str = "invalid_request_error") -> None:
        """Send an `error` that answers no client event."""
        self.emit("error", error=Refusal(message, code, kind=kind).error(None))

    # -- tokens

    def input_tokens(self, params: dict[str, Any]) -> Tokens:
        """Count what the model reads for a response: instructions, tools and the whole conversation, every time."""
        instructions = params.get("instructions", self.config["instructions"])
        tools = str(params.get("tools", self.config["tools"]) or "")
        context = self.conversation.tokens() if "input" not in params else Tokens()
        return Tokens(-(-(len(instructions) + len(tools)) // 4)) + context

    def cached_tokens(self, taken: Tokens) -> Tokens:
        """Count the part of `taken` that the last response had too, in blocks of 64."""
        return Tokens(
            min(taken.text, self._cached.text) // 64 * 64,
            min(taken.audio, self._cached.audio) // 64 * 64,
        )

    def emit_rate_limits(self, tokens: int) -> None:
        """Send `rate_limits.updated` after so many tokens, unless the quirks forbid it."""
        if self.quirks.rate_limits == "never":
            return
        limits = {
            "name": "tokens",
            "limit": TOKENS_A_MINUTE,
            "remaining": max(0, TOKENS_A_MINUTE - tokens),
            "reset_seconds": round(tokens / TOKENS_A_MINUTE * 60, 3),
        }
        self.emit("rate_limits.updated", rate_limits=[limits])
