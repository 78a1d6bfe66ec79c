"""Makes what sends the events, if EVENTS_URL asks for it."""

from __future__ import annotations

from callflow.config.settings import Settings
from callflow.history.delivery.sender import AT_ONCE, Sender
from callflow.history.history import History


def make_sender(settings: Settings, history: History) -> Sender | None:
    """Make the sender, with an HTTP client that is ready for its first request; None: there is no EVENTS_URL."""
    if not settings.events_url:
        return None
    from callflow.history.delivery.receiver import Receiver
    from callflow.history.delivery.signature import Signer

    signer = Signer(settings.events_secret.get_secret_value())
    receiver = Receiver(settings.events_url, signer, at_once=AT_ONCE)
    made = Sender(history.events, receiver, now=history.now)
    history.journal.on_events = history.campaigns.on_events = history.alerts.on_events = made.wake
    return made
