"""The faults that the emulated Twilio can show, and the times that its normal behaviour takes."""

from __future__ import annotations

from dataclasses import dataclass, field

from callflow.sandbox.common.faults import ANY, ApiFault, CarrierFaults, CarrierTiming, Garbage


__all__ = ["ANY", "ApiFault", "Faults", "Garbage", "Timing"]


@dataclass(slots=True)
class Faults(CarrierFaults):
    """Faults of the emulator, or of one call instead.

    Keys of the webhook faults: "voice" for requests that are answered with a document; "status", "stream", "amd",
    "recording" and "conference" for the callbacks, or one event of them, such as "status:ringing",
    "recording:completed" or "conference:participant-join"; or "*". What is sent several times is sent at the same time,
    and the last answer counts; "voice" is never dropped.

    Those that other carriers can show too are in `sandbox/common/faults.py`.
    """

    # Webhooks. Twilio docs: callbacks are unordered; a repeated request carries the same idempotency token.
    webhook_new_tokens: dict[str, int] = field(default_factory=dict)
    """How many more requests are sent at the same time, each with another token."""
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
class Timing(CarrierTiming):
    """How long the carrier takes without faults, in seconds."""

    answer_s: float = 0.05
    """From the first verb that answers an incoming call until it is in progress (unknown)."""
    price_s: float = 0.1
    """From the end of a call until its price is known; on real calls some minutes."""
    recording_s: float = 0.05
    """From the end of a recording to its file."""
    list_lags_s: float = 0.0
    """How long a new call is missing from the list of calls. Twilio docs: eventually consistent."""
    pause_scale: float = 1.0
    """How long one second of a `<Pause>` or of a `<Gather>`'s timeout is."""
    webhook_ceiling_s: float = 15.0
    """Twilio docs: no request takes longer, retries included, whatever the connection overrides say."""
    retry_pause_s: float = 0.2
    """The pause between two attempts (unknown)."""
