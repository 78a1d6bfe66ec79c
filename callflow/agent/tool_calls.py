"""The tools that one call has under way: each call of one runs once and is answered once, whatever happens meanwhile.

A tool call belongs to the conversation, not to the engine's session that asked for it: when that session breaks while
the tool runs, its successor is given the answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from callflow.contracts.events import Event, ToolFinished
from callflow.contracts.tools import ToolAnswer, Toolbox, ToolCall
from callflow.timers import Timers


log = logging.getLogger(__name__)

_MOST_CALLS: Final = 1000
"""Remembered, and under way at a time."""
_AGAIN_SECONDS: Final = 0.3
"""When somebody is speaking just now, how soon to try again to say that a tool is slow."""
_FILLER: Final = "filler"
ENDS_CALL: Final = "end_call"
_FAILED: Final = ToolAnswer('{"error":"this tool failed"}', ok=False)
_TOO_MANY: Final = ToolAnswer('{"error":"too many tools are under way already"}', ok=False)


@dataclass(slots=True)
class _Job:
    call: ToolCall
    spoken: bool
    """The agent said something in the same breath."""
    too_many: bool = False
    running: bool = False
    output: str | None = None
    answered: bool = False


class PendingToolCalls:
    def __init__(
        self,
        toolbox: Toolbox,
        *,
        seconds: float,
        filler_seconds: float,
        post: Callable[[Event], None],
    ) -> None:
        self._toolbox, self._seconds, self._filler_seconds, self._post = toolbox, seconds, filler_seconds, post
        self._loop = asyncio.get_running_loop()
        self._jobs: dict[str, _Job] = {}
        self._timers = Timers()
        self.filler: Callable[[], bool] = lambda: True
        """Says that a tool is slow; False: not now."""
        self.runs = 0

    @property
    def definitions(self) -> Sequence[Mapping[str, Any]]:
        return self._toolbox.definitions

    @property
    def is_busy(self) -> bool:
        """An answer is owed."""
        return any(not job.answered for job in self._jobs.values())

    @property
    def pending(self) -> list[ToolCall]:
        """Those whose answer is owed."""
        return [job.call for job in self._jobs.values() if not job.answered]

    def called(self, call: ToolCall, *, spoken: bool) -> bool:
        """False: this call is known already."""
        if call.id in self._jobs:
            return False
        too_many = len(self._jobs) >= _MOST_CALLS and not self._forget()
        if not self._timers.is_running(_FILLER):
            self._timers.start(_FILLER, self._filler_seconds, self._fill)
        self._jobs[call.id] = _Job(call, spoken, too_many)
        return True

    def _forget(self) -> bool:
        """The oldest one that was answered."""
        name = next((name for name, job in self._jobs.items() if job.answered), None)
        return name is not None and self._jobs.pop(name) is not None

    async def run(self, call_id: str) -> None:
        job = self._jobs.get(call_id)
        if job is None or job.running:
            return
        job.running = True
        self.runs += 1
        began = self._loop.time()
        answer = _TOO_MANY if job.too_many else await self._answer_of(job.call)
        job.output = answer.output
        ms = round((self._loop.time() - began) * 1000)
        self._post(ToolFinished(id=call_id, tool=job.call.name, ok=answer.ok, output=answer.output, ms=ms))

    async def _answer_of(self, call: ToolCall) -> ToolAnswer:
        """Whatever a toolbox raises is an answer. Only where this very task is to end, because the call is over, there
        is none."""
        task = asyncio.current_task()
        try:
            answer = await self._toolbox.run(call, self._seconds)
            return ToolAnswer(str(answer.output), bool(answer.ok))
        except BaseException as error:
            if task is None or task is not asyncio.current_task() or task.cancelling():
                raise
            log.error("tool %s: a fault of our own", call.name, exc_info=error)
            return _FAILED

    def answer(self, call_id: str) -> tuple[ToolCall, str, bool] | None:
        """The call, its output, and whether the agent is to speak upon it. None: nothing to tell, or told already."""
        job = self._jobs.get(call_id)
        if job is None or job.output is None or job.answered:
            return None
        job.answered = True
        if not self.is_busy:
            self.close()
        return job.call, job.output, not (job.call.name == ENDS_CALL and job.spoken)

    def close(self) -> None:
        self._timers.stop(_FILLER)

    def _fill(self) -> None:
        """Once for all that run at the time."""
        if self.is_busy and not self.filler():
            self._timers.start(_FILLER, _AGAIN_SECONDS, self._fill)
