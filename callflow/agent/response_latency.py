"""Measures how long the caller waited for each answer, and for which part of the chain. Pure: time is an argument, in
seconds.

The wait begins with the caller's last word and ends when the first audio of the answer comes out of the telephone, both
as seen from the carrier's edge. The parts of the wait follow one another:

    last word --detection--> noticed --engine--> first audio --own--> sent --carrier--> heard
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final


_PARTS: Final = ("ended", "noticed", "generated", "sent", "heard")
_NAMES: Final = ("detection_ms", "engine_ms", "own_ms", "carrier_ms")
_MOST: Final = 2000


class ResponseLatency:
    """The waits of one call, each divided into its parts."""

    def __init__(self) -> None:
        self.turns: list[dict[str, Any]] = []
        """For each answer that was heard, in order: `detection_ms`, `engine_ms`, `own_ms`, `carrier_ms`, `total_ms`
        and, if a clip filled the silence, `filler_ms`."""
        self._times: dict[str, float] = {}
        self._filler: float | None = None
        self.waits_for_audio = False
        """A wait is running, and no audio of the answer was sent yet."""

    def caller_stopped(self, now: float, ago: float | None) -> None:
        """Begin a wait. `ago`: seconds since the caller's last word; None: unknown, so the wait begins now."""
        self._times = {"ended": now - (ago or 0.0), "noticed": now}
        self._filler = None
        self.waits_for_audio = True

    def caller_goes_on(self) -> None:
        """Drop the wait: the caller speaks again."""
        self._times = {}
        self.waits_for_audio = False

    def generated(self, now: float) -> None:
        """Note the first audio of the answer from the engine."""
        self._note("generated", now)

    def sent(self, now: float) -> None:
        """Note that the first audio of the answer was sent to the carrier."""
        if "generated" in self._times:
            self._note("sent", now)
            self.waits_for_audio = False

    def filler(self, now: float) -> None:
        """Note that a clip filled the silence."""
        if self.waits_for_audio and self._filler is None:
            self._filler = now

    def heard(self, at: float) -> dict[str, Any] | None:
        """Note when the caller began to hear the answer. Returns the finished entry of `turns`; None: there was no
        wait."""
        if "sent" not in self._times:
            return None
        self._note("heard", max(at, self._times["sent"]))
        times, self._times = self._times, {}
        turn: dict[str, Any] = {
            name: round((times[after] - times[before]) * 1000)
            for name, (before, after) in zip(_NAMES, pairwise(_PARTS), strict=True)
        }
        turn["total_ms"] = round((times["heard"] - times["ended"]) * 1000)
        if self._filler is not None:
            turn["filler_ms"] = round((self._filler - times["ended"]) * 1000)
        if len(self.turns) < _MOST:
            self.turns.append(turn)
        return turn

    def _note(self, what: str, now: float) -> None:
        if "noticed" in self._times and what not in self._times:
            self._times[what] = now
