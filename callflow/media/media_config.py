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
