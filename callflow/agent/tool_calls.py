"""The tool calls of one telephone call: each runs once and is answered once, even if sessions change.

A tool call belongs to the conversation, not to the engine's session that asked for it: when that session breaks while
the tool runs, its successor gets the answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from callflow.contracts.errors import AskOperator
from callflow.contracts.events import Event, ToolFinished
from callflow.contracts.tools import ToolAnswer, Toolbox, ToolCall
from callflow.journal.notes import Note, OperatorAnswered, OperatorAsked
from callflow.timers import Timers


log = logging.getLogger(__name__)

_MOST_CALLS: Final = 1000
"""The most tool calls remembered, which also bounds those running."""
_AGAIN_SECONDS: Final = 0.3
"""The pause before asking again for a filler sentence, when somebody was speaking."""
_FILLER: Final = "filler"
ENDS_CALL: Final = "end_call"
_FAILED: Final = ToolAnswer('{"error":"this tool failed"}', ok=False)
_TOO_MANY: Final = ToolAnswer('{"error":"too many tools are under way already"}', ok=False)


PERSON_SPEAKS: Final = ToolAnswer(
    '{"error":"a person speaks with the caller in your place, so nothing was done: wait until you have them back"}',
    ok=False,
)
"""What the model gets instead of a tool while somebody has taken the caller over. The call of the tool is not kept for
later, because by then the person may have settled it, or something else."""


_UNANSWERED: Final = (
    '{"error":"nobody has answered within %d seconds: say that you cannot tell at the moment, and what you can do"}'
)


class _Asked(NamedTuple):
    """An operator is asked."""

    answer: asyncio.Future[ToolAnswer]
    until: float
    """On the loop's clock."""


@dataclass(slots=True)
class _Job:
    call: ToolCall
    spoken: bool
    """The same response also had speech."""
    too_many: bool = False
    running: bool = False
    output: str | None = None
    answered: bool = False
    asked: _Asked | None = None
    """It waits for an operator's answer."""


