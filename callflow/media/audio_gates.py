"""Who of a call is shut off from the other: the caller on hold, the caller or the agent muted.

A caller who is shut off is replaced by silence, frame by frame: the engine's turn detection then ends a turn that was
under way, and the recording keeps its time. An agent who is shut off is not played. Our own sounds are not shut off:
music, keys, and the clip that ends a call.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Literal

from callflow.media.g711 import ULAW_SILENCE


class AudioGates:
    """The gates of one call. The two flags are read for every frame."""

    __slots__ = ("_muted", "agent_is_shut", "caller_is_shut", "is_held")

    def __init__(self) -> None:
        self._muted: frozenset[str] = frozenset()
        self.is_held = False
        """The caller is on hold."""
        self.caller_is_shut = False
        """Neither the engine nor the recording gets the caller's audio."""
        self.agent_is_shut = False
        """The caller does not get the agent's audio."""

    def hold(self, on: bool) -> None:
        """Put the caller on hold, or end that."""
        self.is_held = on
        self._set()

    def mute(self, party: Literal["caller", "agent"], on: bool) -> None:
        """Mute a party, or end that; hold is something else."""
        self._muted = self._muted | {party} if on else self._muted - {party}
        self._set()

    @property
    def muted(self) -> list[str]:
        """Who is muted, in order of the alphabet."""
        return sorted(self._muted)

    @property
    def is_open(self) -> bool:
        """Whether nobody is shut off, so that a silence is the caller's own."""
        return not (self.caller_is_shut or self.agent_is_shut)

    def _set(self) -> None:
        self.caller_is_shut = self.is_held or "caller" in self._muted
        self.agent_is_shut = self.is_held or "agent" in self._muted


@lru_cache(maxsize=8)
def silence(length: int) -> tuple[str, bytes]:
    """Return so many bytes of µ-law silence: as base64, and plain."""
    audio = bytes([ULAW_SILENCE]) * length
    return base64.b64encode(audio).decode("ascii"), audio
