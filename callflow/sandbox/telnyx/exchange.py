"""The exchange of the emulated Telnyx: its account, its webhooks, and its calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from callflow.sandbox.common import exchange
from callflow.sandbox.common.exchange import CallT
from callflow.sandbox.common.http_server import Request
from callflow.sandbox.telnyx.faults import Faults, Timing
from callflow.sandbox.telnyx.webhooks import Delivery, Signer, Webhooks


CONNECTION_ID: Final = "1555010000000000001"
"""The id of the one Call Control application that the emulated account has."""


@dataclass(slots=True)
class Application:
    """The account's Voice API application, as far as it can be looked up."""

    webhook_api_version: str = "2"
    active: bool = True
    outbound_voice_profile_id: str | None = "1555010000000000002"
    channel_limit: int | None = None
    """How many outgoing legs there may be at a time; None: any number."""
    over_limit: Literal["hangs_up", "refused"] = "hangs_up"
    """What becomes of a dial beyond it: accepted and ended (SIP 403, "D1"), or refused (90043)."""
    dials_per_second: int = 30
    """Telnyx docs: measured over the trailing 5 s, so that 150 may come at once."""
    has_funds: bool = True
    numbers: list[str] = field(default_factory=lambda: ["+15550100002"])


class Exchange(exchange.Exchange[CallT, Faults]):
    """What all calls share.

    Args:
        webhook_url: receives the webhooks of every call that has no URL of its own.
    """

    webhooks: Webhooks

    def __init__(self, webhook_url: str, faults: Faults, timing: Timing) -> None:
        super().__init__("telnyx", faults)
        self.webhook_url = webhook_url
        self.timing = timing
        self.signer = Signer()
        self.application = Application()
        self.links: dict[str, tuple[str, str, float]] = {}
        """The links to recordings, by their signature: the recording's id, the format, and when they expire."""
        self.downloads: list[Request] = []
        """Every request for the file of a recording."""
        self.webhooks = Webhooks(self.tasks, self.signer, timing, self.changed)

    def deliveries_of(self, leg_id: str) -> list[Delivery]:
        """Return the webhook attempts about one leg."""
        return [each for each in self.webhooks.deliveries if each.payload.get("call_leg_id") == leg_id]
