"""The media configuration of one call."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaConfig:
    """The media settings of one call; docs/settings.md describes each setting of the same name. The end of a name is
    its unit."""

    playout_lead_ms: int
    mark_every_ms: int
    reorder_frames: int
    frame_batch_ms: int
    warm_up_ms: int
    start_frame_seconds: float
    write_seconds: float
