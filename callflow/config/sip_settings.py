"""Check the settings of calls over OpenAI's SIP."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from pydantic import SecretStr

from callflow.config import validators


_PROJECT: Final = re.compile(r"proj_[A-Za-z0-9_-]{1,80}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL}){{1,6}}")


def webhook_secret(value: SecretStr) -> SecretStr:
    """Check one or more secrets of OpenAI's webhooks, separated by commas: `whsec_` and base64. Raises ValueError."""
    found = validators.secrets(value)
    for each in filter(None, found.get_secret_value().split(",")):
        try:
            size = len(base64.b64decode(each.removeprefix("whsec_"), validate=True)) if "whsec_" in each else len(each)
        except (binascii.Error, ValueError):
            size = 0
        if size < 8:
            raise ValueError("must be the signing secret of the webhook at platform.openai.com: whsec_ and base64")
    return found


def project(text: str) -> str:
    """Check the id of a project at OpenAI; "" stays. Raises ValueError."""
    if text and not _PROJECT.fullmatch(text):
        raise ValueError("must be the id of a project: proj_… (platform.openai.com, Settings, General)")
    return text


def host(text: str) -> str:
    """Check the name of a host, without scheme and port. Raises ValueError."""
    if not _HOST.fullmatch(text):
        raise ValueError("must be the name of a host, without scheme and port: sip.api.openai.com")
    return text.lower()
