"""Opens the engine's sessions of one call, replaces lost sessions, and changes sessions before they expire.

A session may end sooner than the call. The next session gets the conversation so far. It also gets the caller's last
two seconds of audio if the lost session has not answered them (six, if it has missed a whole turn), with all that was
said while no session was ready: a session that never was has heard nothing. If the end of a session is known, the next
session is opened in advance, and the change is made at a moment when nobody speaks: the caller does not notice it.
Whether a lost session is replaced at all is decided in `call/machine/guards.py` (`may_reconnect`); how often to
connect, in `engines/breaker.py`.
"""

from __future__ import annotations

import asyncio
import binascii
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from callflow.agent.agent_state import AgentState
from callflow.agent.continued_speech import ContinuedSpeech
from callflow.agent.late_transcripts import LateTranscripts, PendingTranscripts
from callflow.agent.session_ids import SessionIds
from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    ContextImage,
    ContextPart,
    Engine,
    EngineCan,
    EngineEvent,
    MakeEngine,
    SessionContext,
    SessionExpiring,
    SessionLost,
    SessionReady,
)
from callflow.contracts.media import SpeechSegmentId
from callflow.contracts.tools import ToolCall
from callflow.media.g711 import BYTES_PER_MS, FRAME_BYTES
from callflow.timers import Timers


log = logging.getLogger(__name__)

_CHANGE: Final = "change of sessions"
_RECENT_BYTES: Final = 2000 * BYTES_PER_MS
"""2 s of the caller's audio, sent to a new session if the caller was speaking when the old session was lost."""
_MOST_RECENT_BYTES: Final = 6000 * BYTES_PER_MS
"""6 s, sent instead if the old session has missed a whole turn."""
_SPARE_BYTES: Final = 200 * BYTES_PER_MS
"""What is kept beyond that, so that not every frame makes room."""
_LOOK_SECONDS: Final = 0.1
"""Interval of the checks whether the moment is quiet enough for a change of sessions."""
_CHANGE_BEFORE_SECONDS: Final = 1.0
"""At this time before the session's end the change is made even if somebody speaks."""
_RETRY_SECONDS: Final = 1.0
"""The pause before opening a next session is tried again."""
MOST_IMAGES: Final = 4
"""Pictures that a next session is shown again."""


class SessionListener(Protocol):
    """The agent, as the sessions use it."""

    @property
    def is_quiet(self) -> bool:
        """Whether nobody speaks and no answer is due: a moment for the change of sessions."""

    def session_context(self, number: int) -> SessionContext:
        """Return the context with which the session of this number is opened."""

    def context_items(self) -> Sequence[ContextPart]:
        """Return the conversation so far, for a new session."""

    def handle_event(self, heard: EngineEvent) -> None:
        """Handle any other event of the present session."""

    def ready(self) -> None:
        """Note that the present session is configured."""

    def lost(self, lost: SessionLost) -> None:
        """Note that the present session is lost."""

    def expiring(self, seconds: float) -> None:
        """Note that the present session will end in this many seconds."""

    def changed_over(self, *, quiet: bool) -> None:
        """Note that the next session has become the present one. `quiet`: nobody spoke at the change."""


@dataclass(slots=True)
class _Next:
    """A session that is opened while the present one is still used."""

    number: int
    engine: Engine
    ids: SessionIds
    is_ready: bool = False


