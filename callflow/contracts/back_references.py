"""References from a part to its owner, such as from an agent to its call, that do not keep the owner alive.

The parts of a call report to the call, and those of its agent to the agent. If they referred to their owner as it
refers to them, nothing of an ended call would be freed until Python's garbage collector looks through all objects,
while no caller hears anything. So an owner hands out these: with the last reference to it, all of it is freed at once.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import ParamSpec, TypeVar


Args = ParamSpec("Args")
Result = TypeVar("Result")


def to_owner(method: Callable[Args, Result]) -> Callable[Args, Result | None]:
    """Return a function that calls this bound method while its object lives, and then does nothing but return None."""
    reference = weakref.WeakMethod(method)

    def call(*args: Args.args, **kwargs: Args.kwargs) -> Result | None:
        alive = reference()
        return None if alive is None else alive(*args, **kwargs)

    return call
