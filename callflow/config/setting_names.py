"""The one table of other names that a setting may be written under: in settings.toml, `.env` and the environment, in
profiles, in sessions, and in what the database and journals keep. Pure.

The setting's own name wins where both are there. Names of earlier systems, whose values may need a translation, are in
`callflow.config.legacy_names`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final


FORMER: Final[Mapping[str, str]] = MappingProxyType(
    {
        "hold_seconds": "no_input_noise_seconds",
        "patience_seconds": "reply_filler_seconds",
        "ring_seconds": "answer_seconds",
        "last_words_seconds": "goodbye_seconds",
        "carrier_lead_ms": "playout_lead_ms",
        "join_ms": "frame_batch_ms",
    }
)
"""Names that settings of calls had until 0.1."""
ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "telnyx_base_url": "telnyx_api_base",
        "public_url": "public_base_url",
        "ngrok_authtoken": "ngrok_auth_token",
        "aws_default_region": "aws_region",
        **FORMER,
    }
)
"""All other names: those that other projects use, and the former ones."""


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by the settings' own names; an own name that is there wins over another."""
    return {ALIASES.get(name, name): value for name, value in values.items() if ALIASES.get(name) not in values}


def others(names: Iterable[str]) -> list[str]:
    """Return all other names of these settings."""
    wanted = set(names)
    return [other for other, name in ALIASES.items() if name in wanted]