class EngineSessions:
    """The present session of a call, and the next one if it is open already."""

    def __init__(
        self,
        call: str,
        make: MakeEngine,
        listener: SessionListener,
        continued: ContinuedSpeech,
        own: Callable[[Coroutine[Any, Any, None], str], None],
        buffer_seconds: float,
    ) -> None:
        """`buffer_seconds`: how much of the caller's audio is kept while no session is ready; at least 6 s."""
        self._call, self.make, self._listener, self._continued, self._own = call, make, listener, continued, own
        self._loop = asyncio.get_running_loop()
        self.engine: Engine | None = None
        self.number = 0
        """The number of the present session, from 1; 0: no session was opened yet."""
        self.is_ready = False
        self._ids = SessionIds(1)
        """The ids of the present session."""
        self._ids_before = 0
        """How many sessions had ids in earlier processes."""
        self._opened = 0
        self._next_session: _Next | None = None
        self._leave_by = 0.0
        self._timers = Timers()
        self._recent_audio = bytearray()  # not base64 in pieces: that takes almost twice the memory
        self._most_unheard = max(int(buffer_seconds * 1000 * BYTES_PER_MS), _MOST_RECENT_BYTES)
        self._most_recent = self._most_unheard
        """Bytes of it that are kept at present."""
        self._keeps_all = False
        self._closed = False
        self.pending_transcripts = PendingTranscripts()
        """The caller's turns without a transcript."""
        self._wrote_down = False
        """The last session that was ready transcribes the caller's words."""
        self._images: list[ContextImage] = []
        self._late: LateTranscripts | None = None
        """Handles the session's events after the end of the call."""
        self.was_there = False
        """There was a session beside this call before: the conversation is there already."""
        self.chosen = ""
        """The second engine, to which an earlier process had come."""
        self.resumed = False
        """That was so when the present session was opened."""
        self.changes: dict[str, Any] = {}
        """Settings changed during the call, by name; they hold for all later sessions."""

    def restore(self, state: AgentState) -> None:
        """Continue where the sessions of another process have ended."""
        self.changes |= state.changes
        self.chosen = state.engine
        self._ids_before = state.last_session
        self._ids = SessionIds(self._ids_before)

    def connect(self) -> None:
        """Open a session: the first, or a replacement for a lost session. A next session that is open already is
        used."""
        self._wrote_down = self.writes_down
        self._drop(self.engine)
        self.pending_transcripts.session_over()
        self._not_ready()
        self._most_recent = self._most_unheard  # less is kept while nobody is to hear the caller: see `leave`
        self.engine = None
        if self._next_session is not None:
            self._adopt_next_session()
            if self.is_ready:
                self._listener.ready()
            return
        self._opened += 1
        self.number = self._opened
        self.engine, self._ids = self._open(self.number)
        self._send_context(self.engine)

    def leave(self) -> None:
        """Close the present session; the next one begins with what is known by then."""
        engine, next_session = self.engine, self._next_session
        self.engine, self._next_session, self.is_ready = None, None, False
        self._timers.stop(_CHANGE)
        self.forget_audio()
        self._most_recent = _RECENT_BYTES
        self._drop(engine)
        self._drop(next_session)

    def connect_anew(self) -> None:
        """Open a session that hears nothing of what was said before, and is not replaced before its time."""
        next_session, self._next_session = self._next_session, None
        self._drop(next_session)
        self.forget_audio()
        self.connect()

    def rotate(self) -> None:
        """Open the next session, because the present session will end; change to it when nobody speaks."""
        if self._next_session is None and not self._closed:
            self._opened += 1
            self._next_session = _Next(self._opened, *self._open(self._opened))

    def append(self, payload: str, audio: bytes) -> None:
        """Send a frame of the caller's audio, base64 of µ-law, and keep the last 6 s for the next session, or all
        that no session has heard. `audio`: the same audio decoded."""
        recent = self._recent_audio
        recent += audio
        if len(recent) > self._most_recent + _SPARE_BYTES:
            del recent[: -self._most_recent]
        if self.engine is not None:
            self.engine.append(payload)

    def key(self, heard: AudioDelta | AudioDone) -> SpeechSegmentId:
        """Return the id of the stretch of which the present session has sent this."""
        return SpeechSegmentId(heard.item, heard.content, self.number)

    @property
    def recent_audio(self) -> bytes:
        """What the caller said last, and is not known as text: µ-law, 6 s at most, or all that no session has heard."""
        return bytes(self._recent_audio[-self._most_recent :])

    def forget_audio(self) -> None:
        """Drop the recent audio: its words are known as text, so the next session does not need it."""
        if self._recent_audio:
            self._recent_audio.clear()
        self._keeps_all = False

    def keep_audio(self) -> None:
        """Make the next session get all recent audio, because the present session has missed the caller's turn."""
        self._keeps_all = True

    # The present session, if there is one

    @property
    def is_there(self) -> bool:
        """Whether there is a session, ready or not."""
        return self.engine is not None

    def can(self, what: EngineCan) -> bool:
        """Return whether the present session has this capability. True without one: no substitute is needed then."""
        return self.engine is None or what in self.engine.can

    def has(self, what: EngineCan) -> bool:
        """Return whether there is a session with this capability."""
        return self.engine is not None and what in self.engine.can

    def request_response(self, instructions: str = "", *, lasting: bool = False, whole: bool = False) -> bool:
        """Call `Engine.request_response` of the present session. Returns False if there is none."""
        if self.engine is not None:
            self.engine.request_response(instructions, lasting=lasting, whole=whole)
        return self.is_there

    def withdraw(self) -> Mapping[str, bool]:
        """Call `Engine.withdraw` of the present session, if there is one."""
        return {} if self.engine is None else self.engine.withdraw()

    def show(self, image: ContextImage) -> None:
        """Show a picture to this and later sessions, of which each gets the newest four."""
        self._images = [*self._images, image][-MOST_IMAGES:]
        self.add_context([image])

    def remember(self, images: Sequence[ContextImage]) -> None:
        """Show pictures of an earlier process to coming sessions."""
        self._images = [*images, *self._images][-MOST_IMAGES:]

    def add_context(self, items: Sequence[ContextPart]) -> None:
        """Call `Engine.add_context` of the present session, if there is one."""
        if self.engine is not None:
            self.engine.add_context(self._ids.of_items(items))

    def truncate(self, key: SpeechSegmentId, heard_ms: int) -> None:
        """Report to the present session how many ms of a stretch were heard, if the stretch is from this session."""
        if self.engine is not None and key.session == self.number and "truncates" in self.engine.can:
            self.engine.truncate(self._ids.of_session(key.item), key.content, heard_ms)

    def cancel(self, response: str) -> None:
        """Stop a response of the present session."""
        if self.engine is not None:
            self.engine.cancel(self._ids.of_session(response))

    def finish_turn(self) -> None:
        """Call `Engine.finish_turn` of the present session, if there is one."""
        if self.engine is not None:
            self.engine.finish_turn()

    def set_turn_detection(self, on: bool) -> bool:
        """Call `Engine.set_turn_detection` of the present session, and of the next one if it is open already. Returns
        False if there is no present session."""
        if self.engine is not None:
            self.engine.set_turn_detection(on)
            if self._next_session is not None:
                self._next_session.engine.set_turn_detection(on)
        return self.is_there

    def answer_tool(self, call: str, output: str, *, speak: bool) -> None:
        """Call `Engine.answer_tool` of the present session, if there is one."""
        if self.engine is not None:
            self.engine.answer_tool(self._ids.of_session(call), output, speak=speak)

    def update(self, changes: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
        """Change this and later sessions; `changes`: values by setting. Returns the changes made (None: there is no
        session), and a line for each change left out: setting and reason."""
        if self.engine is None:
            return None, ["there is no session yet"]
        left_out = self.engine.update(changes)
        refused = {line.split(" ", 1)[0] for line in left_out}
        taken = {name: value for name, value in changes.items() if name not in refused}
        self.changes |= taken
        if taken and self._next_session is not None:  # it was opened with the earlier changes
            self._next_session.engine.update(taken)
        return taken, left_out

    def stop(self) -> None:
        """Make no further change of sessions."""
        self._closed = True
        self._continued.stop()
        self._timers.stop(_CHANGE)

    def wind_up(self, late: LateTranscripts, *, speaking: bool) -> bool:
        """Keep the present session open for pending transcripts; `speaking`: the caller had not finished. Returns False
        if no session is ready."""
        engine, next_session, self._next_session = self.engine, self._next_session, None
        self.stop()
        self._drop(next_session)
        if engine is None or not self.is_ready:
            return False
        self._late = late
        engine.wind_up(speaking=speaking)
        return True

    @property
    def writes_down(self) -> bool:
        """Whether the present session transcribes the caller's words; without one, whether the last session did."""
        if self.engine is None or not self.is_ready:
            return self._wrote_down
        return "transcribes" in self.engine.can

    async def close(self) -> None:
        """Close all sessions, and let go of them."""
        self.stop()
        self._wrote_down = self.writes_down
        next_session = self._next_session.engine if self._next_session is not None else None
        open_sessions = [engine for engine in (self.engine, next_session) if engine is not None]
        self.engine = self._next_session = None
        await asyncio.gather(*(engine.close() for engine in open_sessions))

    def _open(self, number: int) -> tuple[Engine, SessionIds]:
        context = self._listener.session_context(number)
        self.resumed = context.was_there
        ids = self._ids if self.resumed else SessionIds(self._ids_before + number)
        told = partial(self._handle_event, number)
        engine = self.make(context, told if ids.are_plain else lambda heard: told(ids.marked(heard)))
        if self.changes:
            engine.update(self.changes)
        self._own(self._run(engine, number), f"engine {number}")
        return engine, ids

    async def _run(self, engine: Engine, number: int) -> None:
        try:
            await engine.run()
        except Exception as error:
            log.exception("call %s: the engine's adapter failed", self._call)
            self._handle_event(number, SessionLost(f"the adapter failed: {type(error).__name__}"))

    def _send_context(self, engine: Engine) -> None:
        images = self._images if "sees_images" in engine.can else []
        told = [*images, *self._listener.context_items()]
        if self.resumed:
            told = [item for item in told if isinstance(item, ToolCall)]
        if told:
            engine.add_context(self._ids.of_items(told))
        audio = self.recent_audio
        for start in range(0, len(audio), FRAME_BYTES):
            engine.append(binascii.b2a_base64(audio[start : start + FRAME_BYTES], newline=False).decode("ascii"))

    def _drop(self, session: Engine | _Next | None) -> None:
        if session is not None:
            engine = session.engine if isinstance(session, _Next) else session
            self._own(engine.close(), "engine-close")

    def _is_ready_now(self) -> None:
        self.is_ready, self._most_recent = True, _MOST_RECENT_BYTES

    def _not_ready(self) -> None:
        """Note that the present session hears nothing any more. The next one gets what is left of the recent audio, and
        all that follows."""
        if self.is_ready:
            del self._recent_audio[: -(_MOST_RECENT_BYTES if self._keeps_all else _RECENT_BYTES)]
            self.is_ready, self._most_recent = False, self._most_unheard

    def _adopt_next_session(self) -> None:
        self._not_ready()
        adopted, self._next_session = self._next_session, None
        assert adopted is not None
        self.engine, self.number, self._ids = adopted.engine, adopted.number, adopted.ids
        self._send_context(adopted.engine)
        if adopted.is_ready:
            self._is_ready_now()

    def _change_over(self) -> None:
        """Change to the next session if nobody speaks or the old session has no time left; otherwise check again
        later."""
        if self._next_session is None or not self._next_session.is_ready or self._closed:
            return
        quiet = self._listener.is_quiet
        if not quiet and self._loop.time() < self._leave_by:
            self._timers.start(_CHANGE, _LOOK_SECONDS, self._change_over)
            return
        old = self.engine
        if quiet:
            self.forget_audio()
        self.pending_transcripts.session_over()
        self._adopt_next_session()
        self._drop(old)
        self._listener.changed_over(quiet=quiet)

    def _handle_event(self, number: int, heard: EngineEvent) -> None:
        if type(heard) is AudioDelta and number == self.number and self._continued.plays(heard):
            if self._recent_audio:
                self._recent_audio.clear()
            return
        if self._late is not None:
            if number == self.number:
                self._late.handle_event(heard)
        elif number == self.number:
            if type(heard) is AudioDelta:
                self._listener.handle_event(heard)
                return
            self.pending_transcripts.handle_event(heard)
            match heard:
                case SessionReady():
                    self._is_ready_now()
                    self._listener.ready()
                case SessionLost():
                    self._wrote_down = self.writes_down
                    self._not_ready()
                    self._listener.lost(heard)
                case SessionExpiring(seconds=seconds):
                    self._leave_by = self._loop.time() + max(seconds - _CHANGE_BEFORE_SECONDS, seconds / 2)
                    self._listener.expiring(seconds)
                case _:
                    self._listener.handle_event(heard)
        elif self._next_session is not None and number == self._next_session.number:
            if isinstance(heard, SessionReady):
                self._next_session.is_ready = True
                self._change_over()
            elif isinstance(heard, SessionLost):
                self._next_session = None
                log.warning("call %s: the session to take over is lost before it could: %s", self._call, heard.reason)
                if heard.retry and self._loop.time() < self._leave_by:
                    self._timers.start(_CHANGE, _RETRY_SECONDS, self.rotate)
