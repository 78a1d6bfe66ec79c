"""How a call passes from one process to the next without ending, and when a call ended that no process observed.

An unfinished call of the history belongs to the previous process until its carrier was asked for the call's status.
Then `recover` returns the first steps of this process. The next process recovers a call that this process leaves.
"""

from __future__ import annotations

import asyncio
import binascii
import logging
import math
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from callflow.agent.conversation import Turn
from callflow.call import machine
from callflow.call.command_ids import CommandPlace
from callflow.call.lost_tools import UNKNOWN_RESULT
from callflow.call.requests_after_move import LeftRequests
from callflow.call.restore import RestoredCall
from callflow.contracts.carrier import Carrier, WebhookReply
from callflow.contracts.errors import CallElsewhere, Overloaded
from callflow.contracts.events import (
    CALLER,
    CallAnswered,
    CallHangup,
    CallRecovered,
    CallResumed,
    Dtmf,
    Event,
    ToolFinished,
)
from callflow.contracts.media import HandoverInput
from callflow.journal.notes import Cut
from callflow.media.g711 import FRAME_BYTES
from callflow.timers import SmallEvent


StatusAtCarrier = Literal["ringing", "answered", "asking", "gone", "over"]
"""The carrier's status of a call that is recovered. asking: a webhook that asks what to do with the caller follows.
over: a webhook about the end follows."""
HANDS_OVER: Final = "this process is handing its calls over to the next one"
log = logging.getLogger(__name__)

