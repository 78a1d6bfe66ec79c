"""What the WebSocket `/logs` tells of all live calls, encoded once for all who are connected.

While anybody is, each live call is followed from its beginning; whoever connects is told the whole of every live call
first, and from then on what comes. In a cluster the other nodes tell of theirs. What follows from an entry of a call's
journal has that entry's number, which is the same at every node: so nothing is told twice of a call that moves, or by a
node that begins again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from callflow.call.call import Call
from callflow.contracts.printable import to_json
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.live.model_events import growing, model_events, single
from callflow.web.console.live.other_nodes import LOST, OtherNodes
from callflow.web.console.live.single_events import MOST
from callflow.web.console.live.sse import HEARTBEAT, Signal, frame, news
from callflow.web.console.live.story import Stories


log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.2
_GRACE_SECONDS: Final = 5.0
"""How long a call of which nobody tells any more may take to be told of by another node."""
_MOST: Final = 2000
"""Pieces that are kept for those who are a little behind. Who is further behind is disconnected, and comes back."""
_EVENT: Final = "log"
_OWN: Final = ""
"""Stands for this node among those that tell of a call."""
_PASSING, _SINGLE, _OVER = -1, -2, -3
"""Numbers of pieces that follow from no entry: words that grow, single events, and the end."""


class _Piece(NamedTuple):
    """Messages of one call that belong together."""

    business: str
    """Whose call it is; "": nobody's in particular."""
    call: str
    stream: str
    number: int
    """Of the entry that they follow from, or one of the above."""
    messages: tuple[str, ...]
    is_own: bool = True


@dataclass(slots=True)
class _Followed:
    """One live call, here or at another node."""

    name: str
    business: str
    call: Call | None = None
    """None: it is at another node."""
    tellers: set[str] = field(default_factory=set)
    """The nodes that tell of it."""
    untold: float = 0.0
    """Since when nobody does, on the loop's clock."""
    newest: int = 0
    """The number of the newest entry that was looked at."""
    stream: str = ""
    """The id of its first media stream; "": there was none so far, and nothing is told."""
    waiting: list[Mapping[str, Any]] = field(default_factory=list)
    """What is told when its stream has started."""
    told: list[_Piece] = field(default_factory=list)
    """All that whoever comes late is told."""
    singles: list[_Piece] = field(default_factory=list)
    """Those of them that tell single events, of which only the newest are kept."""
    spoken: dict[str, str] = field(default_factory=dict)
    """By item: words that were told while they were being spoken."""

    def keep(self, piece: _Piece) -> None:
        """Note what whoever comes late is told, and let go of old single events."""
        if piece.number == _PASSING:
            return
        self.told.append(piece)
        if piece.number != _SINGLE:
            return
        self.singles.append(piece)
        if len(self.singles) > 2 * MOST:
            gone = set(map(id, self.singles[:MOST]))
            self.told = [each for each in self.told if id(each) not in gone]
            del self.singles[:MOST]

    def leave(self, node: str, now: float) -> None:
        """Learn that a node tells nothing more of it."""
        if node in self.tellers:
            self.tellers.remove(node)
            self.untold = now


