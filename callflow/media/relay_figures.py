"""The figures of a call's media, for its last note and for `/metrics`."""

from __future__ import annotations

from typing import Any

from callflow.media.relay import Relay


def summary(relay: Relay) -> dict[str, Any]:
    """Return the figures of a call's media for its last note: counts of frames, marks and bytes, by name, and
    `made_up_silence_ms`, and the delays that the playout believed in."""
    return {
        **relay.counts,
        "frames_in": relay.frames_in,
        "bytes_out": relay.bytes_out,
        "made_up_silence_ms": round(relay.silence_filler.seconds * 1000),
        "stale_marks": relay.playout.stale_marks,
        "late_bytes": relay.playout.late_bytes,
        "network_ms": relay.playout.network_ms,
        "ping_ms": relay.playout.ping_ms,
        "carrier_lag_ms": relay.playout.most_lag_ms,
    }
