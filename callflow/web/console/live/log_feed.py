"""What the WebSocket `/logs` tells of all live calls, encoded once for all who are connected.

While anybody is, each live call is followed from its beginning; whoever connects is told the whole of every live call
first, and from then on what comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from callflow.call.call import Call
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.live.model_events import growing, model_events, single
from callflow.web.console.live.single_events import MOST
from callflow.web.console.live.sse import HEARTBEAT, Signal, news
from callflow.web.console.live.story import Stories
from callflow.web.responses import to_json


log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.2
_MOST: Final = 2000
"""Messages that are kept for those who are a little behind. Who is further behind is disconnected, and comes back."""


@dataclass(slots=True)
class _Followed:
    """One live call."""

    call: Call
    stream: str = ""
    """The id of its first media stream; "": there was none so far, and nothing is told."""
    told: list[str] = field(default_factory=list)
    """All its messages; before its stream has started, those that wait for it."""
    singles: list[str] = field(default_factory=list)
    """Those of them that tell single events, of which only the newest are kept."""
    spoken: dict[str, str] = field(default_factory=dict)
    """By item: words that were told while they were being spoken."""

    def keep(self, message: str) -> None:
        """Note a message about a single event, and let go of old ones."""
        self.singles.append(message)
        if len(self.singles) > 2 * MOST:
            gone = set(map(id, self.singles[:MOST]))
            self.told = [each for each in self.told if id(each) not in gone]
            del self.singles[:MOST]

    @property
    def business(self) -> str:
        """Whose call it is; "": nobody's in particular."""
        return self.call.config.business


class LogFeed:
    """The messages of all live calls."""

    def __init__(self, switchboard: Callable[[], Switchboard], stories: Stories) -> None:
        self._switchboard, self._stories = switchboard, stories
        self._followed: dict[str, _Followed] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._viewers = 0
        self._recent: list[tuple[str, str]] = []
        """The newest messages, each with the business of its call."""
        self._begins = 0
        self._signal = Signal()

    async def messages(self, business: str = "") -> AsyncGenerator[str, None]:
        """Yield what a viewer gets; ends when it is too far behind, or the server stops. `business`: whose calls are
        told; "": all."""
        self._viewers += 1
        try:
            if self._watch is None:
                self._watch = asyncio.create_task(self._look(), name="logs")
            seen = [each for each in self._followed.values() if each.stream and business in ("", each.business)]
            told = [message for followed in seen for message in followed.told]
            at = self._begins + len(self._recent)  # as of the same moment
            for message in told:
                yield message
            while not self._stories.is_closed and at >= self._begins:
                event = self._signal.waiting()
                if at < self._begins + len(self._recent):
                    of, message = self._recent[at - self._begins]
                    at += 1
                    if business in ("", of):
                        yield message
                else:
                    await news(event)
        finally:
            self._viewers -= 1
            if not self._viewers:
                self._stop()

    def close(self) -> None:
        """End all streams, after the stories."""
        self._signal.set()

    def call(self, name: str, business: str = "") -> Call | None:
        """Return the live call that somebody names by its stream's id or ours. `business`: see `messages`."""
        named = next((each.call for each in self._followed.values() if name and each.stream == name), None)
        found = named or self._switchboard().live(name)
        return found if found is not None and business in ("", found.config.business) else None

    def _stop(self) -> None:
        for task in (self._watch, *self._tasks.values()):
            if task is not None:
                task.cancel()
        self._watch = None
        self._tasks.clear()
        self._followed.clear()
        self._begins += len(self._recent)
        self._recent.clear()

    async def _look(self) -> None:
        while True:
            for call in self._switchboard().calls:
                if call.id not in self._tasks:
                    self._tasks[call.id] = asyncio.create_task(self._follow(call), name=f"logs of {call.id}")
            live = {call.id for call in self._switchboard().calls}
            for name in [name for name, task in self._tasks.items() if task.done() and name not in live]:
                del self._tasks[name]
            await asyncio.sleep(_LOOK_SECONDS)

    async def _follow(self, call: Call) -> None:
        followed = self._followed[call.id] = _Followed(call)
        pieces = self._stories.watch(call.id, 0, singles=True)
        try:
            async for piece in pieces:
                if piece != HEARTBEAT:
                    for event, data in events_in(piece):
                        self._take(followed, event, data)
        except Exception as error:  # the history cannot be read
            log.info("the messages of a call cannot be told: %s", type(error).__name__)
        finally:
            await pieces.aclose()
            if self._followed.get(call.id) is followed:
                del self._followed[call.id]

    def _take(self, followed: _Followed, event: str, data: Mapping[str, Any]) -> None:
        if event == "partial":
            before, now = followed.spoken.get(data["item"], ""), data["text"]
            if followed.stream and now.startswith(before) and now != before:
                followed.spoken[data["item"]] = now
                self._tell(followed, growing(data["who"], data["item"], now[len(before) :]), is_kept=False)
            return
        if event == "single":
            if (made := single(data)) is not None:
                self._tell(followed, made, is_single=True)
            return
        if event == "missed":  # it would have to be further behind than anybody can be within one process
            return
        if event == "over":
            self._tell(followed, {"type": "call.ended", "message": "Call ended", **data})
            return
        if data["kind"] == "media_started" and not followed.stream:
            self._start(followed, str(data["step"]["event"].get("stream") or followed.call.id))
        for made in model_events(data):
            self._tell(followed, made)

    def _start(self, followed: _Followed, stream: str) -> None:
        """Tell that a call has begun, and what waited for that."""
        call, waiting = followed.call, followed.told
        followed.stream, followed.told = stream, []
        started = {
            "type": "call.started", "carrier": call.carrier.name, "direction": call.direction,
            "from": call.from_number, "to": call.to_number, "began": call.began,
        }  # fmt: skip
        self._tell(followed, started)
        for made in waiting:
            self._tell(followed, msgspec.json.decode(made))

    def _tell(
        self, followed: _Followed, made: Mapping[str, Any], *, is_kept: bool = True, is_single: bool = False
    ) -> None:
        if not followed.stream:
            followed.told.append(to_json(made).decode())
            return
        message = to_json({**made, "streamSid": followed.stream, "callId": followed.call.id}).decode()
        if is_kept:
            followed.told.append(message)
        if is_single:
            followed.keep(message)
        self._recent.append((followed.business, message))
        if len(self._recent) > 2 * _MOST:
            del self._recent[:_MOST]
            self._begins += _MOST
        self._signal.set()


def events_in(piece: bytes) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the events of a piece of a story, each with its data."""
    found = []
    for each in piece.split(b"\n\n"):
        head, _, data = each.partition(b"\ndata: ")
        if data:
            found.append((head.rpartition(b"event: ")[2].decode(), msgspec.json.decode(data)))
    return found
