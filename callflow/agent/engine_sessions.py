"""The engine's sessions of one call, one after another: opened, replaced when they break, changed before they expire.

A session ends sooner than a call may. The next one is told what was said from our own record, never from the vendor's,
and it hears the caller's last two seconds where those were lost on the old one. A session whose end is known is left at
a moment when nobody speaks, for another that is open already: the caller hears nothing of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Protocol

from callflow.agent.late_transcripts import LateTranscripts, OwedTranscripts
from callflow.contracts.engine import (
    ContextItem,
    Engine,
    EngineCan,
    EngineEvent,
    MakeEngine,
    SessionContext,
    SessionExpiring,
    SessionLost,
    SessionReady,
)
from callflow.contracts.media import Key
from callflow.contracts.tools import ToolCall
from callflow.timers import Timers


log = logging.getLogger(__name__)

_CHANGE: Final = "change of sessions"
_KEPT_FRAMES: Final = 100
"""2 s of the caller's: what a new session hears of somebody who was speaking when the old one broke."""
_MOST_KEPT_FRAMES: Final = 300
"""6 s, of somebody whom the old session has not heard at all."""
_LOOK_SECONDS: Final = 0.1
"""How often to look for a quiet moment to change sessions in."""
_SPARE_SECONDS: Final = 1.0
"""So long before a session's own end it is left, quiet or not."""
_RETRY_SECONDS: Final = 1.0
"""Before another spare session is tried."""


class SessionListener(Protocol):
    """Whom the sessions tell what they hear: the agent."""

    @property
    def is_quiet(self) -> bool:
        """Nobody speaks, and no words are owed: a moment to change sessions in."""

    def session_context(self, number: int) -> SessionContext:
        """What the session of that number is opened with."""

    def context_items(self) -> Sequence[ContextItem | ToolCall]:
        """What was said so far, for a new session."""

    def hear(self, heard: EngineEvent) -> None:
        """Whatever else the present session says."""

    def ready(self) -> None:
        """The present session is configured."""

    def lost(self, lost: SessionLost) -> None:
        """It is gone."""

    def expiring(self, seconds: float) -> None:
        """It ends in so many seconds."""

    def changed_over(self, *, quiet: bool) -> None:
        """Another session speaks from now on."""


