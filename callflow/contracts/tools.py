"""What the tools of one call must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol


MOST_ARGUMENTS: Final = 64 * 1024
"""Characters of one tool call's arguments: a tool is not run with more."""


class ToolCall(NamedTuple):
    """The agent wants something done. Owed: exactly one `answer_tool` with this id."""

    id: str
    name: str
    arguments: str
    """JSON, as the model wrote it: perhaps broken; of what is too long, as much as shows that."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a tool is run for."""

    call: str
    from_number: str
    to_number: str
    was_called: bool = False
    """We have dialled `to_number`."""
    allowed: frozenset[str] | None = None
    """The names of the tools that the agent has in this call; None: all."""
    business: str = ""
    """Whose call it is; "": nobody's in particular."""


class ToolAnswer(NamedTuple):
    """`output` is what the engine is told: JSON. Not `ok`: it tells an error."""

    output: str
    ok: bool


class Toolbox(Protocol):
    """The tools of one call."""

    @property
    def definitions(self) -> Sequence[Mapping[str, Any]]:
        """As in `SessionContext.tools`."""

    async def run(self, call: ToolCall, seconds: float) -> ToolAnswer:
        """Run a tool, within so many `seconds`; whatever goes wrong is an answer. Raises AskOperator for a tool that a
        person answers, and CancelledError."""


class TransferAction:
    """What the agent's tool `transfer_call` does to its call."""

    def __init__(self, targets: Sequence[str], act: Callable[[str, str], tuple[str, str] | None]) -> None:
        """`targets`: the names of those to whom the call may go. `act(target, summary)`: requests it; returns how
        (`warm`, or `refer`: nobody is rung by us), and a sentence that says why it is not possible now; "": it is.
        None: the call is gone."""
        self.targets = tuple(targets)
        self._act = act

    def __call__(self, target: str, summary: str) -> tuple[str, str]:
        return self._act(target, summary) or ("", "The call is over.")


MakeToolbox = Callable[[Caller, Mapping[str, Callable[..., Any]]], Toolbox]
"""Given whose call it is, and what its own tools may do to it: `end_call(reason)` and others by that name."""
