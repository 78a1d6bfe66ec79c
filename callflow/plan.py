"""How one call is to be conducted: what its number's settings say, in the words of the rooms that act on them.

Whoever wires the house makes a plan for each call, from the settings, the profile of the number that was dialled, and
what was asked of this call alone. Nothing in here is specific to a carrier or to an engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from callflow.contracts import MakeEngine
from callflow.media.clips import Clip
from callflow.media.stream import MediaSettings


@dataclass(frozen=True, slots=True)
class Plan:
    make_engine: MakeEngine
    clips: Mapping[str, Clip]
    deadline_seconds: Mapping[str, float]
    """By the names in `callflow.machine.DEADLINES`."""
    media: MediaSettings = field(default_factory=MediaSettings)
    profile: str = ""
    kept: Mapping[str, Any] = field(default_factory=dict)
    """What operators had changed when it was made, by names of settings: a call goes on under it after a crash, too."""

    greeting: str = ""
    """What the agent is told to do first; "": it waits for the caller."""
    disclosure: str = ""
    """A sentence that is said word for word before anything else, and cannot be interrupted."""
    greeting_protected: bool = False
    """The greeting cannot be interrupted either."""

    record: bool = False
    """The call is recorded, in stereo, from its first sound on."""
    record_after_opening: bool = False
    """Not before the protected sentence was heard in full: it says so."""

    transcript_seconds: float = 2.0
    """How long the caller's last words may still come when the call is over; 0: not at all."""

    engine_tries: int = 3
    """New sessions of the engine that are tried after one broke."""
    stream_tries: int = 3
    """New media streams that are tried after one was lost."""

    tool_timeout_seconds: float = 10.0
    tool_filler_after_ms: int = 1500
    """After so long the agent says that it is still busy with a tool."""

    no_input_seconds: float = 10.0
    """Of silence when it is the caller's turn, until somebody asks; 0: nobody asks."""
    no_input_asks: int = 2
    """How often, before the goodbye."""
    hold_seconds: float = 60.0
    """An unbroken noise of that length is no input either: hold music, an open microphone."""

    dtmf_pause_seconds: float = 2.0
    """After the last digit, before the digits go to the agent."""
    dtmf_end: str = "#"
    """The digit that ends an entry at once; "": none does."""
    dtmf_sensitive: bool = False
    """Digits are given to the agent and written down nowhere."""

    @property
    def opens_protected(self) -> bool:
        return bool(self.disclosure) or (self.greeting_protected and bool(self.greeting))
