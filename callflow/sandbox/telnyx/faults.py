"""The faults that the emulated Telnyx can show, and the times that its normal behaviour takes."""

from __future__ import annotations

from dataclasses import dataclass, field

from callflow.sandbox.common.faults import ANY, ApiFault, CarrierFaults, CarrierTiming, Garbage


__all__ = ["ANY", "ApiFault", "Faults", "Garbage", "Timing"]


@dataclass(slots=True)
class Faults(CarrierFaults):
    """Faults of the emulator, or of one call instead. Keys of the webhook faults are event types or "*".

    Those that other carriers can show too are in `sandbox/common/faults.py`.
    """

    # Webhooks. Telnyx docs: they are unordered, may be simultaneous and may be duplicated.
    webhook_new_ids: dict[str, int] = field(default_factory=dict)
    """How many more times an event is delivered, each time with another id."""
    webhook_hold: dict[str, str] = field(default_factory=dict)
    """{X: Y}: event X of a call waits until its event Y has been delivered."""
    webhook_hold_limit_s: float = 5.0
    """The longest that an event waits for another one, in seconds."""

    # Dialling
    ringing_is_not_listed: bool = False
    """The list of active calls leaves out the legs that still ring. Whether the real one does is not documented."""

    # Second legs
    bridge_stops_stream: bool = False
    """A bridge stops the media streams of both legs. Whether the real one does is not documented."""

    # Recordings
    recording_unnamed: bool = False
    """call.recording.saved has the fields of the official schema only: no recording_id and no call_control_id. Those
    that were seen had both."""

    # The media stream
    media_format: str | None = None
    """The codec that the stream sends, instead of the one that was asked for: "PCMA", "G722", "L16", …"""
    foreign_call_control_id: str | None = None
    """The call_control_id in `start`, instead of the right one (at connect)."""
    reconnect_after_s: float | None = None
    """After a media socket was lost the carrier connects again after so many seconds, with a new stream_id."""
    stale_streams: int = 0
    """The next n streams whose socket is lost still count as open: `streaming_start` is refused (90045) until
    `streaming_stop` was sent."""


@dataclass(slots=True)
class Timing(CarrierTiming):
    """How long the carrier takes without faults, in seconds."""

    answer_s: float = 0.05
    """From the answer command to the answered leg. On real calls about 0.9 s pass from call.initiated to it."""
    recording_s: float = 0.0
    """From the end of a recording to call.recording.saved."""
    download_s: float = 600.0
    """Telnyx docs: the links to a recording are valid for 10 minutes."""
    hangup_webhook_s: float = 0.02
    """From streaming.stopped to call.hangup."""
    cost_s: float = 0.02
    """From call.hangup to call.cost."""
    webhook_timeout_s: float = 2.0
    """Telnyx docs: retried if there is no answer within 2000 ms."""
    webhook_retries_s: tuple[float, ...] = (0.2, 0.4)
    """Pauses before the second and third attempt. Telnyx docs: up to 3 attempts; the real pauses are longer."""
    command_id_window_s: float = 60.0
    """Telnyx docs: the same command_id is ignored for 60 seconds."""
    forget_call_s: float = 600.0
    """Telnyx docs: a call can be asked for until 10 minutes after its end."""
