"""The ways in which the emulated Twilio can misbehave, and the times it takes for what it does right."""

from __future__ import annotations

from dataclasses import dataclass, field

from callflow.sandbox.common.faults import ANY, ApiFault, CarrierFaults, Garbage


__all__ = ["ANY", "ApiFault", "Faults", "Garbage", "Timing"]


@dataclass(slots=True)
class Faults(CarrierFaults):
    """A call that was given faults of its own uses only those.

    Keys of the webhook faults: "voice" for whatever is answered with a document, "status" and "stream" for the
    callbacks, or "*".
    """

    # Webhooks. Twilio docs: callbacks are unordered; a repeated request carries the same idempotency token.
    webhook_duplicates: dict[str, int] = field(default_factory=dict)
    """As many more requests at the same time, with the same token. The last answer counts."""
    webhook_new_tokens: dict[str, int] = field(default_factory=dict)
    """As many more requests at the same time, each with a token of its own."""
    webhook_drop: list[str] = field(default_factory=list)
    """Callbacks that are never sent."""
    webhook_delay_s: dict[str, float] = field(default_factory=dict)
    webhook_lose: dict[str, int] = field(default_factory=dict)
    """The answers to the next so many requests are lost on their way, as in a timeout behind a proxy (rt)."""
    no_tokens: bool = False
    """Requests carry no I-Twilio-Idempotency-Token."""

    # The media stream
    foreign_call_sid: str | None = None
    """What `start` names as its call (at connect)."""
    foreign_account_sid: str | None = None
    """What `start` names as its account (at connect)."""
    unsigned_media: bool = False
    """The handshake carries no signature (at connect)."""
    media_slash: bool = False
    """The URL that the handshake's signature covers has a slash more than the one in the document (at connect)."""
    skip_silence: bool = False
    """A muted leg: no frames are sent while the caller says nothing. The timestamps go on."""

    # REST
    ended_call_is_found: bool = False
    """To end a call that has ended is answered with it (200) instead of 404 / 20404. Both have been seen."""


@dataclass(slots=True)
class Timing:
    """How long the well-behaved carrier takes, in seconds."""

    ring_s: float = 0.1
    """How long a dialled phone rings before it answers."""
    no_answer_s: float = 0.3
    """How long a dialled phone rings that nobody answers."""
    speak_s_per_char: float = 0.06
    """Speech of `<Say>`: 0.06 s per character is an unhurried voice."""
    playback_s: float = 0.5
    """Length of whatever `<Play>` plays."""
    pause_scale: float = 1.0
    """What a second of `<Pause>` and of a `<Gather>`'s timeout lasts."""
    webhook_ceiling_s: float = 15.0
    """Twilio docs: no request takes longer, retries included, whatever the connection overrides say."""
    retry_pause_s: float = 0.2
    """Between two attempts (unknown)."""
    connect_timeout_s: float = 5.0
    """To open the media socket."""
