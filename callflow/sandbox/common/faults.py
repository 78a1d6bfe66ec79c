"""How an emulated carrier can misbehave whichever it is: its API, and its media socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, Self

import msgspec

from callflow.sandbox.common.http_server import Response


Garbage = Literal["text", "json", "unknown", "binary", "huge"]

ANY: Final = "*"
"""Stands for every event type or every action."""


@dataclass(slots=True)
class ApiFault:
    """What happens to the next `times` requests for `action` (a name of the carrier's, or "*" for all).

    Exactly one of these is wanted:

    - `status` (with `code`, `retry_after`): refused without any effect, with the carrier's error body. 429 brings
      `Retry-After`.
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

    async def before(self) -> None:
        """Raises ConnectionResetError for a request that is swallowed."""
        if self.hang_s is not None:
            await asyncio.sleep(self.hang_s)
            raise ConnectionResetError

    async def after(self, response: Response) -> None:
        """The command has taken effect, or was refused: its answer is late, or lost."""
        await asyncio.sleep(self.slow_s)
        response.lost = response.lost or self.lose_response


@dataclass(slots=True)
class CarrierFaults:
    """Everything is off by default. May be changed at any moment; what is read once is marked (at connect)."""

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
    never_connect: bool = False
    """The media socket is never opened, and no webhook says so (at connect)."""
    connect_fails: bool = False
    """The media socket is never opened; the carrier says so by webhook (at connect)."""
    no_start: bool = False
    """The socket is opened, `connected` is sent, then nothing (at connect)."""
    drop_socket_after_s: float | None = None
    """The TCP connection is aborted this long after `start`."""
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
