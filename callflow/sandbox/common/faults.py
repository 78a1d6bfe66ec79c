"""Faults that every emulated carrier can show, in its API, its webhooks and its media socket; and what takes time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, Self, TypeVar

import msgspec

from callflow.sandbox.common.http_server import Response


Garbage = Literal["text", "json", "unknown", "binary", "huge"]

ANY: Final = "*"
"""Stands for every event type or every action."""

Number = TypeVar("Number", int, float)


def for_event(table: Mapping[str, Number], event: str, default: Number) -> Number:
    """Return the entry of a fault table for an event: its own, else that of "*", else `default`."""
    return table.get(event, table.get(ANY, default))


@dataclass(slots=True)
class ApiFault:
    """What happens to the next `times` requests for `action` (one of the carrier's, or "*" for all).

    Set exactly one of these:

    - `status` (with `code`, `retry_after` in seconds): refused without any effect, with the carrier's error body.
      429 adds `Retry-After`. With `after_effect` the command takes effect, and is refused all the same.
    - `hang_s`: no effect and no answer; the connection is closed after that many seconds.
    - `lose_response`: the command takes effect, then the connection is closed without an answer.
    - `slow_s`: the command takes effect, its answer comes that many seconds later.
    """

    action: str = ANY
    times: int = 1
    status: int | None = None
    code: str | None = None
    retry_after: int = 1
    after_effect: bool = False
    hang_s: float | None = None
    lose_response: bool = False
    slow_s: float = 0.0

    async def before(self) -> None:
        """Act before the request takes effect. Raises ConnectionResetError for one that gets no answer."""
        if self.hang_s is not None:
            await asyncio.sleep(self.hang_s)
            raise ConnectionResetError

    async def after(self, response: Response) -> None:
        """Act after the command took effect or was refused: delay the answer, or mark it as lost."""
        await asyncio.sleep(self.slow_s)
        response.lost = response.lost or self.lose_response


@dataclass(slots=True)
class CarrierFaults:
    """All faults are off by default and may be changed at any time; those marked (at connect) are read once."""

    # HTTP API
    api: list[ApiFault] = field(default_factory=list)

    # Webhooks. The keys of these tables are a carrier's own: see its `Faults`
    webhook_duplicates: dict[str, int] = field(default_factory=dict)
    """How many more times a webhook is sent, as the same one: with the same id or token."""
    webhook_drop: list[str] = field(default_factory=list)
    """Webhooks that are never sent."""
    webhook_delay_s: dict[str, float] = field(default_factory=dict)
    """Seconds before a webhook is sent."""

    # Answering machine detection
    amd_result: str | None = None
    """What the detection says, one of the carrier's words, whatever answers."""
    amd_after_hangup: bool = False
    """What the detection says is held back until the call has ended."""

    # Recording
    recording_fails: bool = False
    """There is no recording in the end, and a callback says so."""

    # Second legs
    join_loses_leg: bool = False
    """Joining this leg with another one is accepted, and the other one ends at that moment."""

    refer_refused: int | None = None
    """The caller's telephone system refuses a REFER with this SIP status, such as 405."""

    # The media stream
    link_ms: float = 0.0
    """Delay of the media socket in each direction, in ms."""
    media_jitter_ms: float = 0.0
    """Up to this many ms more delay for each frame to the product. The order stays."""
    media_shuffle: int = 0
    """Caller frames are collected in windows of this many and sent in a random order."""
    media_duplicate_every: int = 0
    """Every nth caller frame is sent twice."""
    media_lose_every: int = 0
    """Every nth caller frame is not sent (its chunk number is used up)."""
    never_connect: bool = False
    """The media socket is never opened, and no webhook says so (at connect)."""
    connect_fails: bool = False
    """The media socket is never opened; the carrier says so by webhook (at connect)."""
    no_start: bool = False
    """The socket is opened, `connected` is sent, then nothing (at connect)."""
    drop_socket_after_s: float | None = None
    """The TCP connection is aborted this many seconds after `start`."""
    stop_reading_after_s: float | None = None
    """The carrier stops reading the socket this many seconds after `start`: a slow peer."""
    garbage: list[Garbage] = field(default_factory=list)
    """Messages that are not part of the protocol, sent once, `garbage_after_s` seconds after `start`."""
    garbage_after_s: float = 0.1
    mark_jitter_ms: float = 0.0
    """Every third mark is delayed by up to this many ms more on its way to the product; later ones overtake it."""
    pause_ms: float = 0.0
    """The carrier pauses for this long after each second of audio: it falls behind, and stays behind until it runs
    empty."""
    no_marks: bool = False
    """Marks are never echoed."""
    no_stop: bool = False
    """The stream ends without a `stop` frame."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Make faults from their names and values. Raises ValueError with what is unknown or of the wrong type."""
        _refuse_unknown("", values, {each.name for each in fields(cls)})
        for fault in values.get("api", []):
            _refuse_unknown("api: ", fault, {each.name for each in fields(ApiFault)})
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error

    def to_json(self) -> dict[str, Any]:
        """Return all faults by name."""
        return asdict(self)

    def take_api_fault(self, action: str) -> ApiFault | None:
        """Return the fault for this request, if there is one, and count down its `times`."""
        for fault in self.api:
            if fault.times > 0 and fault.action in (action, ANY):
                fault.times -= 1
                return fault
        return None


@dataclass(slots=True)
class CarrierTiming:
    """How long a carrier takes without faults, in seconds."""

    ring_s: float = 0.1
    """How long a dialled phone rings before it answers."""
    no_answer_s: float = 0.3
    """The longest that a dialled phone rings which is not answered; the carrier's limit for it ends it before, if that
    is shorter."""
    second_s: float = 1.0
    """How long one second of the carrier's own limits is: of ringing, of a call, and of the detection."""
    amd_s: float = 0.3
    """From the answer to what answering machine detection says. On real calls it takes up to 3.5 s at Telnyx,
    about 4 s at Twilio."""
    amd_silence_s: float = 0.2
    """The silence after which a greeting without a beep has ended."""
    speak_s_per_char: float = 0.06
    """Speech in the carrier's voice: 0.06 s per character is an unhurried one."""
    playback_s: float = 0.5
    """Length of every audio file that the carrier plays."""
    connect_timeout_s: float = 5.0
    """The longest that opening the media socket may take."""


def _refuse_unknown(where: str, values: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(values) - known):
        raise ValueError(f"{where}no such fault: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
