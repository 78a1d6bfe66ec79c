"""Moves the calls of this node to nodes that are already running, one by one, each at a moment when nobody speaks.

The database agrees first: the last entry of the call and the change of its claim are one transaction. Until that is
committed the call is here, with its audio; only its events wait. Then it is left here, what was said last is noted, and
the other node is told to go on: from the journal, with a media stream and a session of its own. If it cannot be told,
it finds the claim by itself a few seconds later. If it takes no calls any more, another one gets the call. If there is
none, or the database does not agree, the call goes on here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, Literal

from callflow.call.call import Call
from callflow.call.machine import BRIDGED, STREAMING, says_last_words
from callflow.cluster.membership import Membership
from callflow.cluster.nodes import successors
from callflow.cluster.peers import Peer
from callflow.contracts.errors import Overloaded
from callflow.contracts.event import part_of
from callflow.history.journal_writer import DurableJournal
from callflow.journal import notes
from callflow.switchboard.switchboard import Switchboard


log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.02
"""Interval of the looks whether a call is quiet; no event reports it."""
_WATCH_SECONDS: Final = 0.25
"""Interval of the looks whether this node has been told to drain."""
_PATIENCE_SECONDS: Final = 20.0
"""How long the calls of a node that was told to drain may wait for a quiet moment."""
_SUCCESSOR_SECONDS: Final = 20.0
"""After this time without a worker of the next main process, those of one that has died say so."""
_LATE_SECONDS: Final = 5.0
"""So long after that, calls may still be moved that could not be in time: the database hung, or they were just being
recovered here. Others go on with what is left when this process has ended."""
_REST_SECONDS: Final = 10.0
"""How long a call may take to come to rest: a step that dials waits some seconds for the database."""
_GIVEN_SECONDS: Final = 1.5
"""How long events of a call wait for the database to give it away. Carriers wait 2 s for an answer."""
_WRITTEN_SECONDS: Final = 2.0
_NOTED_SECONDS: Final = 1.0
_MOST_TARGETS: Final = 3
"""Nodes that are tried for a call which is between the nodes."""
_ASKED_SECONDS: Final = 2.0
"""How long the other node, which was told of a call, may take to ask for what its caller says meanwhile."""
_STAY_SECONDS: Final = 3.0
"""How long the end of this node waits for a call that nobody has taken."""
_RESTS_SECONDS: Final = 2.0
"""When nobody has spoken for so long, hardly anybody begins to in this very moment."""
_FRESH_SECONDS: Final = 0.06
"""So soon after the agent's last word nobody answers."""
_ANSWER_SECONDS: Final = 0.25
"""So long after the agent's last word hardly anybody has begun to answer."""
_CHOOSY_SHARE: Final = 0.2
"""For this share of the time, calls wait for a rest."""
_AT_ONCE: Final = 2
"""Calls that are between the nodes at the same moment, while there is time: each of them makes work for the node that
gets it, which is what the others wait for."""
_MOVE_SECONDS: Final = 0.5
"""About so long a caller has no media stream, with a carrier that is far away."""


Quiet = bool | Literal["bridged"]


def at_once(calls: int, seconds: float) -> int:
    """Return how many calls may be between the nodes at the same moment, so that so many are moved in so many
    seconds."""
    return max(_AT_ONCE, min(calls, math.ceil(calls * _MOVE_SECONDS / max(seconds, _LOOK_SECONDS))))


