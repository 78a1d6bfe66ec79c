"""The legs of one call: the caller's, and that of a person to whom the call is transferred.

A leg that we dial is an `OutboundLeg`, because its ids come later. Which step of a transfer follows which is decided in
the machine (`machine/transfer_table.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from callflow.call import machine
from callflow.call.mailbox import Mailbox
from callflow.call.outbound_leg import OutboundLeg
from callflow.contracts import commands, events
from callflow.contracts.carrier import Carrier
from callflow.contracts.commands import Command
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import CALLER, FORMER, HUMAN, Event, LegIds, TransferRequested


NOT_WRITTEN: Final = "the call could not be written down, so it was not dialled"
"""Why nothing was dialled, if the journal could not take it."""
BY_MACHINE: Final = "fallback"
"""Who has requested a transfer to the fallback number, in the words of `TransferRequested.by`."""
_SECONDS_A_CHARACTER: Final = 0.09
"""Of a carrier's voice that speaks slowly."""
_NUMBER_SECONDS: Final = 8.0
"""Of a telephone number that is said digit by digit."""
_MOST_BRIEFING_SECONDS: Final = 180.0
_MOST_FORMER: Final = 100
_TOLD: Final = {
    "rings": (
        "{target} is being rung for the caller. Tell the caller in one short sentence that you are trying to reach "
        "them and that it takes a moment. Stay with the caller: you will be told how it ends."
    ),
    "refused": "{target} cannot take the call now. Tell the caller so in one sentence, and go on helping them.",
    "not_reached": "{target} could not be reached. Tell the caller so in one sentence, and go on helping them.",
    "not_joined": "The connection with {target} failed. Say so in one sentence, and go on helping the caller yourself.",
    "interrupted": (
        "The line was interrupted while {target} was to be reached, and nobody was reached. Say so in one sentence, "
        "and go on helping the caller yourself."
    ),
    "left": ("The caller has talked with {target}{length}, and is back with you because {target} has hung up. {heard}"),
    "referred": "",
    "call_ended": "",
}
"""What the agent is told, by the outcome of `commands.TellTransfer`; "": nothing."""
_NOT_HEARD: Final = "You did not hear what was said."
_HEARD: Final = "What you have been told of their words is all that was understood of them. Do not ask for it again."
_HEARD_IN_PART: Final = (
    "You have been told a part of their words, and did not hear the rest. Do not ask again for what you have been told."
)


@dataclass(slots=True)
class Transfer:
    """One transfer, from the request until the person has left."""

    requested: TransferRequested
    leg: OutboundLeg
    ids: LegIds = field(default_factory=LegIds)
    """Of the person's leg."""
    joined_at: float | None = None
    """When caller and person were joined, in Unix time (seconds)."""
    was_listened: bool = False
    """A session has written down what they said, in this process or before."""
    has_gaps: bool = False
    """Some of it may be missing: the session was lost, or the process has changed."""
    is_queued: bool = False
    """The carrier may keep the dial in its queue, and has not said yet that it begins with it."""

    def describe_outcome(self, outcome: str, now: float) -> str:
        """Return what the agent is told; "": nothing. `now`: Unix time, seconds."""
        if outcome == "rings" and self.requested.by == "agent":
            return ""  # the answer of the agent's tool has said so
        if self.requested.by == BY_MACHINE and outcome != "interrupted":
            return ""  # there is no agent any more
        target = self.requested.target or "the person"
        length = f" for {_length(max(now - self.joined_at, 0.0))}" if self.joined_at is not None else ""
        heard = _NOT_HEARD if not self.was_listened else _HEARD_IN_PART if self.has_gaps else _HEARD
        text = _TOLD[outcome].format(target=target, length=length, heard=heard)
        return text[:1].upper() + text[1:]


