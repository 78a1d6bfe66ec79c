"""What the settings say of one call's media."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaConfig:
    """Named like the settings, which say what each of these means; times are in ms or seconds, as their names end."""

    carrier_lead_ms: int
    mark_every_ms: int
    reorder_frames: int
    join_ms: int
    warm_up_ms: int
    start_frame_seconds: float
    write_seconds: float
    reply_seconds: float
    """How long the engine may say nothing when it is its turn to speak."""
    patience_seconds: float
    """How long the caller hears nothing in the agent's turn until one of our own sentences says that we are there."""
    filler_seconds: float
    """The same while the engine is being restored."""
    deaf_after_ms: int
    """After so much quiet any engine would have noticed that the caller has spoken."""
    unended_after_ms: int
    """After so much quiet one that has heard them begin would have noticed that they have stopped."""
    min_interruption_ms: int
    """How long the caller must speak for the agent to stop; 0: at once. Only where the engine does not stop itself."""
