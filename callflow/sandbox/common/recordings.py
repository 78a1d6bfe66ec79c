"""What an emulated carrier records of a call, as files, and how a file is sent: whole or a range of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final, Literal

from callflow.sandbox.common.http_server import Request, Response
from callflow.sandbox.common.phone import Phone


TYPES: Final = {"wav": "audio/x-wav", "mp3": "audio/mpeg"}
_MP3_FRAME: Final = b"\xff\xfb\x10\xc4" + bytes(100)
"""MPEG-1 layer III, 32 kbit/s, 44.1 kHz, mono: 1152 samples of silence."""
_MP3_FRAME_S: Final = 1152 / 44100
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(slots=True)
class Recording:
    """One recording. Times are `time.monotonic()` seconds."""

    id: str
    call: str
    """The id that the carrier's API uses for its call."""
    phone: Phone
    channels: int
    about: Mapping[str, Any] = field(default_factory=dict)
    """What the carrier's own resource says of it beside."""
    began: float = field(default_factory=monotonic)
    began_on: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: float | None = None
    ended_on: datetime | None = None
    state: Literal["running", "processing", "ready", "failed"] = "running"

    def stop(self) -> None:
        """End the recording; it is still to be processed."""
        self.ended, self.ended_on, self.state = monotonic(), datetime.now(UTC), "processing"

    @property
    def seconds(self) -> float:
        """How long it is, up to now if it runs."""
        return (monotonic() if self.ended is None else self.ended) - self.began

    def file(self, form: str, channels: int = 0) -> bytes:
        """Return the recording as "wav", or as "mp3": the sandbox has no encoder, so that is silence of the right
        length."""
        if form == "mp3":
            return _MP3_FRAME * max(1, round(self.seconds / _MP3_FRAME_S))
        return self.phone.wav(self.began, self.ended, channels or self.channels)


def send_file(request: Request, content: bytes, form: str) -> Response:
    """Answer with a file: 206 for a range of it, 416 for one that it does not have."""
    headers = {"content-type": TYPES[form], "accept-ranges": "bytes"}
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked is None or not any(asked.groups()):
        return Response(200, content, headers)
    first, last = asked.groups()
    start = int(first) if first else max(0, len(content) - int(last))
    end = min(int(last), len(content) - 1) if first and last else len(content) - 1
    if start > end:
        return Response(416, headers={"content-range": f"bytes */{len(content)}"})
    return Response(206, content[start : end + 1], {**headers, "content-range": f"bytes {start}-{end}/{len(content)}"})
