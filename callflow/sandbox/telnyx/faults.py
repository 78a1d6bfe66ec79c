"""The faults that the emulated Telnyx can show, and the times that its normal behaviour takes."""

from __future__ import annotations

from dataclasses import dataclass, field

from callflow.sandbox.common.faults import ANY, ApiFault, CarrierFaults, Garbage


__all__ = ["ANY", "ApiFault", "Faults", "Garbage", "Timing"]


@dataclass(slots=True)
class Faults(CarrierFaults):
    """Faults of the emulator, or of one call instead. Keys of the webhook faults are event types or "*"."""

    # Webhooks. Telnyx docs: they are unordered, may be simultaneous and may be duplicated.
    webhook_duplicates: dict[str, int] = field(default_factory=dict)
    """How many more times an event is delivered with the same id."""
    webhook_new_ids: dict[str, int] = field(default_factory=dict)
    """How many more times an event is delivered, each time with another id."""
    webhook_drop: list[str] = field(default_factory=list)
    """Events that are never sent."""
    webhook_delay_s: dict[str, float] = field(default_factory=dict)
    """Seconds before an event is sent."""
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
class Timing:
    """How long the carrier takes without faults, in seconds."""

    answer_s: float = 0.05
    """From the answer command to the answered leg. On real calls about 0.9 s pass from call.initiated to it."""
    ring_s: float = 0.1
    """How long a dialled phone rings before it answers."""
    no_answer_s: float = 0.3
    """The longest that a dialled phone rings which is not answered; timeout_secs ends it before, if that is shorter."""
    second_s: float = 1.0
    """How long one second of timeout_secs and time_limit_secs is, and one of the detection's limits."""
    amd_s: float = 0.3
    """From the answer to what answering machine detection says. On real calls it takes up to 3.5 s."""
    amd_silence_s: float = 0.2
    """The silence after which a greeting without a beep has ended."""
    recording_s: float = 0.0
    """From the end of a recording to call.recording.saved."""
    download_s: float = 600.0
    """Telnyx docs: the links to a recording are valid for 10 minutes."""
    hangup_webhook_s: float = 0.02
    """From streaming.stopped to call.hangup."""
    cost_s: float = 0.02
    """From call.hangup to call.cost."""
    speak_s_per_char: float = 0.06
    """Speech of `speak`: 0.06 s per character is an unhurried voice."""
    playback_s: float = 0.5
    """Length of every audio file that `playback_start` plays."""
    webhook_timeout_s: float = 2.0
    """Telnyx docs: retried if there is no answer within 2000 ms."""
    webhook_retries_s: tuple[float, ...] = (0.2, 0.4)
    """Pauses before the second and third attempt. Telnyx docs: up to 3 attempts; the real pauses are longer."""
    command_id_window_s: float = 60.0
    """Telnyx docs: the same command_id is ignored for 60 seconds."""
    forget_call_s: float = 600.0
    """Telnyx docs: a call can be asked for until 10 minutes after its end."""
    connect_timeout_s: float = 5.0
    """The longest that opening the media socket may take."""
