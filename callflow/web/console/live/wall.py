"""The wall: all live calls as rows, with levels and counters, for everybody who watches.

While anybody does, the calls are looked at five times a second; what has changed is encoded once for all. Who is bound
to one business has a channel of that business's calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from callflow.call.call import Call
from callflow.media.voice_levels import VoiceLevels
from callflow.switchboard.switchboard import Switchboard
from callflow.telemetry.last_hour import LastHour
from callflow.web.console.live.other_calls import OtherCalls
from callflow.web.console.live.other_nodes import LOST, OtherNodes
from callflow.web.console.live.rows import Costs, answered_at, row
from callflow.web.console.live.sse import HEARTBEAT, Signal, frame, news


log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.2
_ROW_SECONDS: Final = 0.25
"""The least time between two rows of one call."""
_COUNTER_SECONDS: Final = 2.0
_RESULT_SECONDS: Final = 5.0
"""How long a call that is gone may take for its last words, and so for its result."""
_MOST_FRAMES: Final = 1000
"""Of one channel. A viewer who is further behind gets a snapshot instead."""
_AT_ONCE: Final = 20
"""Calls that are looked at before others have a turn: less than a millisecond."""
_ALL: Final = ""


@dataclass(slots=True)
class _Seen:
    """What viewers were told of one call last."""

    call: Call
    told: dict[str, Any]
    at: float
    """When, on the loop's clock."""
    answered: float | None
    levels: VoiceLevels


class _Channel:
    """The frames of the last moments, for the viewers of one business or of all."""

    def __init__(self, business: str) -> None:
        self.business = business
        self.viewers = 0
        self.frames: list[bytes] = []
        self.begins = 0
        """The number of the first frame that is kept."""
        self.signal = Signal()
        self.counters: dict[str, Any] = {}
        self.snapshot: bytes | None = None
        """As of the end of the frames; None: it is still to be made."""

    @property
    def end(self) -> int:
        """The number of the next frame."""
        return self.begins + len(self.frames)

    def tell(self, told: bytes) -> None:
        """Add a frame."""
        self.frames.append(told)
        self.snapshot = None
        if len(self.frames) > 2 * _MOST_FRAMES:
            del self.frames[:_MOST_FRAMES]
            self.begins += _MOST_FRAMES

    def shows(self, business: str) -> bool:
        """Return whether the calls of a business are seen here."""
        return self.business in (_ALL, business)


