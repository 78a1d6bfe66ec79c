"""What both listeners need of OpenAI's other doors: client secrets, the control endpoint. `callflow/app.py` makes it
once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from callflow.config.control_values import SELF
from callflow.config.settings import Settings
from callflow.engines.openai_realtime.rest import VendorApi, socket_origin
from callflow.switchboard.control.desk import ControlDesk
from callflow.web.console.client_secrets import SecretDesk


@dataclass(frozen=True, slots=True)
class Doors:
    """The parts."""

    secrets: SecretDesk
    control: ControlDesk
    asks: str
    """Whom our own calls ask about their sessions: "self", "url" or ""."""


def make_doors(settings: Settings, effective: Callable[[], Settings]) -> Doors:
    """Make them. `effective`: returns the settings of new calls to numbers without a profile."""
    url = settings.openai_realtime_url
    return Doors(
        secrets=SecretDesk(
            VendorApi(url, settings.openai_api_key.get_secret_value()), url, socket_origin(url),
            lambda: effective().model, int(settings.realtime_expires_seconds),
        ),
        control=ControlDesk(settings, effective),
        asks={"": "", SELF: SELF}.get(settings.realtime_control_url, "url"),
    )  # fmt: skip
