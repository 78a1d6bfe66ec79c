"""Whether a request for an outbound call may bring keys of its own (ALLOW_CLIENT_CREDS). For development only: they are
used where all that they are sent to is on this machine."""

from __future__ import annotations

from urllib.parse import urlsplit

from callflow.config.settings import Settings
from callflow.config.validators import is_loopback


def elsewhere(settings: Settings) -> list[str]:
    """Return the settings whose address is not one of this machine: to there, nobody else's keys are sent."""
    asked = [
        "openai_realtime_url",
        *["openai_api_base"] * bool(settings.openai_api_base),
        *["openai_live_url"] * ("openai_live" in (settings.engine, settings.fallback_engine)),
        *["telnyx_api_base"] * settings.telnyx_on,
        *["twilio_api_base"] * settings.twilio_on,
    ]
    return [name for name in asked if not is_loopback(urlsplit(getattr(settings, name)).hostname or "")]


def in_force(settings: Settings) -> bool:
    """Return whether such keys are used."""
    return settings.allow_client_creds and not elsewhere(settings)
