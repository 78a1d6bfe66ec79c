"""What the relay of a call reports to: the turn manager, as far as the relay uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from callflow.contracts.media import Cut, SpeechSegmentId


class MediaListener(Protocol):
    """The turn manager, as the relay uses it. Times are in seconds of the loop's clock.

    All methods are called on the event loop and must not block; the first two methods are called for each frame of the
    caller.
    """

    @property
    def is_caller_speaking(self) -> bool:
        """Whether the engine hears the caller."""

    def caller_payload(self, payload: str, audio: bytes) -> None:
        """Process the caller's audio for the engine: base64 of µ-law, one frame or several joined; and the same audio
        decoded."""

    def caller_frame(self, audio: bytes) -> None:
        """Process the same frame as µ-law bytes, for the speech detector."""

    def stream_started(self, now: float) -> None:
        """Note that the stream has started: the caller can hear us."""

    def stream_paused(self) -> None:
        """Note that the stream has ended: the caller hears nothing until another stream starts."""

    def agent_silenced(self) -> None:
        """Note that the agent's speech is no longer played: a clip ends the call, or the call is over."""

    def audio_sent(self, now: float, until: float, *, is_clip: bool) -> None:
        """Note that audio was sent to the carrier; at `until` the caller will have heard it all."""

    def began_to_be_heard(self, item: str, at: float) -> None:
        """Note that the caller has begun to hear an item of the engine, at the time `at`."""

    def hearing(self, cut: Cut) -> None:
        """Note which part of the stretch being played was heard so far; at most twice a second."""

    def heard(self, key: SpeechSegmentId, ms: int) -> None:
        """Note that the caller has heard a stretch of speech in full: `ms` of audio."""

    def played_out(self) -> None:
        """Note that the caller has heard all audio."""

    def cut_off(self, cuts: Sequence[Cut]) -> None:
        """Note that speech was cut, but not by the caller: the stream was lost, or a clip ends the call. `cuts` is
        empty if only clips were cut."""