class EngineSessions:
    def __init__(
        self,
        call: str,
        make: MakeEngine,
        listener: SessionListener,
        own: Callable[[Coroutine[Any, Any, None], str], None],
    ) -> None:
        self._call, self._make, self._listener, self._own = call, make, listener, own
        self._loop = asyncio.get_running_loop()
        self.engine: Engine | None = None
        self.number = 0
        """Which session speaks, from 1; 0: none was opened yet."""
        self.is_ready = False
        self._opened = 0
        self._spare: Engine | None = None
        """The next session, opened beside the present one."""
        self._spare_number = 0
        self._spare_ready = False
        self._leave_by = 0.0
        self._timers = Timers()
        self._kept: deque[str] = deque(maxlen=_MOST_KEPT_FRAMES)
        self._keeps_all = False
        self._closed = False
        self.owed = OwedTranscripts()
        """What the caller has said and is not written down yet."""
        self._wrote_down = False
        """The last session that was ready did."""
        self._late: LateTranscripts | None = None
        """Whom the session speaks to when the call is over."""
        self.changes: dict[str, Any] = {}
        """What was changed in mid-call, by names of settings: it holds for all later sessions."""

    def connect(self) -> None:
        """Open a session: the first, or another in place of one that broke (the spare one, if there is one)."""
        self._wrote_down = self.writes_down
        self._drop(self.engine)
        self.owed.session_over()
        self.engine, self.is_ready = None, False
        if self._spare is not None:
            self._adopt_spare()
            if self.is_ready:
                self._listener.ready()
            return
        self._opened += 1
        self.number = self._opened
        self.engine = self._open(self.number)
        self._hand_over(self.engine)

    def rotate(self) -> None:
        """The session's end is known: open the next one now, and change when nobody speaks."""
        if self._spare is None and not self._closed:
            self._opened += 1
            self._spare_number, self._spare_ready = self._opened, False
            self._spare = self._open(self._spare_number)

    def append(self, payload: str) -> None:
        """A frame of the caller's, base64 of µ-law."""
        self._kept.append(payload)
        if self.engine is not None:
            self.engine.append(payload)

    def forget_audio(self) -> None:
        """What the caller said so far is known in words: no other session need hear it."""
        self._kept.clear()
        self._keeps_all = False

    def keep_audio(self) -> None:
        """What the caller said just now was not heard: the next session is to hear all that is left of it."""
        self._keeps_all = True

    # The present session, if there is one

    @property
    def is_there(self) -> bool:
        """There is a session, perhaps one that is not ready yet."""
        return self.engine is not None

    def can(self, what: EngineCan) -> bool:
        """Whether the present session can do that; without one, nothing need be done in its place."""
        return self.engine is None or what in self.engine.can

    @property
    def stops_itself(self) -> bool:
        """It stops its own response when it hears the caller."""
        return self.engine is not None and "interrupts_itself" in self.engine.can

    def request_response(self, instructions: str = "", *, lasting: bool = False, whole: bool = False) -> bool:
        """As `Engine.request_response`. Returns False where there is no session."""
        if self.engine is not None:
            self.engine.request_response(instructions, lasting=lasting, whole=whole)
        return self.is_there

    def add_context(self, items: Sequence[ContextItem | ToolCall]) -> None:
        """As `Engine.add_context`."""
        if self.engine is not None:
            self.engine.add_context(items)

    def truncate(self, key: Key, heard_ms: int) -> None:
        """Tell the session how much of a stretch was heard, if it is the one that said it."""
        if self.engine is not None and key.session == self.number and "truncates" in self.engine.can:
            self.engine.truncate(key.item, key.content, heard_ms)

    def cancel(self, response: str) -> None:
        """Stop a response."""
        if self.engine is not None and "cancels" in self.engine.can:
            self.engine.cancel(response)

    def finish_turn(self) -> None:
        """As `Engine.finish_turn`."""
        if self.engine is not None:
            self.engine.finish_turn()

    def set_turn_detection(self, on: bool) -> bool:
        """As `Engine.set_turn_detection`. Returns False where there is no session."""
        if self.engine is not None:
            self.engine.set_turn_detection(on)
        return self.is_there

    def answer_tool(self, call: str, output: str, *, speak: bool) -> None:
        """As `Engine.answer_tool`."""
        if self.engine is not None:
            self.engine.answer_tool(call, output, speak=speak)

    def update(self, changes: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
        """Change this session and those that follow, by names of settings. Returns what was taken (None: there is no
        session to change), and what was left out and why, a line each that begins with its name."""
        if self.engine is None:
            return None, ["there is no session yet"]
        left_out = self.engine.update(changes)
        refused = {line.split(" ", 1)[0] for line in left_out}
        taken = {name: value for name, value in changes.items() if name not in refused}
        self.changes |= taken
        return taken, left_out

    def stop(self) -> None:
        self._closed = True
        self._timers.stop(_CHANGE)

    def wind_up(self, late: LateTranscripts, *, speaking: bool) -> bool:
        """The call is over, and the session stays for the words that are still to come: with `speaking`, those of a
        caller who was cut off in the middle of them. False: there is no session that could write them down."""
        engine, spare, self._spare = self.engine, self._spare, None
        self.stop()
        self._drop(spare)
        if engine is None or not self.is_ready:
            return False
        self._late = late
        engine.wind_up(speaking=speaking)
        return True

    @property
    def writes_down(self) -> bool:
        """What the caller says, as far as anybody knows."""
        if self.engine is None or not self.is_ready:
            return self._wrote_down
        return "transcribes" in self.engine.can

    async def close(self) -> None:
        self.stop()
        await asyncio.gather(*(engine.close() for engine in (self.engine, self._spare) if engine is not None))

    def _open(self, number: int) -> Engine:
        engine = self._make(self._listener.session_context(number), lambda heard: self._hear(number, heard))
        if self.changes:
            engine.update(self.changes)
        self._own(self._run(engine, number), f"engine {number}")
        return engine

    async def _run(self, engine: Engine, number: int) -> None:
        try:
            await engine.run()
        except Exception as error:
            log.exception("call %s: the engine's adapter failed", self._call)
            self._hear(number, SessionLost(f"the adapter failed: {type(error).__name__}"))

    def _hand_over(self, engine: Engine) -> None:
        told = self._listener.context_items()
        if told:
            engine.add_context(told)
        skipped = 0 if self._keeps_all else max(len(self._kept) - _KEPT_FRAMES, 0)
        for payload in islice(self._kept, skipped, None):
            engine.append(payload)

    def _drop(self, engine: Engine | None) -> None:
        if engine is not None:
            self._own(engine.close(), "engine-close")

    def _adopt_spare(self) -> None:
        engine, self._spare = self._spare, None
        assert engine is not None
        self.engine, self.number, self.is_ready = engine, self._spare_number, self._spare_ready
        self._hand_over(engine)

    def _change_over(self) -> None:
        """When it is quiet; or when the old session has no time left."""
        if self._spare is None or not self._spare_ready or self._closed:
            return
        quiet = self._listener.is_quiet
        if not quiet and self._loop.time() < self._leave_by:
            self._timers.start(_CHANGE, _LOOK_SECONDS, self._change_over)
            return
        old = self.engine
        if quiet:
            self.forget_audio()
        self.owed.session_over()
        self._adopt_spare()
        self._drop(old)
        self._listener.changed_over(quiet=quiet)

    def _hear(self, number: int, heard: EngineEvent) -> None:
        if self._late is not None:
            if number == self.number:
                self._late.hear(heard)
        elif number == self.number:
            self.owed.heard(heard)
            match heard:
                case SessionReady():
                    self.is_ready = True
                    self._listener.ready()
                case SessionLost():
                    self._wrote_down, self.is_ready = self.writes_down, False
                    self._listener.lost(heard)
                case SessionExpiring(seconds=seconds):
                    self._leave_by = self._loop.time() + max(seconds - _SPARE_SECONDS, seconds / 2)
                    self._listener.expiring(seconds)
                case _:
                    self._listener.hear(heard)
        elif number == self._spare_number and self._spare is not None:
            if isinstance(heard, SessionReady):
                self._spare_ready = True
                self._change_over()
            elif isinstance(heard, SessionLost):
                self._spare = None
                log.warning("call %s: the session to take over is lost before it could: %s", self._call, heard.reason)
                if heard.retry and self._loop.time() < self._leave_by:
                    self._timers.start(_CHANGE, _RETRY_SECONDS, self.rotate)
