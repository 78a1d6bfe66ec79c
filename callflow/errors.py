"""What can go wrong, whose fault it is, and whether trying again can help.

The same types decide retries, HTTP answers, counters and what the caller hears.
"""

from __future__ import annotations

from typing import ClassVar, Literal


Fault = Literal["carrier", "engine", "sender", "ours"]


class CallflowError(Exception):
    whose: ClassVar[Fault] = "ours"
    retry: bool = False


# Faults of whoever sent us something


class Malformed(CallflowError):
    """A webhook, frame or event that cannot be read. Sending the same again will not help: HTTP 400."""

    whose = "sender"


class Forged(CallflowError):
    """No valid signature, or one that is too old or from the future: HTTP 403, so that the carrier does not retry."""

    whose = "sender"


class Refused(CallflowError):
    """A media socket without a valid token for a live call."""

    whose = "sender"


# Faults of the carrier's API


class CarrierError(CallflowError):
    """A command that failed.

    `status` 0: no answer came. `gone`: the carrier says that the call is over. `retry`: the same command, under the
    same id, may be sent again.
    """

    whose = "carrier"

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        gone: bool = False,
        retry: bool = False,
        wait: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.gone, self.retry = status, code, gone, retry
        self.wait = wait
        """Seconds that the carrier asked us to wait before the next try; 0: it did not say."""


# Faults of the engine


class EngineError(CallflowError):
    """The engine refused us or broke off. `retry`: a new connection may do better."""

    whose = "engine"

    def __init__(self, message: str, *, retry: bool = True, wait: float = 0.0) -> None:
        super().__init__(message)
        self.retry = retry
        self.wait = wait


class TunnelError(CallflowError):
    """No way in from outside could be opened. The message says what to do."""

    whose = "carrier"


# Our own limits


class Overloaded(CallflowError):
    """A bound of ours was reached (a call's mailbox). The sender may try again later: HTTP 503."""

    retry = True


class DatabaseError(Exception):
    """The database cannot be used; the message says what to do about it."""
