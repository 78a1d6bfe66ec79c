"""The values of the settings of the control endpoint, and what keeps the server from starting with them. Pure."""

from __future__ import annotations

import re
from typing import Final, Protocol

from pydantic import SecretStr

from callflow.config import validators
from callflow.contracts.control import AT_START


SELF: Final = "self"
"""As REALTIME_CONTROL_URL: this server asks itself, in its own process."""
LEAST_ADMIN: Final = 32
"""Characters of the admin secret."""
_OURS: Final = ("session_changed", "control_asked")
"""What the answers themselves bring about."""
_NAME: Final = re.compile(r"[a-z_]{1,40}")
_MOST_EVENTS: Final = 20


class ControlSecrets(Protocol):
    """The settings that have secrets: those of the control endpoint, and CONSOLE_TOKEN."""

    @property
    def realtime_control_secret(self) -> SecretStr: ...
    @property
    def realtime_control_signing_secret(self) -> SecretStr: ...
    @property
    def realtime_control_admin_secret(self) -> SecretStr: ...
    @property
    def console_token(self) -> SecretStr: ...


def url(text: str) -> str:
    """Check who is asked: "", `self`, or an address as `validators.events_url` takes it. Raises ValueError."""
    return SELF if text.strip().lower() == SELF else validators.events_url(text)


def events(text: str) -> str:
    """Check the names of events, separated by commas. Raises ValueError."""
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if len(names) > _MOST_EVENTS or not all(name == AT_START or _NAME.fullmatch(name) for name in names):
        raise ValueError(f'must be names of events with commas between them, such as "{AT_START}, interrupted"')
    if ours := [name for name in names if name in _OURS]:
        raise ValueError(f"must not have {ours[0]} in it: the answers bring it about, and would be asked for ever")
    return ", ".join(names)


def problems(settings: ControlSecrets) -> list[str]:
    """Return a line for each reason not to start with these secrets."""
    found = []
    admin = settings.realtime_control_admin_secret.get_secret_value()
    if admin and (len(admin) < LEAST_ADMIN or len(set(admin)) < LEAST_ADMIN // 4):
        what = f"has {len(admin)} characters" if len(admin) < LEAST_ADMIN else "hardly has two characters that differ"
        make = 'python3 -c "import secrets; print(secrets.token_hex(32))"'
        found.append(f"REALTIME_CONTROL_ADMIN_SECRET {what}: use at least {LEAST_ADMIN} random ones; {make} makes one")
    others = (settings.realtime_control_secret, settings.realtime_control_signing_secret, settings.console_token)
    if admin and admin in [other.get_secret_value() for other in others]:
        found.append("REALTIME_CONTROL_ADMIN_SECRET is another secret as well: each must be one of its own")
    secret, signing = (other.get_secret_value() for other in others[:2])
    if secret and secret == signing:
        found.append(
            "REALTIME_CONTROL_SECRET is REALTIME_CONTROL_SIGNING_SECRET as well: a secret that is sent cannot sign"
        )
    return found
