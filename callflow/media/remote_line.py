"""The line of a call whose audio never comes here: it stands where the relay of another call is.

The caller's audio goes straight between carrier and engine. So there is no media socket, no sound of ours, and nothing
that could be recorded, gated or listened to. What the caller hears is what the engine tells (`PlayoutBegan`,
`PlayoutEnded`); how far they have come in the middle of it is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from callflow.contracts import events
from callflow.contracts.media import Cut
from callflow.media.playout import Playout
from callflow.media.relay import Relay
from callflow.timers import Timers


ENCODING: Final = "remote"
"""The encoding of such a call's stream, in its journal."""
_BEGIN_SECONDS: Final = 3.0
"""How long speech may be on its way to the caller, before it is taken for never played."""


class RemoteLinePlayout(Playout):
    """What the caller hears, as far as the engine says. Times are in seconds of the loop's clock."""

    def __init__(self) -> None:
        super().__init__(lead_ms=0, mark_every_ms=0)
        self.playing: dict[str, None] = {}
        """The responses that the caller hears now."""
        self.due_by = 0.0
        """Until when speech that was generated may begin to be heard, on the loop's clock."""
        self._has_played = False

    def is_unplayed(self, now: float) -> bool:
        """Return whether the caller hears speech, or will in a moment."""
        return bool(self.playing) or now < self.due_by

    def position(self, now: float) -> int:
        """Return more than 0 if anything was played since the last interruption; not how much."""
        return int(self._has_played or bool(self.playing))

    def ends_at(self, now: float) -> float:
        """Return the present: when the speech ends is not known."""
        return now

    def began(self, response: str) -> None:
        """Note that the caller begins to hear a response."""
        self.playing[response] = None
        self.due_by, self._has_played = 0.0, True

    def ended(self, response: str, *, cut: bool) -> None:
        """Note that the caller hears nothing more of it."""
        self.playing.pop(response, None)
        self._has_played = self._has_played and not cut

    def forget(self) -> None:
        """Forget what is played: nothing tells of it any more."""
        self.playing.clear()
        self.due_by = 0.0

    def interrupt(self, now: float) -> list[Cut]:
        """Return nothing: what was cut, the engine tells later."""
        super().interrupt(now)
        self.due_by, self._has_played = 0.0, False
        return []


class RemoteLine(Relay):
    """The line of one such call."""

    playout: RemoteLinePlayout
    is_remote = True

    def __init__(self, **about: Any) -> None:
        """`about`: as of `Relay`."""
        super().__init__(**about)
        self.playout = RemoteLinePlayout()
        self.stop: Callable[[str], object] = lambda response: None
        """Stops a response, and what is played of it."""
        self.say_last: Callable[[str], bool | None] = lambda text: False
        """Lets the agent say the sentence that ends the call. Returns False if it cannot."""
        self._is_attached = False
        self._when_answered: list[Callable[[], None]] = []
        self._last = ""
        """The sentence that ends the call, by the name of its clip, until a response with it has begun."""
        self._last_response = ""
        self._timers_here = Timers()

    @property
    def remote(self) -> str:
        """The carrier's id of the call."""
        return self._ids().control

    @property
    def is_flowing(self) -> bool:
        """Whether there is a session beside the call, so that the agent can speak."""
        return self._is_attached

    # The call's life

    def when_answered(self, begin: Callable[[], None]) -> None:
        """Call this once the call is answered: before that there is no session that it could open."""
        if self.answered_at is not None:
            begin()
        else:
            self._when_answered.append(begin)

    def answered(self, *, ago: float = 0.0) -> None:
        """Note that the call was answered."""
        super().answered(ago=ago)
        waiting, self._when_answered = self._when_answered, []
        for begin in waiting:
            begin()

    def attach(self) -> None:
        """Note that there is a session beside the call, which is what this call has for a stream."""
        if self._is_attached:
            return
        self._is_attached, now = True, self._clock()
        self.answered_at = self.answered_at or now
        self.post(events.MediaStarted(encoding=ENCODING))
        if self.listener is not None:
            self.listener.stream_started(now)

    def detach(self) -> None:
        """Note that the agent does not have the caller any more."""
        self._is_attached = False
        self.playout.forget()
        if self.listener is not None:
            self.listener.stream_paused()

    async def close(self) -> None:
        """Stop for good."""
        self._timers_here.close()
        self._when_answered.clear()
        await super().close()

    # What is played

    def expect(self) -> None:
        """Note that the engine generates speech, which the caller is about to hear."""
        if not self.playout.playing:
            self.playout.due_by = self._clock() + _BEGIN_SECONDS
            self._unplayed = True
            self._timers_here.start("expected", _BEGIN_SECONDS + 0.01, self.check_played_out)

    def began(self, response: str, *, is_earlier: bool = False) -> None:
        """Note that the caller begins to hear a response. `is_earlier`: it was made before the sentence that ends the
        call was asked for."""
        self._timers_here.stop("expected")
        self.playout.began(response)
        self._unplayed = True
        if self._last and not self._last_response and not is_earlier:
            self._last_response = response
        if self.listener is not None:
            now = self._clock()
            self.listener.audio_sent(now, now, is_clip=False)
            self.listener.began_to_be_heard("", now)

    def ended(self, response: str, *, cut: bool) -> None:
        """Note that the caller hears nothing more of it."""
        self.playout.ended(response, cut=cut)
        if self._last and response == self._last_response:
            self._clip_played(self._last)
        self.check_played_out()

    def interrupt(self, now: float) -> list[Cut]:
        """Stop what is played. Returns nothing: what was cut, the engine tells later."""
        for response in self.playout.playing:
            self.stop(response)
        self._unplayed = bool(self.playout.playing)
        return self.playout.interrupt(now)

    def play_clip(self, name: str) -> None:
        """Let the agent say the sentence that ends the call: no clip of ours can be played. Without a session nobody
        can say anything, and the call just ends."""
        clip = self.clips.clip(name)
        if self.playout.is_unplayed(self._clock()):
            self.interrupt(self._clock())
        self._silence()
        if clip is None or not self._is_attached or not self.say_last(clip.text):
            self._clip_played(name)
        else:
            self._last = name

    def watch_caller(self) -> None:
        """Do nothing: no silence has to be made up for a caller whom the engine hears by itself."""

    def interject(self, name: str, *otherwise: str) -> bool:
        """Return False: the caller can hear no clip."""
        return False

    def put_sound(self, name: str, audio: bytes) -> str:
        """Return "": the caller can hear no sound of ours."""
        return ""

    def send_at_once(self, audio: bytes, at: float) -> bool:
        """Return False: the caller can hear no sound of ours."""
        return False

    def pump(self) -> None:
        """Do nothing: there is nothing to send."""
