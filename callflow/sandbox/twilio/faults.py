"""The faults that the emulated Twilio can show, and the times that its normal behaviour takes."""

from __future__ import annotations

from dataclasses import dataclass, field

from callflow.sandbox.common.faults import ANY, ApiFault, CarrierFaults, Garbage


__all__ = ["ANY", "ApiFault", "Faults", "Garbage", "Timing"]


@dataclass(slots=True)
class Faults(CarrierFaults):
    """Faults of the emulator, or of one call instead.

    Keys of the webhook faults: "voice" for requests that are answered with a document; "status", "stream", "amd",
    "recording" and "conference" for the callbacks, or one event of them, such as "status:ringing",
    "recording:completed" or "conference:participant-join"; or "*".
    """

    # Webhooks. Twilio docs: callbacks are unordered; a repeated request carries the same idempotency token.
    webhook_duplicates: dict[str, int] = field(default_factory=dict)
    """How many more requests are sent at the same time, with the same token. The last answer counts."""
    webhook_new_tokens: dict[str, int] = field(default_factory=dict)
    """How many more requests are sent at the same time, each with another token."""
    webhook_drop: list[str] = field(default_factory=list)
    """Callbacks that are never sent."""
    webhook_delay_s: dict[str, float] = field(default_factory=dict)
    """Seconds before a request is sent."""
    webhook_lose: dict[str, int] = field(default_factory=dict)
    """How many of the next answers are lost, as in a timeout behind a proxy (`rt`)."""
    no_tokens: bool = False
    """Requests carry no I-Twilio-Idempotency-Token."""

    # The media stream
    foreign_call_sid: str | None = None
    """The callSid in `start`, instead of the right one (at connect)."""
    foreign_account_sid: str | None = None
    """The accountSid in `start`, instead of the right one (at connect)."""
    unsigned_media: bool = False
    """The handshake carries no signature (at connect)."""
    media_slash: bool = False
    """The handshake's signature is over the document's URL with another slash at its end (at connect)."""
    skip_silence: bool = False
    """A muted leg: no frames are sent while the caller says nothing. The timestamps go on."""

    # Second legs
    action_after_hangup: bool = False
    """The `action` of a `<Dial>` is also requested when the caller hangs up meanwhile; its answer is not played.
    Whether Twilio does so is not documented."""

    # REST
    ended_call_is_found: bool = False
    """Ending a call that has ended is answered with the call (200) instead of 404 / 20404. Both have been seen."""


@dataclass(slots=True)
class Timing:
    """How long the carrier takes without faults, in seconds."""

    answer_s: float = 0.05
    """From the first verb that answers an incoming call until it is in progress (unknown)."""
    ring_s: float = 0.1
    """How long a dialled phone rings before it answers."""
    no_answer_s: float = 0.3
    """The longest that a dialled phone rings which is not answered; `Timeout` ends it before, if that is shorter."""
    second_s: float = 1.0
    """How long one second of `Timeout`, `TimeLimit` and `MachineDetectionTimeout` is."""
    amd_s: float = 0.3
    """From the answer to what answering machine detection says. On real calls it takes about 4 s."""
    amd_silence_s: float = 0.2
    """The silence after which a greeting without a beep has ended."""
    price_s: float = 0.1
    """From the end of a call until its price is known; on real calls some minutes."""
    recording_s: float = 0.05
    """From the end of a recording to its file."""
    list_lags_s: float = 0.0
    """How long a new call is missing from the list of calls. Twilio docs: eventually consistent."""
    speak_s_per_char: float = 0.06
    """Speech of `<Say>`: 0.06 s per character is an unhurried voice."""
    playback_s: float = 0.5
    """Length of every audio file that `<Play>` plays."""
    pause_scale: float = 1.0
    """How long one second of a `<Pause>` or of a `<Gather>`'s timeout is."""
    webhook_ceiling_s: float = 15.0
    """Twilio docs: no request takes longer, retries included, whatever the connection overrides say."""
    retry_pause_s: float = 0.2
    """The pause between two attempts (unknown)."""
    connect_timeout_s: float = 5.0
    """The longest that opening the media socket may take."""