class LogFeed:
    """The messages of all live calls."""

    def __init__(
        self, switchboard: Callable[[], Switchboard], stories: Stories, others: OtherNodes | None = None
    ) -> None:
        """`others`: what the other nodes tell; None: there are none."""
        self._switchboard, self._stories, self._others = switchboard, stories, others
        self._followed: dict[str, _Followed] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._viewers = 0
        self._of_all = 0
        """Those of them who see the calls of other nodes, too."""
        self._recent: list[_Piece] = []
        self._begins = 0
        self._signal = Signal()

    async def messages(
        self, business: str = "", *, own: bool = False, deltas: bool = True
    ) -> AsyncGenerator[str, None]:
        """Yield what a viewer gets; ends when it is too far behind, or the server stops. `business`: whose calls are
        told; "": all. `own`: only those of this node. `deltas`: with words that are being spoken, not only with those
        that were: a telephone number comes in parts then, of which none can be masked."""
        pieces = self._pieces(own=own)
        try:
            async for piece in pieces:
                if piece is None or (piece.number == _PASSING and not deltas):
                    continue
                if business in ("", piece.business):
                    for message in piece.messages:
                        yield message
        finally:
            await pieces.aclose()

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield what another node gets of the calls of this one, as a stream of events."""
        pieces = self._pieces(own=True)
        try:
            async for piece in pieces:
                yield HEARTBEAT if piece is None else frame(_EVENT, piece._asdict())
        finally:
            await pieces.aclose()

    async def _pieces(self, *, own: bool) -> AsyncGenerator[_Piece | None, None]:
        """Yield what the journal has of all live calls, and then what comes; None: nothing, for a while."""
        self._viewers += 1
        self._of_all += not own
        try:
            if self._watch is None:
                self._watch = asyncio.create_task(self._look(), name="logs")
            if self._of_all == 1 and not own and self._others is not None:
                self._others.open(self._take_from)
            seen = [each for each in self._followed.values() if not own or each.call is not None]
            told = [piece for followed in seen for piece in followed.told if not own or piece.number != _SINGLE]
            at = self._begins + len(self._recent)  # as of the same moment
            for piece in told:
                yield piece
                await asyncio.sleep(0)  # frames come between, also while the viewer takes all that there is
            while not self._stories.is_closed and at >= self._begins:
                event = self._signal.waiting()
                if at < self._begins + len(self._recent):
                    piece = self._recent[at - self._begins]
                    at += 1
                    if piece.is_own or not own:
                        yield piece
                        await asyncio.sleep(0)
                elif not await news(event):
                    yield None
        finally:
            self._viewers -= 1
            self._of_all -= not own
            if not self._of_all and not own and self._others is not None:
                self._others.close()
                self._followed = {name: each for name, each in self._followed.items() if each.call is not None}
                for each in self._followed.values():
                    each.tellers &= {_OWN}
            if not self._viewers:
                self._stop()

    def close(self) -> None:
        """End all streams, after the stories."""
        self._signal.set()

    def call(self, name: str, business: str = "") -> Call | None:
        """Return the live call of this node that somebody names by its stream's id or ours. `business`: see
        `messages`."""
        named = next((each.call for each in self._followed.values() if name and each.stream == name), None)
        found = named or self._switchboard().live(name)
        return found if found is not None and business in ("", found.config.business) else None

    def elsewhere(self, name: str, business: str = "") -> tuple[str, str]:
        """Return our id of a call that another node has, and the name of that node; "" and "": there is none that
        somebody means by `name`, the id of its stream or ours."""
        for each in self._followed.values():
            if name in (each.stream, each.name) and each.call is None and business in ("", each.business):
                return each.name, next(iter(each.tellers), "")
        return "", ""

    def count_elsewhere(self, business: str = "") -> int:
        """Return how many calls other nodes have, as far as they tell."""
        return sum(each.call is None and business in ("", each.business) for each in self._followed.values())

    def _stop(self) -> None:
        for task in (self._watch, *self._tasks.values()):
            if task is not None:
                task.cancel()
        self._watch = None
        self._tasks.clear()
        self._followed.clear()
        self._begins += len(self._recent)
        self._recent.clear()

    # The calls of this node

    async def _look(self) -> None:
        while True:
            calls = {call.id: call for call in self._switchboard().calls}
            for call in calls.values():
                if call.id not in self._tasks:
                    self._tasks[call.id] = asyncio.create_task(self._follow(call), name=f"logs of {call.id}")
            for name, task in list(self._tasks.items()):
                followed = self._followed.get(name)
                if task.done() and name not in calls:
                    del self._tasks[name]
                elif followed is not None and followed.call is not None and followed.call.is_handed_over:
                    task.cancel()  # its end is another node's to tell
            now = asyncio.get_running_loop().time()
            for followed in [each for each in self._followed.values() if not each.tellers]:
                if now - followed.untold >= _GRACE_SECONDS:
                    self._tell(followed, [_ended(result="")], _OVER)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _follow(self, call: Call) -> None:
        followed = self._followed.setdefault(call.id, _Followed(call.id, call.config.business))
        followed.call = call
        followed.tellers.add(_OWN)
        pieces = self._stories.watch(call.id, 0, singles=True)
        try:
            async for piece in pieces:
                if piece != HEARTBEAT:
                    for event, data in events_in(piece):
                        self._take(followed, event, data)
        except Exception as error:  # the history cannot be read
            log.info("the log lines of a call cannot be shown: %s", type(error).__name__)
            self._forget(followed)
        finally:
            await pieces.aclose()
            followed.call = None
            followed.leave(_OWN, asyncio.get_running_loop().time())
            if not followed.stream:
                self._forget(followed)

    def _take(self, followed: _Followed, event: str, data: Mapping[str, Any]) -> None:
        if event == "partial":
            before, now = followed.spoken.get(data["item"], ""), data["text"]
            if followed.stream and now.startswith(before) and now != before:
                followed.spoken[data["item"]] = now
                self._tell(followed, [growing(data["who"], data["item"], now[len(before) :])], _PASSING)
            return
        if event == "single":
            if (made := single(data)) is not None:
                self._tell(followed, [made], _SINGLE)
            return
        if event == "missed":  # it would have to be further behind than anybody can be within one process
            return
        if event == "over":
            self._tell(followed, [_ended(**data)], _OVER)
            return
        if (number := data["seq"]) <= followed.newest:  # another node has told it
            return
        followed.newest = number
        told: list[Mapping[str, Any]] = []
        if data["kind"] == "media_started" and not followed.stream and followed.call is not None:
            followed.stream = str(data["step"]["event"].get("stream") or followed.name)
            told, followed.waiting = [_started(followed.call), *followed.waiting], []
        told += model_events(data)
        self._tell(followed, told, number)

    def _tell(self, followed: _Followed, told: Sequence[Mapping[str, Any]], number: int) -> None:
        """Tell this of a call, as soon as its stream has started."""
        if followed.stream and told:
            of = {"streamSid": followed.stream, "callId": followed.name}
            messages = tuple(to_json({**made, **of}).decode() for made in told)
            self._add(followed, _Piece(followed.business, followed.name, followed.stream, number, messages))
        elif not followed.stream:
            followed.waiting += told
        if number == _OVER:
            self._forget(followed)

    def _add(self, followed: _Followed, piece: _Piece) -> None:
        followed.keep(piece)
        self._recent.append(piece)
        if len(self._recent) > 2 * _MOST:
            del self._recent[:_MOST]
            self._begins += _MOST
        self._signal.set()

    def _forget(self, followed: _Followed) -> None:
        if self._followed.get(followed.name) is followed:
            del self._followed[followed.name]

    # Those of others

    def _take_from(self, node: str, event: str, data: Any) -> None:
        """Take what another node tells of its calls."""
        if event == LOST:
            now = asyncio.get_running_loop().time()
            for each in self._followed.values():
                each.leave(node, now)
        if event != _EVENT or not self._of_all:
            return
        business, call, stream, number = (data[name] for name in _Piece._fields[:4])
        piece = _Piece(business, call, stream, number, tuple(data["messages"]), is_own=False)
        followed = self._followed.setdefault(piece.call, _Followed(piece.call, piece.business))
        followed.tellers.add(node)
        if 0 < piece.number <= followed.newest:
            return
        followed.newest = max(followed.newest, piece.number)
        followed.stream, followed.waiting = piece.stream, []
        self._add(followed, piece)
        if piece.number == _OVER:
            self._forget(followed)


def _started(call: Call) -> dict[str, Any]:
    return {
        "type": "call.started", "carrier": call.carrier.name, "direction": call.direction,
        "from": call.from_number, "to": call.to_number, "began": call.began,
    }  # fmt: skip


def _ended(**how: Any) -> dict[str, Any]:
    return {"type": "call.ended", "message": "Call ended", **how}


def events_in(piece: bytes) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the events of a piece of a story, each with its data."""
    found = []
    for each in piece.split(b"\n\n"):
        head, _, data = each.partition(b"\ndata: ")
        if data:
            found.append((head.rpartition(b"event: ")[2].decode(), msgspec.json.decode(data)))
    return found
