"""What the settings say of one call's media."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaConfig:
    """The settings of one call's media, under their names; see docs/settings.md. The unit is the end of the name."""

    carrier_lead_ms: int
    mark_every_ms: int
    reorder_frames: int
    join_ms: int
    warm_up_ms: int
    start_frame_seconds: float
    write_seconds: float
