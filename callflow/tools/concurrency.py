"""Who may run a tool now: bounds for each call and each tool, and a reserve for calls that have nothing yet. Pure.

Whoever keeps what they took (a tool that hangs) is counted until it is given back, and can so take a share only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, NamedTuple

from callflow.contracts.errors import ToolLimit


_NAMED: Final = 6
"""So many groups of holders stand in one line of a log."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many places there are, and who may have how many."""

    most: int
    per_call: int
    per_tool: int
    reserve: int
    """While no more than so many are free, only calls that hold none get one."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """One that is taken. Two of the same call and tool are different."""

    call: str
    tool: str
    since: float
    """Seconds, by the clock of whoever took it."""


class Held(NamedTuple):
    """The places of one tool in one call."""

    tool: str
    call: str
    runs: int
    seconds: float
    """How long the oldest of them has been held."""


class Places:
    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._taken: set[Place] = set()
        self._calls: Counter[str] = Counter()
        self._tools: Counter[str] = Counter()

    @property
    def free(self) -> int:
        """Negative while more are taken than there should be."""
        return self.bounds.most - len(self._taken)

    def refusal(self, call: str, tool: str) -> ToolLimit:
        """Whether this call may take a place for this tool, and if not, why."""
        bounds, held = self.bounds, self._calls[call]
        if self.free <= 0:
            return "all"
        if held >= bounds.per_call:
            return "call"
        if self._tools[tool] >= bounds.per_tool:
            return "tool"
        return "reserve" if held and self.free <= bounds.reserve else ""

    def take(self, call: str, tool: str, now: float) -> Place:
        """Take one, whether `refusal` allows it or not: what cannot wait is counted as well."""
        place = Place(call, tool, now)
        self._taken.add(place)
        self._calls[call] += 1
        self._tools[tool] += 1
        return place

    def give_back(self, place: Place) -> None:
        """Raises KeyError for one that was given back already."""
        self._taken.remove(place)
        for counted, name in ((self._calls, place.call), (self._tools, place.tool)):
            counted[name] -= 1
            if not counted[name]:
                del counted[name]

    def holders(self, now: float) -> list[Held]:
        """Who holds the places: most of them first, then the longest."""
        groups: dict[tuple[str, str], list[float]] = {}
        for place in self._taken:
            groups.setdefault((place.tool, place.call), []).append(now - place.since)
        held = [Held(tool, call, len(times), max(times)) for (tool, call), times in groups.items()]
        return sorted(held, key=lambda each: (-each.runs, -each.seconds, each.tool, each.call))


def named(holders: list[Held]) -> str:
    """The holders in words, for a log: "look 8 times in call c (12 s), …"."""
    shown = [
        f"{each.tool} {each.runs} time{'s' * (each.runs > 1)} in call {each.call or '-'} ({each.seconds:.0f} s)"
        for each in holders[:_NAMED]
    ]
    rest = sum(each.runs for each in holders[_NAMED:])
    return ", ".join(shown + [f"{rest} others"] * bool(rest)) or "nobody"
