"""The end of a call: the engine's session stays open for a moment, for pending transcripts."""

from __future__ import annotations

from collections.abc import Callable

from callflow.agent.engine_sessions import EngineSessions
from callflow.agent.late_transcripts import LEFT, TOO_LATE, LateTranscripts
from callflow.agent.transcripts import Transcripts
from callflow.agent.turn_manager import TurnManager
from callflow.contracts.engine import EngineEvent
from callflow.media.relay import Relay


class WindUp:
    """Waits for the last transcripts of one call."""

    def __init__(
        self,
        *,
        relay: Relay,
        turns: TurnManager,
        sessions: EngineSessions,
        transcripts: Transcripts,
        seconds: float,
        handle_event: Callable[[EngineEvent], None],
    ) -> None:
        """`seconds`: how long pending transcripts are awaited; 0: not at all. `handle_event`: receives the engine's
        events meanwhile."""
        self._relay, self._turns, self._sessions, self._transcripts = relay, turns, sessions, transcripts
        self._seconds, self._handle_event = seconds, handle_event
        self._late: LateTranscripts | None = None

    def begin(self) -> bool:
        """Keep the session open if transcripts are pending. Returns whether the session stays open."""
        sessions, turns = self._sessions, self._turns
        if not sessions.writes_down:
            return False
        speaking = turns.taking.caller_speaking or turns.dead_air.detector.is_alone
        if speaking or turns.taking.has_no_item:
            sessions.pending_transcripts.is_unplaced = True
        if not sessions.pending_transcripts or not self._seconds:
            return False
        if self._relay.frame_batcher is not None:
            self._relay.frame_batcher.flush()
        late = LateTranscripts(sessions.pending_transcripts, self._handle_event)
        if not sessions.wind_up(late, speaking=speaking):
            return False
        self._late, self._transcripts.is_late = late, True
        return True

    async def wait(self, seconds: float) -> None:
        """Wait until all transcripts have come, at most this many seconds."""
        if self._late is not None:
            await self._late.come(seconds)

    def give_up(self) -> None:
        """Stop waiting."""
        if self._late is not None:
            self._late.give_up()

    def close(self, *, for_good: bool) -> None:
        """Note the caller's turns that will get no transcript. Not `for_good`: another process continues the call."""
        if self._late is not None:
            self._late.close()
        if self._sessions.writes_down:
            for never in self._sessions.pending_transcripts.close(TOO_LATE if for_good else LEFT):
                self._transcripts.failed(never)
