"""Holds an open file against the other processes of this machine, with `flock`: it is let go of when it is closed."""

from __future__ import annotations

import time
from typing import Final


_CAN_HOLD = True
try:
    import fcntl
except ImportError:  # Windows, where one process serves alone
    _CAN_HOLD = False

_LOOK_SECONDS: Final = 0.01


def hold(file: int, seconds: float = 0.0) -> bool:
    """Hold a file or a folder, by its descriptor. Returns False if another process does not let go of it within
    `seconds`. Waits for as long, so that it is for threads. Raises OSError."""
    if not _CAN_HOLD:
        return True
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
        else:
            return True
        time.sleep(_LOOK_SECONDS)
