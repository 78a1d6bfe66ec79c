"""Configs for tests, and what is made of them: the defaults of the settings, except for what a test names."""

from __future__ import annotations

import dataclasses
from typing import Any

from callflow.config.settings import Settings
from callflow.engines.openai_realtime.response_queue import ResponseQueue
from callflow.engines.openai_realtime.session_config import RealtimeConfig
from callflow.media.playout import Playout
from callflow.switchboard import engine_choice
from carriers import registry
from carriers.telnyx.carrier import TelnyxConfig
from carriers.twilio.config import TwilioConfig


_REALTIME = dataclasses.replace(engine_choice.realtime_config(Settings()), api_key="sk-test")
_TELNYX = registry.telnyx_config(Settings(), lambda: "https://app.test")
_TWILIO = registry.twilio_config(Settings(), lambda: "https://app.test")


def realtime_config(**changes: Any) -> RealtimeConfig:
    """Make the engine's config. Raises TypeError for a field that it does not have."""
    return dataclasses.replace(_REALTIME, **changes)


def telnyx_config(**changes: Any) -> TelnyxConfig:
    """Make Telnyx's config. Raises TypeError for a field that it does not have."""
    return dataclasses.replace(_TELNYX, **changes)


def twilio_config(**changes: Any) -> TwilioConfig:
    """Make Twilio's config. Raises TypeError for a field that it does not have."""
    return dataclasses.replace(_TWILIO, **changes)


def make_response_queue(**changes: Any) -> ResponseQueue:
    """Make a queue with the retries of the settings."""
    settings = Settings()
    chosen = {"retries": settings.response_retries, "retry_seconds": settings.response_retry_seconds, **changes}
    return ResponseQueue(**chosen)


def make_playout(**changes: Any) -> Playout:
    """Make a playout with the lead and the marks of the settings, in ms."""
    settings = Settings()
    return Playout(**{"lead_ms": settings.playout_lead_ms, "mark_every_ms": settings.mark_every_ms, **changes})