class QuietMoments:
    """Which calls may be moved now: those whose callers are the least likely to begin to speak within the tenths of a
    second in which nobody hears them. Pure; times are seconds of one clock.

    Who has said nothing for a while goes on so. Where calls never rest for so long, the next best moment is the one at
    which the agent has just ended: nobody answers that quickly. When the time is up, any moment will do.
    """

    def __init__(self, began: float, seconds: float) -> None:
        """`seconds`: how long calls may wait for a quiet moment."""
        self._until = began + seconds
        self._choosy_until = began + seconds * _CHOOSY_SHARE
        self._since: dict[str, float] = {}
        """Since when each call has been quiet."""
        self._seen: set[str] = set()
        """Calls that have not been quiet at some look: of the others it is not known how long they have been."""

    def ready(self, quiet: Mapping[str, Quiet], now: float) -> list[str]:
        """Return the calls that may be moved now, of all that are left. To be asked every few hundredths of a second.
        `quiet`: by call; bridged: two people talk, and hear nothing of a move."""
        ready = []
        for call, is_quiet in quiet.items():
            if not is_quiet:
                self._since.pop(call, None)
                self._seen.add(call)
            since = self._since.setdefault(call, now) if is_quiet else now
            is_fresh = call in self._seen and now - since <= _FRESH_SECONDS and now >= self._choosy_until
            rests = now - since >= _RESTS_SECONDS
            if now >= self._until or is_quiet == "bridged" or (is_quiet and (is_fresh or rests)):
                ready.append(call)
        return ready

    def lasts(self, call: str, quiet: Quiet, now: float) -> bool:
        """Return whether the moment at which a call was ready is not over yet: the database may have let it wait."""
        quiet_for = now - self._since.get(call, now)
        may_answer = _ANSWER_SECONDS < quiet_for < _RESTS_SECONDS
        return now >= self._until or quiet == "bridged" or (bool(quiet) and not may_answer)