class PendingToolCalls:
    """Runs tools, keeps their results, and reports `ToolFinished` events."""

    def __init__(
        self,
        toolbox: Toolbox,
        *,
        seconds: float,
        filler_seconds: float,
        post: Callable[[Event], None],
        note: Callable[[Note], object] = lambda note: None,
    ) -> None:
        self._note = note
        self._toolbox, self._seconds, self._filler_seconds, self._post = toolbox, seconds, filler_seconds, post
        self._loop = asyncio.get_running_loop()
        self._jobs: dict[str, _Job] = {}
        self._timers = Timers()
        self.filler: Callable[[], object] = lambda: True
        """Called when a tool is slow, so that the agent says so. Something false: the agent cannot speak now."""
        self.refused: Callable[[ToolCall], ToolAnswer | None] = lambda call: None
        """Returns the answer that takes the place of a tool just now; None: it runs."""
        self.runs = 0

    @property
    def definitions(self) -> Sequence[Mapping[str, Any]]:
        """The definitions of all tools: see `SessionContext.tools`."""
        return self._toolbox.definitions

    @property
    def is_busy(self) -> bool:
        """Whether an unanswered tool call exists."""
        return any(not job.answered for job in self._jobs.values())

    @property
    def pending(self) -> list[ToolCall]:
        """The tool calls that are not answered yet."""
        return [job.call for job in self._jobs.values() if not job.answered]

    def called(self, call: ToolCall, *, spoken: bool) -> bool:
        """Note a tool call; `spoken`: the same response also had speech. Returns False if the tool call is known
        already."""
        if call.id in self._jobs:
            return False
        too_many = len(self._jobs) >= _MOST_CALLS and not self._forget()
        if not self._timers.is_running(_FILLER):
            self._timers.start(_FILLER, self._filler_seconds, self._fill)
        self._jobs[call.id] = _Job(call, spoken, too_many)
        return True

    def _forget(self) -> bool:
        """Forget the oldest answered tool call. Returns False if there is none."""
        name = next((name for name, job in self._jobs.items() if job.answered), None)
        return name is not None and self._jobs.pop(name) is not None

    async def run(self, call_id: str) -> None:
        """Run a tool call, once, and post its result."""
        job = self._jobs.get(call_id)
        if job is None or job.running:
            return
        job.running = True
        self.runs += 1
        began = self._loop.time()
        refusal = _TOO_MANY if job.too_many else self.refused(job.call)
        answer = refusal if refusal is not None else await self._answer_of(job)
        job.output = answer.output
        ms = round((self._loop.time() - began) * 1000)
        self._post(ToolFinished(id=call_id, tool=job.call.name, ok=answer.ok, output=answer.output, ms=ms))

    async def _answer_of(self, job: _Job) -> ToolAnswer:
        """Return the answer; an exception of the tool becomes an answer, too. Raises only when this task is cancelled,
        because the call is over."""
        call, task = job.call, asyncio.current_task()
        try:
            answer = await self._toolbox.run(call, self._seconds)
            return ToolAnswer(str(answer.output), bool(answer.ok))
        except AskOperator as asking:
            return await self._by_operator(job, asking.seconds)
        except BaseException as error:
            if task is None or task is not asyncio.current_task() or task.cancelling():
                raise
            log.error("tool %s: an internal error", call.name, exc_info=error)
            return _FAILED

    async def _by_operator(self, job: _Job, seconds: float) -> ToolAnswer:
        """Wait for an operator's answer, as long as there is time."""
        until = self._loop.time() + seconds
        asked = job.asked = _Asked(self._loop.create_future(), until)
        self._note(OperatorAsked(id=job.call.id, tool=job.call.name, ms=round(seconds * 1000)))
        try:
            async with asyncio.timeout_at(until):
                return await asked.answer
        except TimeoutError:
            return ToolAnswer(_UNANSWERED % round(seconds), ok=False)
        finally:
            job.asked = None

    def for_operators(self) -> list[dict[str, Any]]:
        """Return the tool calls that wait for an operator, oldest first: `{"id", "tool", "arguments", "seconds"}`, the
        seconds being those that are left for the answer."""
        now = self._loop.time()
        return [
            {
                "id": job.call.id, "tool": job.call.name, "arguments": job.call.arguments,
                "seconds": round(max(job.asked.until - now, 0.0), 1),
            }
            for job in self._jobs.values()
            if job.asked is not None and not job.asked.answer.done()
        ]  # fmt: skip

    def answered_by_hand(self, call_id: str, answer: ToolAnswer, by: str) -> str:
        """Take an operator's answer to a tool call that waits for one; the first counts. Returns the tool's name; "":
        it does not wait. `by`: see `callflow.web.console.requested_by`."""
        job = self._jobs.get(call_id)
        if job is None or job.asked is None or job.asked.answer.done():
            return ""
        self._note(OperatorAnswered(id=call_id, tool=job.call.name, ok=answer.ok, by=by))
        job.asked.answer.set_result(answer)
        return job.call.name

    def answer(self, call_id: str) -> tuple[ToolCall, str, bool] | None:
        """Return the tool call, its output (JSON) and whether the agent must speak about it; None: there is no result,
        or the tool call was answered already."""
        job = self._jobs.get(call_id)
        if job is None or job.output is None or job.answered:
            return None
        job.answered = True
        if not self.is_busy:
            self.close()
        return job.call, job.output, not (job.call.name == ENDS_CALL and job.spoken)

    def close(self) -> None:
        """Stop the timer."""
        self._timers.stop(_FILLER)

    def _fill(self) -> None:
        """Ask once, for all running tools, for a sentence that the caller has to wait."""
        if self.is_busy and not self.filler():
            self._timers.start(_FILLER, _AGAIN_SECONDS, self._fill)
