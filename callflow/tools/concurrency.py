"""Whether a tool may run now: limits for each call and each tool, and a reserve for calls that run none. Pure.

A tool that hangs keeps its slot until it ends, so that one call or one tool can use up its own share only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, NamedTuple

from callflow.contracts.errors import ToolLimit


_NAMED: Final = 6
"""Groups of holders in one line of a log."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many slots there are, and how many of them a call or a tool may hold."""

    most: int
    per_call: int
    per_tool: int
    reserve: int
    """While no more slots than this are free, only calls that hold none get one."""


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """One slot that is taken. Two of the same call and tool are different."""

    call: str
    tool: str
    since: float
    """When it was taken, in seconds."""


class Holder(NamedTuple):
    """The slots that one tool holds in one call."""

    tool: str
    call: str
    runs: int
    seconds: float
    """How long the oldest of them has been held."""


class Slots:
    """The slots of one kind, and what holds them. Times are seconds, of any steady clock."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._taken: set[Slot] = set()
        self._calls: Counter[str] = Counter()
        self._tools: Counter[str] = Counter()

    @property
    def free(self) -> int:
        """Return how many slots are free; negative while more are taken than there should be."""
        return self.bounds.most - len(self._taken)

    def refusal(self, call: str, tool: str) -> ToolLimit:
        """Return why this call may not take a slot for this tool; "" if it may."""
        bounds, held = self.bounds, self._calls[call]
        if self.free <= 0:
            return "all"
        if held >= bounds.per_call:
            return "call"
        if self._tools[tool] >= bounds.per_tool:
            return "tool"
        return "reserve" if held and self.free <= bounds.reserve else ""

    def take(self, call: str, tool: str, now: float) -> Slot:
        """Take a slot, even when `refusal` forbids it: work that cannot wait is counted as well."""
        slot = Slot(call, tool, now)
        self._taken.add(slot)
        self._calls[call] += 1
        self._tools[tool] += 1
        return slot

    def give_back(self, slot: Slot) -> None:
        """Free a slot. Raises KeyError for one that is free already."""
        self._taken.remove(slot)
        for counted, name in ((self._calls, slot.call), (self._tools, slot.tool)):
            counted[name] -= 1
            if not counted[name]:
                del counted[name]

    def holders(self, now: float) -> list[Holder]:
        """Return what holds the slots: those with the most runs first, then those that have held one for longest."""
        groups: dict[tuple[str, str], list[float]] = {}
        for slot in self._taken:
            groups.setdefault((slot.tool, slot.call), []).append(now - slot.since)
        held = [Holder(tool, call, len(times), max(times)) for (tool, call), times in groups.items()]
        return sorted(held, key=lambda each: (-each.runs, -each.seconds, each.tool, each.call))


def describe_holders(holders: list[Holder]) -> str:
    """Return the holders as text for a log: "look 8 times in call c (12 s), …"."""
    shown = [
        f"{each.tool} {each.runs} time{'s' * (each.runs > 1)} in call {each.call or '-'} ({each.seconds:.0f} s)"
        for each in holders[:_NAMED]
    ]
    rest = sum(each.runs for each in holders[_NAMED:])
    return ", ".join(shown + [f"{rest} others"] * bool(rest)) or "nobody"
