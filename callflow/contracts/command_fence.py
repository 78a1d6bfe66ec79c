"""Whether the running task may still send something to a carrier for its call.

A process that was stopped goes on in the middle of whatever it was doing, and another one may have its calls by then.
So a request that does not go out at once is asked about again right before it does, and so is each repetition.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Final


_AT_ONCE_SECONDS: Final = 0.25
"""So long a decision to send something holds, unasked."""
_MAY_SEND: Final[ContextVar[Callable[[], Awaitable[bool]] | None]] = ContextVar("may_send", default=None)


async def may_send() -> bool:
    """Return whether the running task may send a command. True outside of `fenced`."""
    ask = _MAY_SEND.get()
    return ask is None or await ask()


@contextlib.contextmanager
def fenced(may_act: Callable[[str], Awaitable[bool]], call: str, now: Callable[[], float]) -> Iterator[None]:
    """Let tasks that are begun within send nothing once another process has the call. `may_act`: see
    `CallServices`. `now`: returns monotonic seconds."""
    decided = now()

    async def ask() -> bool:
        return now() - decided < _AT_ONCE_SECONDS or await may_act(call)

    token = _MAY_SEND.set(ask)
    try:
        yield
    finally:
        _MAY_SEND.reset(token)
