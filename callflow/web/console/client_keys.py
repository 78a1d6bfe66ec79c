"""Reads the keys that a request for a call may bring of its own, where ALLOW_CLIENT_CREDS lets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import SecretStr

from callflow.config.validators import openai_key


OPENAI: Final = "openaiApiKey"
NAMES: Final = (OPENAI, "twilioAccountSid", "twilioAuthToken")
_OURS: Final = "the keys of the server are"
_LEFT_OUT: Final = "the server's own account at the carrier makes all calls"
_MOST: Final = 500
"""Characters of a key."""


def read_key(body: Mapping[str, Any], allowed: bool, problems: list[str], warnings: list[str]) -> str:
    """Return the engine's key of a request; "": that of the server is used. What is wrong is added to `problems`, and
    what is left out to `warnings`; a value is in neither."""
    if not allowed:
        warnings += [f"{name} is not used: {_OURS}" for name in NAMES if name in body]
        return ""
    warnings += [f"{name} is not used: {_LEFT_OUT}" for name in NAMES if name in body and name != OPENAI]
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
