"""Answering machine detection: what it finds on a dialled leg, and the webhooks that say so.

https://developers.telnyx.com/docs/voice/programmable-voice/answering-machine-detection
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.telnyx.call import Call
from callflow.sandbox.telnyx.exchange import Exchange


# Silence is taken for a machine by the standard detection (initial_silence_millis), and so is a long tone.
_STANDARD: Final = {"human": "human", "machine": "machine", "silence": "machine", "fax": "machine"}
_PREMIUM: Final = {"human": "human_residence", "machine": "machine", "silence": "silence", "fax": "fax_detected"}


class Detector:
    """Listens to one leg from its answer on. `mode` is the answering_machine_detection of the dial."""

    def __init__(self, exchange: Exchange[Call], leg: Call, callee: Callee, body: Mapping[str, Any]) -> None:
        self._exchange, self._leg, self._callee = exchange, leg, callee
        self._mode = body["answering_machine_detection"]
        self._limits: Mapping[str, int] = body.get("answering_machine_detection_config") or {}
        self._kind = "call.machine.premium" if self._mode == "premium" else "call.machine"

    async def run(self) -> None:
        """Say what answered and, when that is a machine, when its greeting has ended."""
        timing, premium = self._exchange.timing, self._mode == "premium"
        # Telnyx docs, of premium: a beep before the detection has ended is all that is told.
        soon = min(timing.amd_s, self._limit("total_analysis_time_millis", 3500))
        await self._until(lambda: premium and self._greeted, soon)
        if not (premium and self._greeted):
            found = self._leg.faults.amd_result or (_PREMIUM if premium else _STANDARD)[self._callee.truth]
            await self._tell("detection", found)
            if found != "machine" or self._mode == "detect":
                return
        waits = self._mode in ("detect_words", "greeting_end")
        longest = self._limit("greeting_total_analysis_time_millis", 5000) if waits else None
        await self._until(lambda: self._greeted, longest)
        if self._greeted and self._callee.beep_s:
            await self._tell("greeting", "beep_detected")
        elif waits and self._greeted:
            await self._until(lambda: False, timing.amd_silence_s)
            await self._tell("greeting", "ended")
        elif waits:
            await self._tell("greeting", "not_sure")
        elif premium and self._greeted:
            await self._tell("greeting", "no_beep_detected")  # whether it is ever sent is not documented (unknown)

    def _limit(self, name: str, usual: int) -> float:
        return self._limits.get(name, usual) / 1000 * self._exchange.timing.second_s

    @property
    def _greeted(self) -> bool:
        return self._leg.phone.message_at is not None

    async def _until(self, condition: Callable[[], bool], seconds: float | None) -> None:
        """Wait for a condition, for the end of the leg, or so many seconds."""
        with contextlib.suppress(TimeoutError):
            await self._exchange.changed.until(
                lambda: self._leg.state == "ended" or condition(), seconds, self._leg.story
            )

    async def _tell(self, what: str, result: str) -> None:
        late = self._leg.faults.amd_after_hangup
        if late:
            await self._leg.wait_ended(None)
        if late or self._leg.state != "ended":
            self._leg.note(f"{what}: {result}")
            self._leg.emit(f"{self._kind}.{what}.ended", {"result": result})
