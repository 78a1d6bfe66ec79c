"""Reads the keys that a request for a call may bring of its own, where ALLOW_CLIENT_CREDS lets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import SecretStr

from callflow.config.validators import account_sid, openai_key
from callflow.contracts.carrier import CarrierAccount


OPENAI: Final = "openaiApiKey"
ACCOUNT: Final = ("twilioAccountSid", "twilioAuthToken")
NAMES: Final = (OPENAI, *ACCOUNT)
_OURS: Final = "the keys of the server are"
_MOST: Final = 500
"""Characters of a key."""


def read_key(body: Mapping[str, Any], allowed: bool, problems: list[str], warnings: list[str]) -> str:
    """Return the engine's key of a request; "": that of the server is used. What is wrong is added to `problems`, and
    which of all these keys are not used to `warnings`; a value is in neither."""
    if not allowed:
        warnings += [f"{name} is not used: {_OURS}" for name in NAMES if name in body]
        return ""
    key = body.get(OPENAI)
    if key in (None, ""):
        return ""
    if not isinstance(key, str) or len(key) > _MOST:
        problems.append(f"{OPENAI} must be a text of {_MOST} characters at most: the key of an OpenAI account.")
        return ""
    try:
        return openai_key(SecretStr(key)).get_secret_value()
    except ValueError as error:
        problems.append(f"{OPENAI} {error}.")
        return ""


def read_account(body: Mapping[str, Any], allowed: bool, problems: list[str]) -> CarrierAccount | None:
    """Return the carrier's account of a request; None: that of the server is used. What is wrong is added to
    `problems`, without a value."""
    given = [body.get(name) for name in ACCOUNT]
    if not allowed or all(value in (None, "") for value in given):
        return None
    sid, token = given
    if not (isinstance(sid, str) and isinstance(token, str) and sid and 0 < len(token) <= _MOST):
        problems.append(
            f"{' and '.join(ACCOUNT)} belong together: two texts, the second of {_MOST} characters at most."
        )
        return None
    try:
        return CarrierAccount(account_sid(sid), token)
    except ValueError as error:
        problems.append(f"{ACCOUNT[0]} {error}.")
        return None
