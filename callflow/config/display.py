"""How settings are shown: in `--check`, and in messages about a value that cannot be used. Pure.

Of a secret at most the last four characters are shown, of an address its host and path. Any other setting may hold a
secret that was put into the wrong place, so every value is checked before it is shown.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

from pydantic import SecretStr

from callflow.config.origins import OriginSettings
from callflow.config.validators import TOKEN_CHARACTERS
from callflow.contracts import addresses, secret_text
from callflow.contracts.secret_text import Secrets


_IS_ADDRESS: Final = re.compile(r"_(url|uri|dsn|base|proxy|endpoint)$")
_IS_PLACE: Final = re.compile(r"(^|_)host$")
_PUBLIC: Final = frozenset({"telnyx_public_key"})
"""Settings whose name looks like a secret's, although their value is public."""
_MARKED: Final = re.compile("[@?#]")
_NOT_SHOWN: Final = "set (not shown: it holds a secret)"
_MOST_QUOTED: Final = 80
"""Characters of a value that may be quoted in a message; a mistyped number or choice is shorter."""


def masked(settings: OriginSettings) -> list[tuple[str, str, str]]:
    """Return name (in capitals), value as it may be shown, and origin of every setting."""
    rows = []
    known = secrets_of(settings)
    for name in type(settings).model_fields:
        given = getattr(settings, name)
        if isinstance(given, SecretStr):
            text = mask(given.get_secret_value())
        elif isinstance(given, bool):
            text = str(given).lower()
        else:
            text = value(name, str(given), known)
        rows.append((name.upper(), text, settings.origin(name)))
    return rows


def without_secrets(value: Any, secrets: Secrets) -> Any:
    """Return a setting, or a dict or list of some, with a remark in place of each text that holds a secret."""
    if isinstance(value, dict):
        return {name: without_secrets(each, secrets) for name, each in value.items()}
    if isinstance(value, list):
        return [without_secrets(each, secrets) for each in value]
    return _NOT_SHOWN if isinstance(value, str) and secrets.within(value) else value


def secrets_of(settings: OriginSettings) -> Secrets:
    """Return everything in the settings that is secret: keys, each part of a list, and passwords in addresses.

    A secret that is so short or so plain a word that any text may hold it is left out.
    """
    found: list[str] = []
    for name in type(settings).model_fields:
        given = getattr(settings, name)
        if isinstance(given, SecretStr):
            parts = given.get_secret_value().split(",")
            found += [each for part in parts for each in (part, part.rpartition(":")[2])]
        elif is_address(name):
            found += addresses.secrets_in(given)
    return Secrets(filter(secret_text.is_distinctive, found))


def misplaced(settings: OriginSettings, origin: str = "") -> list[str]:
    """Return one line for each secret that stands in a setting that is not for secrets, and so would be shown and sent.

    `origin`: where all values come from; "": each setting has its own origin.
    """
    texts = {name: getattr(settings, name) for name in type(settings).model_fields if name not in _PUBLIC}
    known = {given.get_secret_value() for given in texts.values() if isinstance(given, SecretStr)}
    return [
        f"{name.upper()} ({origin or settings.origin(name)}) looks like a secret key: move it to its own setting"
        for name, text in texts.items()
        if isinstance(text, str) and (secret_text.is_key(text) or (secret_text.is_distinctive(text) and text in known))
    ]


def value(name: str, text: str, known: Secrets) -> str:
    """Return the value of a setting as it may be shown. `known`: the secrets of all settings."""
    if is_address(name):
        return addresses.shown(text)
    if name in _PUBLIC:
        return text
    if secret_text.is_key(text) or (text and secret_text.names_secret(name)):
        return mask(text)
    if known.within(text) or ("://" in text and _MARKED.search(text)):
        return "set (not shown: it holds a secret or an address)"
    return text


def quoted(name: str, text: str, known: Secrets = secret_text.NONE) -> str:
    """Return `="value"` for a message about a setting; "" when the value, or what it was meant to be, may be secret."""
    if len(text) > _MOST_QUOTED or not text.isprintable() or is_address(name) or _IS_PLACE.search(name):
        return ""
    return (
        "" if secret_text.names_secret(name) or secret_text.may_be_secret(text) or known.within(text) else f'="{text}"'
    )


def key(name: str) -> str:
    """Return an unknown name in quotes, or words in its place: it may be a secret that stands in the wrong place."""
    is_shown = len(name) <= _MOST_QUOTED and name.isprintable() and not secret_text.may_be_secret(name)
    return f'"{name}"' if is_shown else "that is not shown, because it looks like a secret"


def text(given: str) -> str:
    """Return a text from a file in quotes, or words in its place when it may be a secret."""
    return (
        f'"{given}"' if len(given) <= _MOST_QUOTED and not secret_text.may_be_secret(given) else "one that is not shown"
    )


def mask(text: str) -> str:
    """Return a secret as it may be shown: `set (…abcd)` with its last four characters, `set` if short, or `missing`."""
    if not text:
        return "missing"
    return f"set (…{text[-4:]})" if len(text) >= TOKEN_CHARACTERS else "set"


@functools.lru_cache(1024)
def is_address(name: str) -> bool:
    """Return whether the setting of this name holds an address, which may hold a password."""
    return _IS_ADDRESS.search(name) is not None
