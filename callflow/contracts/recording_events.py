"""Events of the recordings that a carrier makes: that one is wanted, and what has become of it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from callflow.contracts.event import Event
from callflow.contracts.private_fields import PRIVATE


class RecordRequested(Event, frozen=True, kw_only=True):
    """The carrier is to record the call from now on, or no longer. Whoever asks knows that this is news."""

    name: ClassVar[str] = "record_requested"
    on: bool = True
    by: str = ""
    """As of `GoodbyeRequested`; `settings`: they ask for it."""


class PauseRequested(Event, frozen=True, kw_only=True):
    """Nothing of the call is to be kept for a while, neither sound nor words, or that is over."""

    name: ClassVar[str] = "pause_requested"
    on: bool = True
    carrier: bool = False
    """The carrier records, so it is told."""
    by: str = ""
    """As of `GoodbyeRequested`; `agent`, or `deadline`: nobody has ended the pause."""


class CarrierRecording(Event, frozen=True, kw_only=True):
    """What the carrier says of a recording that it makes or has made. It may come long after the end of the call."""

    name: ClassVar[str] = "carrier_recording"
    recording: str = ""
    """The carrier's id of it; "": the carrier does not say which, only that it failed."""
    state: Literal["running", "ready", "failed"] = "running"
    channels: int = 0
    """0: the carrier does not say."""
    seconds: float | None = None
    """How long it is; None: the carrier does not say."""
    began: float = 0.0
    """When it began, in Unix time (seconds); 0: the carrier does not say."""
    reason: Annotated[str, PRIVATE] = ""
    """Why it failed."""