class Wall:
    """The stream of all live calls: looks at the calls while somebody watches, and tells what has changed."""

    def __init__(
        self,
        switchboard: Callable[[], Switchboard],
        hour: LastHour,
        *,
        costs: Callable[[], Costs],
        today: Callable[[], int | None],
        now: Callable[[], float],
        others: OtherNodes | None = None,
    ) -> None:
        """`costs`: as `Budget.live_costs`. `today`: returns how many calls today has had; None: that is not known.
        `now`: Unix time, in seconds. `others`: the other nodes, whose calls are shown as well; None: there are none."""
        self._others, self._theirs = others, OtherCalls()
        self._switchboard, self._hour, self._costs, self._today, self._now = switchboard, hour, costs, today, now
        self._channels: dict[str, _Channel] = {}
        self._seen: dict[str, _Seen] = {}
        self._leaving: dict[str, tuple[str, float]] = {}
        """Calls that are gone and whose result is not known yet: their business, and until when it is awaited."""
        self._task: asyncio.Task[None] | None = None
        self._has_looked = asyncio.Event()
        self._counted_at = -inf
        """When the counters were told; -inf: they are to be told at the next look."""
        self.is_closed = False
        self.looks = 0
        """How often the calls were looked at; for tests."""

    async def watch(self, business: str) -> AsyncGenerator[bytes, None]:
        """Yield what a viewer gets, from a snapshot on, until `close`. `business`: whose calls; "": all."""
        channel = self._channels.setdefault(business, _Channel(business))
        channel.viewers += 1
        try:
            if self._task is None:
                self._has_looked = asyncio.Event()
                self._task = asyncio.create_task(self._run(), name="live wall")
                if self._others is not None:
                    self._others.open(self._take_from)
            await self._has_looked.wait()
            at = -1
            while not self.is_closed:
                event = channel.signal.waiting()
                if at < channel.begins:
                    at = channel.end
                    yield self._snapshot(channel)
                elif at < channel.end:
                    piece = b"".join(channel.frames[at - channel.begins :])
                    at = channel.end
                    yield piece
                elif not await news(event):
                    yield HEARTBEAT
        finally:
            channel.viewers -= 1
            if not channel.viewers:
                self._channels.pop(business, None)
            if not self._channels:
                self._stop()

    def close(self) -> None:
        """End all streams."""
        self.is_closed = True
        for channel in self._channels.values():
            channel.signal.set()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._others is not None:
            self._others.close()
        self._theirs = OtherCalls()
        for seen in self._seen.values():
            _untap(seen)
        self._seen.clear()
        self._leaving.clear()
        self._counted_at = -inf

    def _snapshot(self, channel: _Channel) -> bytes:
        if not channel.counters:
            channel.counters = self._counters(channel.business)
        if channel.snapshot is None:
            rows = [seen.told for seen in self._seen.values() if channel.shows(seen.call.config.business)]
            rows += [row for row in self._theirs.rows(self._seen) if channel.shows(row["business"])]
            channel.snapshot = frame("snapshot", {"calls": rows, "counters": channel.counters})
        return channel.snapshot

    # Looking

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:
                log.exception("the live calls cannot be shown for a moment")
            self._has_looked.set()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> None:
        self.looks += 1
        now = asyncio.get_running_loop().time()
        calls, costs = self._switchboard().calls, self._costs()
        levels: dict[str, tuple[float, float]] = {}
        for number, call in enumerate(calls, 1):
            self._look_at(call, costs, now, levels)
            if not number % _AT_ONCE:
                await asyncio.sleep(0)
        self._look_for_gone({call.id for call in calls}, now)
        if levels:
            self._tell_levels(levels)
        if now - self._counted_at >= _COUNTER_SECONDS:
            self._counted_at = now
            for channel in self._channels.values():
                channel.counters = self._counters(channel.business)
                channel.tell(frame("counters", channel.counters))
        for channel in self._channels.values():
            channel.signal.set()

    def _look_at(self, call: Call, costs: Costs, now: float, levels: dict[str, tuple[float, float]]) -> None:
        seen = self._seen.get(call.id)
        if seen is None or seen.call is not call:
            answered = answered_at(call, self._now())
            told = row(call, costs(call), answered)
            seen = self._seen[call.id] = _Seen(call, told, now, answered, VoiceLevels())
            self._tell("call", told, call.config.business)
        elif now - seen.at >= _ROW_SECONDS:
            if seen.answered is None:
                seen.answered = answered_at(call, self._now())
            told = row(call, costs(call), seen.answered)
            if told != seen.told:
                seen.told, seen.at = told, now
                self._tell("call", told, call.config.business)
        call.relay.taps.add(seen.levels)
        both = seen.levels.take()
        if both != (0.0, 0.0):
            levels[call.id] = both

    def _look_for_gone(self, live: set[str], now: float) -> None:
        for name in [name for name in self._seen if name not in live]:
            seen = self._seen.pop(name)
            _untap(seen)
            self._leaving[name] = seen.call.config.business, now + _RESULT_SECONDS
        for name, (business, until) in list(self._leaving.items()):
            if name in self._theirs:  # another node has it now, and tells of it
                del self._leaving[name]
            elif (result := self._hour.result(name)) or now >= until:
                del self._leaving[name]
                self._tell("gone", {"id": name, "result": result}, business)
        for told in self._theirs.forgotten(now):
            if told["id"] not in self._seen:
                self._tell("gone", {"id": told["id"], "result": ""}, told["business"])

    def _tell(self, event: str, data: dict[str, Any], business: str) -> None:
        told = frame(event, data)
        for channel in self._channels.values():
            if channel.shows(business):
                channel.tell(told)

    def _take_from(self, node: str, event: str, data: Any) -> None:
        """Take what another node tells of its calls."""
        if event == LOST:
            self._theirs.lost(node, asyncio.get_running_loop().time())
        elif event == "snapshot":
            # It is what this node gets instead of all that it was too slow for: the ends of calls, too.
            self._theirs.lost(node, asyncio.get_running_loop().time())
            self._theirs.counters[node] = data["counters"]
            self._counted_at = -inf  # the counters that viewers have are of before
            for each in data["calls"]:
                self._take_from(node, "call", each)
        elif event == "counters":
            self._theirs.counters[node] = data
        elif event == "call":
            self._theirs.add(node, data)
            if data["id"] not in self._seen:
                self._tell("call", data, data["business"])
        elif event == "gone":
            old = self._theirs.remove(node, data["id"])
            if old is not None and data["id"] not in self._seen:
                self._tell("gone", data, old["business"])
        elif event == "levels":
            self._tell_levels({name: both for name, both in data.items() if name not in self._seen})

    def _tell_levels(self, levels: dict[str, tuple[float, float]]) -> None:
        told = frame("levels", levels)
        for channel in self._channels.values():
            if channel.business == _ALL:
                channel.tell(told)
                continue
            own = {name: both for name, both in levels.items() if channel.shows(self._business(name))}
            if own:
                channel.tell(frame("levels", own))

    def _business(self, name: str) -> str:
        seen = self._seen.get(name)
        return seen.call.config.business if seen is not None else self._theirs.business(name)

    def _counters(self, business: str) -> dict[str, Any]:
        """Return the counters. Who is bound to a business sees nothing of the others in them."""
        board, at = self._switchboard(), self._now()
        missing = sorted(self._others.missing) if self._others is not None else []
        if business:
            own = sum(call.config.business == business for call in board.calls)
            own += sum(row["business"] == business for row in self._theirs.rows(self._seen))
            of_all = dict.fromkeys(("today", "latency_p50_ms", "latency_p95_ms", "loop_lag_p99_ms"))
            return {"live": own, **of_all, "ended": {}, "missing": missing}
        p50, p95 = self._hour.latency(at)
        ended = Counter(self._hour.results(at))
        for each in self._theirs.counters.values():
            ended.update(each["ended"])
        return {
            "live": len(board.calls) + len(self._theirs.rows(self._seen)),
            "today": self._today(),
            "latency_p50_ms": p50,
            "latency_p95_ms": p95,
            "loop_lag_p99_ms": round(board.load.p99_ms, 1),
            "ended": dict(ended),
            "missing": missing,
        }


def _untap(seen: _Seen) -> None:
    seen.call.relay.taps.discard(seen.levels)
