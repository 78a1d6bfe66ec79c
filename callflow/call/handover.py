"""How a call passes from one process to the next without ending, and when it ended where no process was there to see.

A call that the history has unfinished belongs to the process before until its carrier was asked how it is. Then
`take_back` says what this process has to do first. A call that is let go of is taken back by the next process.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Literal

from callflow.agent.conversation import Turn
from callflow.call import machine
from callflow.call.restore import RestoredCall
from callflow.contracts.events import CallRecovered, ToolFinished
from callflow.journal.notes import Cut


Found = Literal["ringing", "answered", "asking", "gone", "over"]
"""How the carrier has a call that is taken back. asking: its webhook, which asks what to do with the caller, follows.
over: its webhook about the end follows."""

_UNKNOWN_RESULT: Final = '{"error":"the line broke while this was running: whether it was done is not known"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSteps:
    """What a call has to do first that was taken back."""

    recovered: CallRecovered | None = None
    """The first event for the machine; None: there is none, because the call is over."""
    hangup: tuple[int, int] | None = None
    """Step and ordinal of a hang-up that may never have reached the carrier: to be sent again under the same id."""
    cut_off: tuple[Cut, ...] = ()
    """What the agent was saying when the line broke."""
    tools: tuple[ToolFinished, ...] = ()
    """For tools that were running then: nobody knows whether they did what they were asked to."""


class ProcessHandover:
    """Which process has this call: the one before, this one, or the next one."""

    def __init__(self, restored: RestoredCall | None) -> None:
        """`restored`: what the journal says of a call of the process before; None: the call began in this process."""
        self.restored = restored
        self._was_over = restored is not None and machine.is_over(restored.model)
        self._is_ours = asyncio.Event()
        if restored is None:
            self._is_ours.set()
        self.is_leaving = False
        """This process has let go of the call, or never had it. It goes on in the next one."""

    @property
    def awaits_return(self) -> bool:
        """Whether the call still belongs to the process before, as far as anybody knows."""
        return not self._is_ours.is_set()

    async def wait(self) -> None:
        """Return when this process has the call."""
        await self._is_ours.wait()

    def take_back(self, found: Found) -> FirstSteps | None:
        """Make the call this process's, and return what has to be done first. None: it is this process's already."""
        old = self.restored
        if old is None or self._is_ours.is_set():
            return None
        self._is_ours.set()
        if found == "over":
            return FirstSteps()
        if self._was_over:
            return FirstSteps(hangup=old.hangup if found != "gone" else None)
        return FirstSteps(
            recovered=CallRecovered(found=found, handed_over=old.handed_over),
            cut_off=tuple(_cut(turn) for turn in old.cuts),
            tools=tuple(
                ToolFinished(id=name, tool=str(asked.get("tool", "")), ok=False, output=_UNKNOWN_RESULT)
                for name, asked in old.unanswered.items()
            ),
        )

    def leave(self) -> None:
        """Let go of the call without ending it."""
        self.is_leaving = True

    def ended_before(self, cause: str, steps: int) -> float | None:
        """Return when the call ended (Unix time), if that was before this process had it: when its journal was last
        written to. None: it ended in this process.

        `cause`: why it ended. `steps`: how many steps its machine has taken by now.
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