class Moving:
    """Empties this node."""

    def __init__(
        self,
        membership: Membership,
        switchboard: Switchboard,
        journal: DurableJournal,
        keep: Callable[[str], Awaitable[None]],
    ) -> None:
        """`keep`: goes on with a call that was left here and that no other node has. Never raises."""
        self._membership, self._switchboard, self._journal, self._keep = membership, switchboard, journal, keep
        self.moved = 0
        self._under_way: set[str] = set()
        """Calls that are being given away at the moment. While they are asked about their callers, they are in the
        switchboard still; then no more."""
        self._went_to: dict[str, str] = {}
        """To which node the first of a call's two sides went, by the id of the call, while the second is still here."""
        self._leaving: asyncio.Task[None] | None = None
        self._ends_its_calls = False
        """This node was told to end, and to move no call."""
        self._leaves = False
        """This node ends, and `leave` moves its calls: beside it `run` would move as many again at the same time."""

    async def run(self) -> None:
        """Move the calls away whenever this node has been told to drain, until cancelled."""
        while True:
            await self._membership.draining.wait()
            if self._switchboard.calls and not self._leaves:
                await self.move_all(_PATIENCE_SECONDS)
            await asyncio.sleep(_WATCH_SECONDS)

    async def leave(self, seconds: float) -> None:
        """Take no more calls, and move all that are here to other nodes within `seconds`, if any other node takes them.
        0: none is moved, unless this node had been told to drain before."""
        self._ends_its_calls = not seconds and not self._membership.draining.is_set()
        self._leaves = bool(seconds)
        try:
            await self._membership.begin_to_leave()
        except Exception as error:
            log.warning("the other nodes were not told that this node shuts down: %s", type(error).__name__)
        if seconds and self.is_possible:
            await self.move_all(seconds)
        while self._under_way:  # noqa: ASYNC110 - `run` may have begun with them; each has a deadline
            await asyncio.sleep(_LOOK_SECONDS)
        self._membership.takes_given = False

    def leave_later(self, leave: Callable[[], None]) -> None:
        """Call `leave` as soon as a node that is not there yet takes calls on this machine. Until then all goes on
        here: none may ever come up."""
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave_later(leave), name="leaving")

    async def _leave_later(self, leave: Callable[[], None]) -> None:
        membership, loop = self._membership, asyncio.get_running_loop()
        before = {node.name for node in membership.view.alive()}
        warn_at = loop.time() + _SUCCESSOR_SECONDS
        while not (self.is_possible and successors(membership.view, membership.me, before)):
            if loop.time() >= warn_at:
                warn_at = math.inf
                log.error("no worker of the next main process takes calls: this one goes on until one does")
            await asyncio.sleep(_WATCH_SECONDS)
        with contextlib.suppress(Exception):  # then they are told when it leaves
            await membership.set_state(membership.me, "draining", membership.epoch)
        await asyncio.sleep(_WATCH_SECONDS)  # others are leaving at the same moment
        leave()

    @property
    def is_possible(self) -> bool:
        """Whether another node would take the calls, and the database could say so to both."""
        return not (self._membership.trouble or self._journal.trouble) and self._target() is not None

    @property
    def _is_wanted(self) -> bool:
        is_told = self._membership.is_leaving or self._membership.draining.is_set()
        return is_told and not self._ends_its_calls

    def _target(self, carrier: str = "") -> Peer | None:
        name = self._membership.place_elsewhere(carrier)
        return self._membership.peer(name) if name else None

    def _target_of(self, call: Call) -> Peer | None:
        """Return the node that is to get a call: that of its other side, if the two stood here. What one knows of the
        conversation, the other decides by."""
        both = _both(call)
        here = {_both(one) for one in self._switchboard.calls if one is not call}
        self._went_to = {each: node for each, node in self._went_to.items() if each in here or each == both}
        beside = self._membership.view.named(self._went_to.get(both, ""))
        carrier = call.carrier.name
        takes = beside is not None and beside.state == "up" and self._membership.keys.serves(beside.name, carrier)
        target = self._membership.peer(beside.name) if beside is not None and takes else self._target(carrier)
        if target is not None and both in here:
            self._went_to[both] = target.name
        return target

    async def move_all(self, seconds: float) -> None:
        """Move every call, at a quiet moment within `seconds`, or then wherever its conversation is. Returns when none
        is left here, when no other node takes them, when this node is not to drain any more, or some seconds after that
        time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        end = until + _LATE_SECONDS
        moments = QuietMoments(loop.time(), seconds)
        moves: set[asyncio.Task[None]] = set()
        try:
            while self._switchboard.calls and self.is_possible and self._is_wanted and loop.time() < end:
                here = self._switchboard.calls
                served = {name for name in {call.carrier.name for call in here} if self._target(name) is not None}
                calls = {each.id: each for each in here if each.carrier.name in served and self._is_movable(each)}
                ready = moments.ready({name: _is_quiet(call) for name, call in calls.items()}, loop.time())
                # A call that is given while the database hangs is nobody's.
                most = at_once(len(calls), until - loop.time()) if self._membership.reaches_database else 0
                for name in ready[: max(most - len(moves), 0)]:
                    call = calls[name]
                    lasts = partial(lambda call: moments.lasts(call.id, _is_quiet(call), loop.time()), call)
                    move = asyncio.create_task(self._move(call, lasts), name=f"move {name}")
                    moves.add(move)
                    move.add_done_callback(moves.discard)
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            await asyncio.gather(*moves)
        if loop.time() >= end and self._switchboard.calls:
            log.warning("%d calls could not be moved to another node in time", len(self._switchboard.calls))

    async def _move(self, call: Call, lasts: Callable[[], bool]) -> None:
        """Move one call. `lasts`: returns whether this is still a good moment."""
        target = self._target_of(call) if self._is_movable(call) else None
        if target is None:
            return
        self._membership.count_placed(target.name, call.id)
        self._under_way.add(call.id)
        try:
            await self._give(call, target, lasts)
        finally:
            self._under_way.discard(call.id)

    async def _give(self, call: Call, target: Peer, lasts: Callable[[], bool]) -> None:
        claims = self._membership.claims
        try:
            if not await call.mailbox.hold(_REST_SECONDS):
                return  # it has ended, or does not come to rest
            given = await self._hand_over(call, target, lasts)
            if given is None:
                return
            self._has_gone(call, given[0].name)
            if call.agent.turns.hears_speech:
                # Since the database was asked, the caller has begun to speak. The model here may not have noticed, and
                # if their last words do not come to the other node, its model hears only the rest: it is to ask again.
                call.note(notes.CallerSpeaks())
            call.let_go(listens=call.model.state == STREAMING)
            call.mailbox.go_on()
            await self._note_last(call)
            claims.noted(call.id)
            self._has_gone(call, await self._tell_any(call, *given))
            claims.confirm_taken(call.id)
            if call.handover_input is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ASKED_SECONDS):
                        await call.handover_input.over()
        except Exception as error:
            # Whose the claim is, is not known. If it is still this node's, this one finds the call at its next look,
            # like one that it was given, or whoever lives does when this process ends.
            claims.drop([call.id])
            log.error("call %s: it could not be given to node %s: %r", call.id, target.name, error)
        finally:
            call.mailbox.go_on()
            if call.handover_input is not None:
                call.handover_input.give_up()
            claims.confirm_taken(call.id)

    async def _hand_over(
        self, call: Call, target: Peer, lasts: Callable[[], bool]
    ) -> tuple[Peer, tuple[str, int]] | None:
        """Give a call that is held to that node, or to the next one if it takes no calls. Returns the node that has it
        now, and its key; None: the call goes on here, until the next good moment."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _GIVEN_SECONDS
        for _ in range(_MOST_TARGETS):
            node = self._membership.view.named(target.name)
            if node is None:
                return None
            one = self._journal.hand_over(call.entry(notes.HandedOver(quiet=call.is_quiet)), node.key, lasts)
            try:
                await asyncio.wait([one.given], timeout=max(until - loop.time(), 0.0))
                if not one.given.done():
                    log.error("call %s: the database does not answer, so that it goes on here", call.id)
                    one.withdraw()
                    call.mailbox.go_on()
                    await asyncio.wait([one.given], timeout=_LATE_SECONDS)  # it may have been too late for that
                    return (target, node.key) if one.given.done() and one.given.result() else None
            finally:
                one.withdraw()
                one.given.cancel()
            if one.given.result():
                return target, node.key
            if not lasts():
                return None
            log.warning("call %s: it is not moved to node %s", call.id, target.name)
            await self._membership.look_again()
            another = self._target(call.carrier.name)
            if another is None or not self.is_possible or loop.time() > until:
                return None
            target = another
        return None

    async def _note_last(self, call: Call) -> None:
        """Return when what was said last in a call that is left here is written, or cannot be."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_NOTED_SECONDS):
                await call.is_noted.wait()
        if self._journal.waiting_of(call.id):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WRITTEN_SECONDS):
                    await self._journal.flushed()

    def _has_gone(self, call: Call, node: str) -> None:
        """Note to which node a call went, if its other side is still to follow. `node`: its name; "": to none."""
        if node and (both := _both(call)) in self._went_to:
            self._went_to[both] = node

    async def _tell_any(self, call: Call, target: Peer, key: tuple[str, int]) -> str:
        """Tell that node that it has a call which was left here, or give it to the next one if it takes no calls any
        more. If none does, the call goes on here. Returns the name of the node that has it now; "": none but this one.
        Raises what the driver raises, TimeoutError, and Overloaded if this node is dead."""
        at: tuple[str, int] | None = key
        for tries in range(_MOST_TARGETS):
            with contextlib.suppress(Overloaded):
                at = await self._hand_claim(call.id, target.name, at) if tries else at
                if at is None:
                    return ""  # it has ended, or was taken over
                taken = await self._membership.tell(target, [call.id])
                if taken is None:
                    log.warning(
                        "call %s: node %s was not told of the move, and finds the call by itself", call.id, target.name
                    )
                if taken is None or call.id in taken:
                    self.moved += 1
                    return target.name
            log.warning("call %s: node %s takes no calls any more", call.id, target.name)
            await self._membership.look_again()
            another = self._target(call.carrier.name)
            if another is None:
                break
            target = another
        if await self._hand_claim(call.id, self._membership.me, at) is not None:
            await self._stay(call)
        return ""

    async def _hand_claim(self, call: str, to: str, of: tuple[str, int] | None) -> tuple[str, int] | None:
        async with asyncio.timeout(_WRITTEN_SECONDS):
            return await self._membership.give(call, to, of)

    async def _stay(self, call: Call) -> None:
        if call.handover_input is not None:
            call.handover_input.give_up()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STAY_SECONDS):
                await self._keep(call.id)

    def _is_movable(self, call: Call) -> bool:
        """Whether this process has the call, and it goes on: not yet one that is being recovered or comes from another
        node, and no more one that is given away, or whose last sentence is being said: that would be cut, and said
        again."""
        passes = call.awaits_return or call.is_arriving or call.is_handed_over or call.id in self._under_way
        return not (passes or says_last_words(call.model))


def _both(call: Call) -> str:
    """Return the id under which the two sides of a call are known: an outbound call that was led to the engine's SIP
    address, and the call that arrived there."""
    return part_of(call.ids) or call.id


def _is_quiet(call: Call) -> Quiet:
    """Whether nobody speaks, or two people talk without us."""
    return "bridged" if call.model.state == BRIDGED else call.is_quiet