_KEPT_SECONDS: Final = 5.0
"""So long after the call is here the other process may have its stream still: it is asked for soon, or not at all."""
_MARK: Final = 12
"""Characters of a mark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSteps:
    """The first steps of a call that was recovered."""

    recovered: CallRecovered | None = None
    """The first event for the machine; None: the call is over."""
    hangup: CommandPlace | None = None
    """The place of a hang-up that may not have reached the carrier; it is sent again under the same id."""
    cut_off: tuple[Cut, ...] = ()
    """Speech of the agent that the break cut off."""
    tools: tuple[ToolFinished, ...] = ()
    """Results for tools that were running at the break: whether they did their work is unknown."""


class Prompted(Protocol):
    """What decides whether the agent asks again after a move."""

    def heard_meanwhile(self) -> None: ...


class Hearer(Protocol):
    """The agent, as far as it hears the caller."""

    @property
    def caller_payload(self) -> Callable[[str, bytes], None]: ...

    @property
    def prompter(self) -> Prompted: ...


class CarrierCall(Protocol):
    """A call, as far as its webhooks are answered here."""

    id: str
    carrier: Carrier

    @property
    def is_outbound(self) -> bool: ...


def status_from(event: Event, call: CarrierCall) -> StatusAtCarrier | None:
    """Return what a webhook tells of a call that waits to be recovered; None: nothing."""
    if event.leg != CALLER:
        return None
    if isinstance(event, CallHangup):
        return "over"
    asks = (CallResumed, CallAnswered) if call.is_outbound and "answers_in_reply" in call.carrier.can else CallResumed
    return "asking" if isinstance(event, asks) else None


class ProcessHandover:
    """Which process has this call: the previous, this or the next one."""

    def __init__(self, restored: RestoredCall | None) -> None:
        """`restored`: a call of the previous process; None: the call began in this process."""
        self.restored = restored
        self.left = LeftRequests(restored.left if restored is not None else ())
        self._kept_until = self._arrives_until = -math.inf
        self._was_over = restored is not None and machine.is_over(restored.model)
        self._is_ours = SmallEvent(is_set=restored is None)
        self.is_leaving = False
        """This process has left the call, or never had it. Another process continues it."""
        self.is_elsewhere = False
        """Another process has the call already: what comes about it is for that one."""

    @property
    def awaits_return(self) -> bool:
        """Whether the call still belongs to the previous process, as far as is known."""
        return not self._is_ours.is_set()

    async def wait(self) -> None:
        """Return when this process has the call."""
        await self._is_ours.wait()

    def recover(self, found: StatusAtCarrier, human: Literal["", "answered", "gone"] = "") -> FirstSteps | None:
        """Assign the call to this process, and return the first steps. None: this process has the call already, or has
        left it."""
        old = self.restored
        if old is None or self._is_ours.is_set():
            return None
        self._is_ours.set()
        self._kept_until = self._arrives_until = time.monotonic() + _KEPT_SECONDS
        if found == "over":
            return FirstSteps()
        if self._was_over:
            return FirstSteps(hangup=old.hangup if found != "gone" else None)
        return FirstSteps(
            recovered=CallRecovered(
                found=found,
                handed_over=old.handed_over,
                given=old.given and old.handed_over,
                human=human,
                mark=uuid.uuid4().hex[:_MARK],
            ),
            cut_off=tuple(_cut(turn) for turn in old.cuts),
            tools=tuple(
                ToolFinished(id=name, tool=str(asked.get("tool", "")), ok=False, output=UNKNOWN_RESULT)
                for name, asked in old.unanswered.items()
            ),
        )

    def stream_elsewhere(self) -> str | None:
        """Return the carrier's id of the stream that the process which has given this call away has still, as far as is
        known; "": the journal does not tell the id. None: there is none."""
        return self.restored.stream if self.restored is not None and self._handover_input() is not None else None

    @property
    def is_arriving(self) -> bool:
        """Whether the conversation does not go on here yet: the process that has given the call away may still have
        what its caller says, and who gave it on now would take it for one that somebody speaks in."""
        if self.restored is None or time.monotonic() >= self._arrives_until:
            return False
        state = self.restored.model.state
        return state == machine.RECOVERING or (state == machine.STREAMING and self._handover_input() is not None)

    def _handover_input(self) -> Callable[[], Awaitable[HandoverInput]] | None:
        """Return what asks that process; None: there is none, or it keeps nothing any more."""
        old = self.restored
        return old.handover_input if old is not None and time.monotonic() < self._kept_until else None

    async def hear_handover_input(self, agent: Hearer, post: Callable[[Event], object]) -> None:
        """Let the agent hear what the caller said to the process that has given this call away, until the end of its
        stream, and post the keys that they pressed. Never raises."""
        ask, self._kept_until = self._handover_input(), -math.inf
        if ask is None:
            return
        try:
            audio, keys = await ask()
            for start in range(0, len(audio), FRAME_BYTES):
                frame = audio[start : start + FRAME_BYTES]
                agent.caller_payload(binascii.b2a_base64(frame, newline=False).decode("ascii"), frame)
            if audio:
                agent.prompter.heard_meanwhile()
            for digit in keys:
                post(Dtmf(digit=digit, source="stream"))
        except Exception:  # the stream is there, and the caller is to be heard on it
            log.exception("what the caller said before the move cannot be heard")

    def leave(self, *, elsewhere: bool = False) -> None:
        """Leave the call without ending it. `elsewhere`: another process has it already."""
        self.is_leaving = True
        self.is_elsewhere = self.is_elsewhere or elsewhere
        self._is_ours.set()  # nobody waits for `recover` any more

    def keeps(self, event: Event, *, is_webhook: bool, is_masked: bool) -> bool:
        """Return whether an event that no step takes any more is written down here: the call is over; or whoever goes
        on with it reads it, and does not get the webhook itself. `is_masked`: nobody could read which key it was, and
        the webhook, which comes again, says it."""
        if not self.is_leaving:
            return True
        return not (is_webhook and (self.is_elsewhere or is_masked)) and self.left.is_new(event)

    def answer(
        self,
        call: CarrierCall,
        event: Event,
        reply: asyncio.Future[WebhookReply] | None,
        *,
        failed: bool = False,
        is_kept: bool = True,
    ) -> None:
        """Answer a webhook whose event no step has taken: the call is over or elsewhere, or the step `failed`. Not
        `is_kept`: the event is written nowhere, so the carrier is to send it to the next process. One that takes its
        commands from the reply does not: it asks again by what it is told."""
        if reply is None or reply.done():  # the sender may have given up
            return
        if self.is_elsewhere:
            reply.set_exception(CallElsewhere(call.id))
        elif not is_kept and "answers_in_reply" not in call.carrier.can:
            reply.set_exception(Overloaded(HANDS_OVER))
        else:
            reply.set_result(call.carrier.reply(event, (), over=failed or not self.is_leaving))

    def ended_before(self, cause: str, steps: int) -> float | None:
        """Return when the call ended (Unix time), if that was before this process took it: the time of the last journal
        entry. None: the call ended in this process.

        `cause`: why the call ended. `steps`: the machine's steps so far.
        """
        old = self.restored
        if old is None or not (self._was_over or cause == "interrupted"):
            return None
        return old.at if steps <= old.steps + 1 else None


def _cut(turn: Turn) -> Cut:
    return Cut(
        item=turn.item,
        heard_ms=turn.heard_ms or 0,
        received_ms=turn.spoken_ms or 0,
        heard_text=turn.heard_text,
        unheard_text=turn.unheard_text,
    )
