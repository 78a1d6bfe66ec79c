"""What both listeners have for sessions of others: client secrets, the control endpoint. `callflow/app.py` makes it
once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from callflow.config.control_endpoint import SELF
from callflow.config.openai_addresses import rest_root
from callflow.config.settings import Settings
from callflow.engines.openai_realtime.rest import VendorApi, socket_origin
from callflow.switchboard.control.service import ControlService
from callflow.switchboard.engine_choice import realtime_model
from callflow.web.console.client_secrets import ClientSecretService


@dataclass(frozen=True, slots=True)
class SessionApis:
    """Client secrets and the control endpoint, which serve sessions that are no calls of ours."""

    secrets: ClientSecretService
    control: ControlService
    asks: str
    """Whom our own calls ask about their sessions: "self", "url" or ""."""


def make_session_apis(settings: Settings, effective: Callable[[], Settings]) -> SessionApis:
    """Make what both listeners share for sessions of others. `effective`: returns the settings of new calls to numbers
    without a profile."""
    url = settings.openai_realtime_url
    return SessionApis(
        secrets=ClientSecretService(
            VendorApi(rest_root(settings), settings.openai_api_key.get_secret_value()), url, socket_origin(url),
            lambda: realtime_model(effective()), lambda: effective().instructions,
            int(settings.realtime_expires_seconds),
        ),
        control=ControlService(settings, effective),
        asks={"": "", SELF: SELF}.get(settings.realtime_control_url, "url"),
    )  # fmt: skip
