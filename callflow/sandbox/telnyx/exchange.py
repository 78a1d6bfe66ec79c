"""What all calls of an emulated Telnyx share: its lines, its numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from callflow.sandbox.common.http_server import Tasks
from callflow.sandbox.common.pacer import Pacer, Signal
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.telnyx.faults import Faults, Timing
from callflow.sandbox.telnyx.webhooks import Delivery, Signer, Webhooks


if TYPE_CHECKING:
    from callflow.sandbox.telnyx.call import Call

CONNECTION_ID: Final = "1555010000000000001"
"""Of the one Call Control application that the emulated account has."""


@dataclass(slots=True)
class Application:
    """The account's Voice API application, as far as it can be looked up."""

    webhook_api_version: str = "2"
    active: bool = True
    outbound_voice_profile_id: str | None = "1555010000000000002"
    numbers: list[str] = field(default_factory=lambda: ["+15550100002"])


@dataclass
class Switch:
    """The exchange: lines, numbers, calls."""

    webhook_url: str
    faults: Faults
    timing: Timing
    tasks: Tasks = field(default_factory=Tasks)
    signer: Signer = field(default_factory=Signer)
    changed: Signal = field(default_factory=Signal)
    application: Application = field(default_factory=Application)
    calls: dict[str, Call] = field(default_factory=dict)
    phones: dict[str, Phone] = field(default_factory=dict)
    """Telephones that can be dialled, by number; any other number gets a new one."""
    callee: str = "answers"
    """What a dialled phone does: "answers", "busy", "no_answer" or "rejects"."""
    webhooks: Webhooks = field(init=False)
    pacer: Pacer = field(init=False)

    def __post_init__(self) -> None:
        self.webhooks = Webhooks(self.tasks, self.signer, self.timing, self.changed)
        self.pacer = Pacer(self.tasks.failures)

    def deliveries_of(self, leg_id: str) -> list[Delivery]:
        return [each for each in self.webhooks.deliveries if each.payload.get("call_leg_id") == leg_id]

    def story(self) -> str:
        calls: list[Any] = [call.story() for call in self.calls.values()]
        return "; ".join(calls) or "there was no call"
