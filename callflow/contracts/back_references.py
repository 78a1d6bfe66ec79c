"""References from a part to its owner, such as from an agent to its call, that do not keep the owner alive.

The parts of a call report to the call, and those of its agent to the agent. If they referred to their owner as it
refers to them, nothing of an ended call would be freed until Python's garbage collector looks through all objects,
while no caller hears anything. So an owner hands out these: with the last reference to it, all of it is freed at once.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar


Args = ParamSpec("Args")
Result = TypeVar("Result")


def to_owner(method: Callable[Args, Result]) -> Callable[Args, Result | None]:
    """Return a function that calls this bound method while its object lives, and then does nothing but return None.

    Raises TypeError for what is no bound method.
    """
    return _ToOwner(method)


class _ToOwner:
    """A call has twenty of these, each of 0.1 kB; with `weakref.WeakMethod` one takes 0.8."""

    __slots__ = ("_function", "_owner")

    def __init__(self, method: Callable[..., Any]) -> None:
        try:
            self._owner, self._function = weakref.ref(method.__self__), method.__func__  # type: ignore[attr-defined]
        except AttributeError:
            raise TypeError(f"{method!r} is no bound method") from None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        owner = self._owner()
        return None if owner is None else self._function(owner, *args, **kwargs)
