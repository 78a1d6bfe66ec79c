"""Answering machine detection: what it finds on an outgoing call.

https://www.twilio.com/docs/voice/answering-machine-detection
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from time import monotonic

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.twilio.call import Call
from callflow.sandbox.twilio.exchange import Exchange


class Detector:
    """Listens to one call from its answer on. `values` are the parameters of the call."""

    def __init__(self, exchange: Exchange[Call], call: Call, callee: Callee, values: Mapping[str, str]) -> None:
        self._exchange, self._call, self._callee, self._values = exchange, call, callee, values
        self._began = monotonic()

    async def run(self) -> dict[str, str]:
        """Return AnsweredBy and MachineDetectionDuration (ms), or nothing when the call ended before."""
        found = await self._find(
            int(self._values.get("MachineDetectionTimeout", "30")) * self._exchange.timing.second_s
        )
        if self._call.state == "ended" and not self._call.faults.amd_after_hangup:
            return {}
        self._call.answered_by = found
        self._call.note(f"answered by {found}")
        return {"AnsweredBy": found, "MachineDetectionDuration": str(round((monotonic() - self._began) * 1000))}

    async def report(self) -> None:
        """Send the AsyncAmdStatusCallback."""
        result = await self.run()
        if self._call.faults.amd_after_hangup:
            await self._call.wait_ended(None)
        if result:
            url, method = (
                self._values["AsyncAmdStatusCallback"],
                self._values.get("AsyncAmdStatusCallbackMethod", "POST"),
            )
            params = {"AccountSid": self._call.account_sid, "CallSid": self._call.sid, **result}
            self._exchange.webhooks.notify("amd", url, method, params, self._call.faults)

    async def _find(self, longest: float) -> str:
        timing = self._exchange.timing
        await self._until(lambda: False, min(timing.amd_s, longest))
        if self._call.faults.amd_result is not None:
            return self._call.faults.amd_result
        if timing.amd_s > longest or self._callee.truth == "silence":
            return "unknown"
        if self._callee.truth != "machine":
            return self._callee.truth
        if self._values["MachineDetection"] == "Enable":
            return "machine_start"
        await self._until(lambda: self._greeted, longest - timing.amd_s)
        if not self._greeted:
            return "unknown"
        if self._callee.beep_s:
            return "machine_end_beep"
        await self._until(lambda: False, timing.amd_silence_s)
        return "machine_end_silence"

    @property
    def _greeted(self) -> bool:
        return self._call.phone.message_at is not None

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition, for the end of the call, or so many seconds."""
        with contextlib.suppress(TimeoutError):
            await self._exchange.changed.until(
                lambda: self._call.state == "ended" or condition(), seconds, self._call.story
            )
