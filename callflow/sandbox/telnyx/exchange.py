"""The exchange of the emulated Telnyx: its account, its webhooks, and its calls."""

from __future__ import annotations

from callflow.sandbox.common import exchange
from callflow.sandbox.common.exchange import CallT
from callflow.sandbox.common.http_server import Request
from callflow.sandbox.telnyx.faults import Faults, Timing
from callflow.sandbox.telnyx.numbers import CONNECTION_ID as CONNECTION_ID
from callflow.sandbox.telnyx.numbers import Account, Application
from callflow.sandbox.telnyx.webhooks import Delivery, Signer, Webhooks


class Exchange(exchange.Exchange[CallT, Faults]):
    """What all calls share.

    Args:
        webhook_url: receives the webhooks of every call that has no URL of its own.
        signing: words from which the key that signs webhooks is made; "": a new one.
    """

    webhooks: Webhooks

    def __init__(self, webhook_url: str, faults: Faults, timing: Timing, signing: str = "") -> None:
        super().__init__("telnyx", faults)
        self.timing = timing
        self.signer = Signer(signing)
        self.account = Account(webhook_url)
        self.links: dict[str, tuple[str, str, float]] = {}
        """The links to recordings, by their signature: the recording's id, the format, and when they expire."""
        self.downloads: list[Request] = []
        """Every request for the file of a recording."""
        self.webhooks = Webhooks(self.tasks, self.signer, timing, self.changed)

    @property
    def application(self) -> Application:
        """The account's first Voice API application."""
        return self.account.application

    @property
    def webhook_url(self) -> str:
        """Where the first application's webhooks are sent."""
        return self.application.webhook_event_url

    @webhook_url.setter
    def webhook_url(self, url: str) -> None:
        self.application.webhook_event_url = url

    def deliveries_of(self, leg_id: str) -> list[Delivery]:
        """Return the webhook attempts about one leg."""
        return [each for each in self.webhooks.deliveries if each.payload.get("call_leg_id") == leg_id]
