"""The ways in which the emulated Telnyx can misbehave, and the times it takes for what it does right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, Self

import msgspec


Garbage = Literal["text", "json", "unknown", "binary", "huge"]

ANY: Final = "*"
"""Stands for every event type or every action."""


@dataclass(slots=True)
class ApiFault:
    """What happens to the next `times` requests for `action` ("answer", "dial", …, or "*" for all).

    Exactly one of these is wanted:

    - `status` (with `code`, `retry_after`): refused without any effect, with the carrier's error body. 429 brings
      `Retry-After` and the `x-ratelimit-*` headers.
    - `hang_s`: the request is swallowed. No effect, no answer; the connection is closed after that many seconds.
    - `lose_response`: the command takes effect, then the connection is closed without an answer.
    - `slow_s`: the command takes effect, its answer comes that much later.
    """

    action: str = ANY
    times: int = 1
    status: int | None = None
    code: str | None = None
    retry_after: int = 1
    hang_s: float | None = None
    lose_response: bool = False
    slow_s: float = 0.0


@dataclass(slots=True)
class Faults:
    """Everything is off by default. May be changed at any moment; what is read once is marked (at connect).

    A call that was given faults of its own uses only those. Keys of the webhook faults are event types or "*".
    """

    # Webhooks. "Telnyx docs: webhooks are unordered, may be simultaneous and may be duplicated."
    webhook_duplicates: dict[str, int] = field(default_factory=dict)
    """Extra deliveries of the same event, with the same id."""
    webhook_new_ids: dict[str, int] = field(default_factory=dict)
    """Extra deliveries of the same event, each with an id of its own."""
    webhook_drop: list[str] = field(default_factory=list)
    """Events that are never sent."""
    webhook_delay_s: dict[str, float] = field(default_factory=dict)
    webhook_hold: dict[str, str] = field(default_factory=dict)
    """{X: Y}: event X of a call waits until its event Y has been delivered (at most `webhook_hold_limit_s`)."""
    webhook_hold_limit_s: float = 5.0

    # HTTP API
    api: list[ApiFault] = field(default_factory=list)

    # The media stream
    link_ms: float = 0.0
    """Delay of the media socket, in each direction."""
    media_jitter_ms: float = 0.0
    """Up to this much more delay for each frame to the product. The order stays."""
    media_shuffle: int = 0
    """Caller frames are collected in windows of this many and sent in a random order."""
    media_duplicate_every: int = 0
    """Every nth caller frame is sent twice."""
    media_lose_every: int = 0
    """Every nth caller frame is not sent (its chunk number is used up)."""
    media_format: str | None = None
    """What the stream delivers whatever was asked for: "PCMA", "G722", "L16", …"""
    never_connect: bool = False
    """The media socket is never opened, and no webhook says so (at connect)."""
    connect_fails: bool = False
    """The media socket is never opened; streaming.failed says so (at connect)."""
    no_start: bool = False
    """The socket is opened, `connected` is sent, then nothing (at connect)."""
    foreign_call_control_id: str | None = None
    """What `start` names as its call (at connect)."""
    drop_socket_after_s: float | None = None
    """The TCP connection is aborted this long after `start`."""
    reconnect_after_s: float | None = None
    """After a media socket was lost the carrier connects again with a new stream_id."""
    stale_streams: int = 0
    """The next n streams whose socket is lost still count as open: `streaming_start` is refused (90045) until
    `streaming_stop` was sent."""
    stop_reading_after_s: float | None = None
    """The carrier stops reading the socket this long after `start`: a slow peer."""
    garbage: list[Garbage] = field(default_factory=list)
    """Sent once, `garbage_after_s` after `start`: "text", "json", "unknown", "binary", "huge"."""
    garbage_after_s: float = 0.1
    no_marks: bool = False
    """Marks are never echoed."""
    no_stop: bool = False
    """The stream ends without a `stop` frame."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Raises ValueError naming what is unknown or of the wrong type."""
        _refuse_unknown("", values, {each.name for each in fields(cls)})
        for fault in values.get("api", []):
            _refuse_unknown("api: ", fault, {each.name for each in fields(ApiFault)})
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def take_api_fault(self, action: str) -> ApiFault | None:
        """The fault for this request, used up by one."""
        for fault in self.api:
            if fault.times > 0 and fault.action in (action, ANY):
                fault.times -= 1
                return fault
        return None


def _refuse_unknown(where: str, values: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(values) - known):
        raise ValueError(f"{where}no such fault: {', '.join(unknown)}; known are {', '.join(sorted(known))}")


@dataclass(slots=True)
class Timing:
    """How long the well-behaved carrier takes, in seconds."""

    answer_s: float = 0.05
    """From the answer command to the answered leg. On real calls about 0.9 s pass from call.initiated to it."""
    ring_s: float = 0.1
    """How long a dialled phone rings before it answers."""
    no_answer_s: float = 0.3
    """How long a dialled phone rings that nobody answers."""
    hangup_webhook_s: float = 0.02
    """From streaming.stopped to call.hangup."""
    speak_s_per_char: float = 0.06
    """Speech of `speak`: 0.06 s per character is an unhurried voice."""
    playback_s: float = 0.5
    """Length of whatever `playback_start` plays."""
    webhook_timeout_s: float = 2.0
    """Telnyx docs: retried if there is no answer within 2000 ms."""
    webhook_retries_s: tuple[float, ...] = (0.2, 0.4)
    """Pauses before the second and third attempt. Telnyx docs: up to 3 attempts; the real pauses are longer."""
    command_id_window_s: float = 60.0
    """Telnyx docs: the same command_id is ignored for 60 seconds."""
    forget_call_s: float = 600.0
    """Telnyx docs: a call can be asked for until 10 minutes after its end."""
    connect_timeout_s: float = 5.0
    """To open the media socket."""
