"""The ids of commands: by them a carrier knows one that is sent again. Pure."""

from __future__ import annotations

import uuid
from typing import Final, NamedTuple


class CommandPlace(NamedTuple):
    """Where in a call a command comes from: its id follows from it."""

    step: int
    ordinal: int
    """Within the step, from 0."""
    mark: str = ""
    """Of the process that took the step: see `CallRecovered.mark`. "": the one in which the call began."""


FIRST_ANSWER: Final = CommandPlace(1, 0)
"""The place of the answer command, unless the journal has another."""


def command_id(call: str, step: int, ordinal: int, mark: str = "") -> str:
    """Return the id of a command. The id is the same on every retry, so the carrier executes the command once.

    Where the last steps of a process are not in the journal, the next one counts on from the same number, and may send
    something else at that place. A carrier ignores whatever comes under an id that it knows; so `mark` tells them
    apart.
    """
    place = f"{step}:{ordinal}:{mark}" if mark else f"{step}:{ordinal}"
    return str(uuid.uuid5(uuid.UUID(call), place))