class Legs:
    """The legs of one call, beside the ids of the caller's, which the call itself has."""

    def __init__(
        self,
        carrier: Carrier,
        *,
        dials: bool,
        post: Callable[[Event], object],
        named: Callable[[LegIds, str], object],
    ) -> None:
        """`dials`: the call is an outbound one. `post`: takes events. `named`: takes the ids of a leg that was dialled,
        unless a webhook was faster."""
        self._carrier, self._post, self._named = carrier, post, named
        self.caller = self._outbound(CALLER) if dials else None
        """The leg that is dialled; None: the call came in."""
        self.transfer: Transfer | None = None
        self._former: tuple[str, ...] = ()
        """The carrier's ids of the legs of earlier transfers, the newest ones."""

    def _outbound(self, leg: str) -> OutboundLeg:
        def post(event: Event) -> None:
            self._post(event if self.dialled(leg) is outbound else structs.replace(event, leg=FORMER))

        def named(ids: LegIds) -> None:
            if self.dialled(leg) is outbound:
                self._named(ids, leg)
            else:
                self._keep_former(ids)

        outbound = OutboundLeg(self._carrier, leg, post, named)
        return outbound

    def present(self, leg: str, ids: LegIds) -> str:
        """Return the leg that events about these ids are of: `FORMER` for that of an earlier transfer."""
        return FORMER if leg == HUMAN and any(one in self._former for one in ids.known()) else leg

    def _keep_former(self, ids: LegIds) -> None:
        self._former = (*self._former, *ids.known())[-_MOST_FORMER:]

    def _transfer(self, requested: TransferRequested) -> Transfer:
        leg = self._outbound(HUMAN)
        if requested.mode == "refer":
            leg.failed(CarrierError("the caller's own telephone system dials, and not we"))
        return Transfer(requested, leg, is_queued=requested.mode == "warm" and "queues_dials" in self._carrier.can)

    def after(self, step: machine.Step, now: float, mailbox: Mailbox) -> None:
        """Follow a step of the machine. `now`: Unix time, seconds. `mailbox`: of the call."""
        if isinstance(step.event, TransferRequested) and step.taken:
            self._begin(self._transfer(step.event), mailbox)
        if isinstance(step.event, events.CallInitiated) and step.event.leg == HUMAN and self.transfer is not None:
            self.transfer.is_queued = False
        for command in step.commands:
            if isinstance(command, commands.Transfer) and command.fallback:
                own = by_machine(command.number, command.ring_seconds)
                self._begin(Transfer(own, self._outbound(HUMAN)), mailbox)
        if step.after == machine.BRIDGED != step.before and self.transfer is not None:
            self.transfer.joined_at = now

    def _begin(self, transfer: Transfer, mailbox: Mailbox) -> None:
        """Begin a transfer. Its person is not dialled yet, so what waits in the mailbox is about an earlier one."""
        self._keep_former(self.human)
        mailbox.relabel(HUMAN, FORMER)
        self.transfer = transfer

    def restore(
        self, requested: TransferRequested, human: LegIds, joined_at: float | None, *, was_listened: bool
    ) -> None:
        """Continue a transfer of another process. `human`: the ids of the person's leg. The rest: see `Transfer`."""
        self.transfer = self._transfer(requested)
        self.transfer.joined_at = joined_at
        self.transfer.was_listened = self.transfer.has_gaps = was_listened
        self.known(human, HUMAN)

    def known(self, ids: LegIds, leg: str) -> None:
        """Take the carrier's ids of a leg."""
        if leg == HUMAN and self.transfer is not None:
            self.transfer.ids = ids
        outbound = self.dialled(leg)
        if outbound is not None and ids.control:
            outbound.known(ids)

    @property
    def human(self) -> LegIds:
        """The carrier's ids of the person's leg; empty ones if there is none."""
        return self.transfer.ids if self.transfer is not None else LegIds()

    def dialled(self, leg: str) -> OutboundLeg | None:
        """Return a leg that we dial, or dialled."""
        if leg == HUMAN:
            return self.transfer.leg if self.transfer is not None else None
        return self.caller

    @property
    def is_queued(self) -> bool:
        """Whether the person's telephone may not ring yet, because the carrier keeps the dial in its queue."""
        return self.transfer is not None and self.transfer.is_queued

    def awaits_ids(self, leg: str) -> bool:
        """Return whether this leg is dialled, by us or by the carrier for us, and its ids are not known yet."""
        outbound = self.dialled(leg)
        return outbound is not None and not outbound.is_settled

    def not_written(self, leg: str) -> None:
        """Refuse to dial what is not in the journal: a restart would not know of it, and might dial again."""
        outbound = self.dialled(leg)
        if outbound is not None:
            outbound.failed(CarrierError(NOT_WRITTEN))
        self._post(events.CommandFailed(leg=leg, command=commands.Dial.name, reason=NOT_WRITTEN))

    def ids(self, command: Command, caller: LegIds) -> tuple[LegIds, LegIds]:
        """Return the ids of the command's leg, and of the other one. `caller`: those of the caller's leg."""
        return (self.human, caller) if command.leg == HUMAN else (caller, self.human)

    def describe_outcome(self, outcome: str, now: float) -> str:
        """Return what the agent is told of the transfer; "": nothing. `now`: Unix time, seconds."""
        return self.transfer.describe_outcome(outcome, now) if self.transfer is not None else ""

    def numbers(self, command: Command, from_number: str, to_number: str) -> tuple[str, str]:
        """Return from which number a command calls, and which one. `from_number`, `to_number`: those of the call."""
        dialled = command.number if isinstance(command, (commands.Dial, commands.Transfer)) else ""
        if not dialled:
            return from_number, to_number
        return (from_number if self.caller is not None else to_number), dialled

    def notice(self, command: Command) -> str:
        """Return what this end of a transferred call is told when it is joined with the other; "": nothing."""
        is_join = isinstance(command, commands.Join) and self.transfer is not None
        return self.transfer.requested.notice if is_join and self.transfer is not None else ""

    def briefing(self, text: str, from_number: str, to_number: str) -> str:
        """Return what the person hears before they accept. `text`: with `{caller}` and `{summary}`. `from_number`,
        `to_number`: those of the call."""
        caller = from_number if self.caller is None else to_number
        summary = self.transfer.requested.summary.strip() if self.transfer is not None else ""
        spoken = " ".join(caller.removeprefix("+")) if caller.startswith("+") else "a number that is not known"
        return text.replace("{caller}", spoken).replace("{summary}", summary)

    def briefing_seconds(self, text: str) -> float:
        """Return how long the person is told of the call at most, before they can accept it; 0: they are told nothing.
        `text`: as for `briefing`."""
        if self.transfer is None or self.transfer.requested.mode != "warm":
            return 0.0
        seconds = len(self.briefing(text, "", "")) * _SECONDS_A_CHARACTER
        return min(seconds + _NUMBER_SECONDS * text.count("{caller}"), _MOST_BRIEFING_SECONDS)


def by_machine(number: str, ring_seconds: int) -> TransferRequested:
    """Return the request that stands for the fallback, which nobody has requested."""
    return TransferRequested(
        mode="cold", number=number, ring_seconds=ring_seconds, takes_back=False, by=BY_MACHINE,
    )  # fmt: skip


def asks_agent_to_speak(outcome: str) -> bool:
    """Return whether the agent says something at once: it has the caller."""
    return outcome in ("rings", "refused", "not_reached")


def _length(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} seconds"
