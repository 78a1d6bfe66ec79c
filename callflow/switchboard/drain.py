"""Ends all calls when the server stops, or hands them over to the next process; and runs the tasks that ended calls
leave."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextvars import Context
from typing import Any, Final

from callflow.call.call import Call
from callflow.contracts.events import GoodbyeRequested, HangupRequested
from callflow.switchboard.admission import Admission


_RELEASE_SECONDS: Final = 1.5
"""How long calls may take to release their resources."""
_LOOK_SECONDS: Final = 0.05
"""Interval of the checks whether calls are quiet; no event reports it."""
_LEFTOVER_SECONDS: Final = 3.0
"""How long the end of the process waits for hang-ups that the carrier has not taken yet, and for late transcripts."""
_DRAIN: Final = "drain"
"""The requester of the end, for the journals."""


class Drain:
    """The tasks of all calls, live and ended, and the ways to end them."""

    def __init__(self, calls: Mapping[str, Call], admission: Admission, *, most_unwritten: int) -> None:
        """`calls`: the live calls by id, as the switchboard keeps them. `most_unwritten`: how many ended calls may wait
        for transcripts."""
        self._calls, self._admission = calls, admission
        self._most_unwritten = most_unwritten
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._after_call: set[asyncio.Task[None]] = set()
        self._unwritten: dict[Call, asyncio.Task[None]] = {}
        """Ended calls whose last words are still being transcribed."""
        self._hurries = False
        """No call may wait for transcripts any more."""
        self._changed = asyncio.Event()
        self.is_handing_over = False
        """The calls are being handed over to the next process."""

    # Calls that are over

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run the task of a call."""
        _start(self._tasks, work, name)

    def run_after_call(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task that must finish even when its call is over, such as the hang-up at the carrier."""
        _start(self._after_call, work, "after the call")

    def call_ended(self) -> None:
        """Note that a call has ended, so that waiting for the end of all calls continues."""
        self._changed.set()

    async def write_down(self, call: Call) -> None:
        """Wait for the last transcripts of an ended call, and write its end. Its place is free for another call
        meanwhile; if too many calls wait, the transcripts are given up."""
        task = asyncio.current_task()
        if self._hurries or task is None or len(self._unwritten) >= self._most_unwritten:
            call.agent.wind_up.give_up()
        else:
            self._unwritten[call] = task
        try:
            await call.write_down()
        finally:
            self._unwritten.pop(call, None)

    @property
    def unwritten(self) -> int:
        """Number of ended calls that wait for transcripts."""
        return len(self._unwritten)

    # All calls

    async def drain(self, seconds: float) -> None:
        """Refuse new calls, give live calls `seconds` to end by themselves, then end them with a goodbye."""
        self._admission.close()
        await self._until_empty(seconds)
        goodbyes = [call.config.deadline_seconds["farewell"] for call in self._calls.values()]  # profiles differ
        for call in list(self._calls.values()):
            call.post(GoodbyeRequested(reason="shutdown", by=_DRAIN))
        await self._until_empty(max(goodbyes, default=0.0) + _RELEASE_SECONDS)
        await self.stop()

    async def hand_over(self, seconds: float) -> None:
        """Leave all calls at the same moment, without ending them: a call left earlier would be silent until the next
        process has it.

        The ideal moment is when nobody speaks. The longer the wait, the larger the share of calls that may be speaking:
        after `seconds`, all calls. Calls that arrive meanwhile are answered, and handed over with the others.
        """
        began = self._loop.time()
        while True:
            speaking = sum(not call.is_quiet for call in self._calls.values())
            if speaking <= len(self._calls) * (self._loop.time() - began) / seconds:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        self._admission.close()
        self.is_handing_over = True
        self._hurry()  # callers are waiting for the next process
        await asyncio.gather(*(call.hand_over() for call in list(self._calls.values())), return_exceptions=True)
        await self._until_empty(_RELEASE_SECONDS)

    async def stop(self) -> None:
        """End every call now, and give the hang-ups a moment to reach the carrier."""
        self._admission.close()
        for call in list(self._calls.values()):
            call.post(HangupRequested(reason="shutdown", by=_DRAIN))
        await self._until_empty(_RELEASE_SECONDS)
        leftovers = {*self._after_call, *self._unwritten.values()}
        if leftovers:
            await asyncio.wait(leftovers, timeout=_LEFTOVER_SECONDS)
        self._hurry()
        for task in (*self._tasks, *self._after_call):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._after_call, return_exceptions=True)

    def _hurry(self) -> None:
        self._hurries = True
        for call in self._unwritten:
            call.agent.wind_up.give_up()

    async def _until_empty(self, seconds: float) -> None:
        """Wait until no call is live, at most this many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while self._calls:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass


def _start(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None], name: str) -> None:
    # In a context of its own: that of the webhook which began the call would hold the request for as long as the call.
    context = Context()
    task = asyncio.create_task(work, name=name, context=context)
    tasks.add(task)
    task.add_done_callback(tasks.discard, context=context)
