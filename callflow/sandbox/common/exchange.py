"""What all calls of an emulated carrier share: tasks, the audio clock, faults, phone numbers that can be dialled."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any, Generic, Protocol, TypeVar

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.http_server import Tasks
from callflow.sandbox.common.media_socket import MediaSocket
from callflow.sandbox.common.pacer import Pacer, Signal
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.common.recordings import Recording
from callflow.sandbox.common.webhooks import WebhookSender


class ExchangeCall(Protocol):
    """The part of a call that its exchange and the emulator use. Times are `time.monotonic()` seconds."""

    ended_at: float | None

    @property
    def streams(self) -> Sequence[MediaSocket]: ...

    def story(self) -> str: ...


CallT = TypeVar("CallT", bound=ExchangeCall)
FaultsT = TypeVar("FaultsT")


class Exchange(Generic[CallT, FaultsT]):
    """The carrier's exchange. It is generic over the carrier's call class, so that it need not import it.

    Args:
        name: for task names and logs, such as "telnyx".
        faults: apply to every call that has none of its own.
    """

    webhooks: WebhookSender[Any]

    def __init__(self, name: str, faults: FaultsT) -> None:
        self.faults = faults
        self.tasks = Tasks(f"{name} sandbox")
        self.changed = Signal()
        self.pacer = Pacer(self.tasks.failures)
        self.calls: dict[str, CallT] = {}
        """By the id that the carrier's API uses, in the order in which the calls began."""
        self.phones: dict[str, Phone] = {}
        """Telephones that can be dialled, by number; any other number gets a new one."""
        self.recordings: dict[str, Recording] = {}
        """By id, in the order in which they began."""
        self.usd_per_minute = 0.0
        """What each begun minute of an answered call costs; 0: nothing is told of it."""
        self.root = ""
        """The URL of the emulator without a path, as soon as it listens."""
        self.callees: dict[str, Callee] = {}
        """What the phone of a number does when it is dialled; any other number does what `callee` says."""
        self._callee = Callee()
        self.faults_of: dict[str, FaultsT] = {}
        """The faults of the legs that are dialled to a number; any other number has `faults`."""

    @property
    def callee(self) -> Callee:
        """What a dialled phone does that is not in `callees`. May be set to a word of `Callee.does`, too."""
        return self._callee

    @callee.setter
    def callee(self, what: Callee | str) -> None:
        self._callee = Callee.of(what)

    def price_of(self, seconds: float) -> str:
        """Return what an answered call of this length costs, in US dollars; "": nothing is told of it."""
        return f"{max(ceil(seconds / 60), 1) * self.usd_per_minute:.5f}" if self.usd_per_minute else ""

    def callee_of(self, number: str) -> Callee:
        """Return what the phone of a number does when it is dialled."""
        return self.callees.get(number, self._callee)

    def story(self) -> str:
        """Describe what happened on all calls, for error messages."""
        return "; ".join(call.story() for call in self.calls.values()) or "there was no call"
