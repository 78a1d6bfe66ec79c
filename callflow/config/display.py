"""How settings are shown: in `--check`, in what is said about a value that cannot be used, and wherever else. Pure.

A secret has at most its last four characters shown, an address its host and path; and any other setting may hold one
that somebody has put into the wrong place.
"""

from __future__ import annotations

import re
from typing import Final

from pydantic import SecretStr

from callflow.config.origins import OriginSettings
from callflow.config.validators import TOKEN_CHARACTERS
from callflow.contracts import addresses, secret_text
from callflow.contracts.secret_text import Secrets


_IS_ADDRESS: Final = re.compile(r"_(url|uri|dsn|base|proxy)$")
_IS_PLACE: Final = re.compile(r"(^|_)host$")
_PUBLIC: Final = frozenset({"telnyx_public_key"})
"""Named like secrets, and none."""
_MARKED: Final = re.compile("[@?#]")
_MOST_QUOTED: Final = 80
"""Characters of a value that is quoted; what is longer is no number and no choice that somebody mistyped."""


def masked(settings: OriginSettings) -> list[tuple[str, str, str]]:
    """Name, value and origin of every setting."""
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


def secrets_of(settings: OriginSettings) -> Secrets:
    """All that is secret in them, each part of a list by itself; but for what is so short, or so plain a word, that any
    text might hold it."""
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
    """A line for each secret in a setting that is none: those are shown, sent and written down. `origin`: where all of
    them come from; "": each knows."""
    texts = {name: getattr(settings, name) for name in type(settings).model_fields if name not in _PUBLIC}
    known = {given.get_secret_value() for given in texts.values() if isinstance(given, SecretStr)}
    return [
        f"{name.upper()} ({origin or settings.origin(name)}) looks like a secret key: move it to its own setting"
        for name, text in texts.items()
        if isinstance(text, str) and (secret_text.is_key(text) or (secret_text.is_distinctive(text) and text in known))
    ]


def value(name: str, text: str, known: Secrets) -> str:
    """The value of a setting that is not secret itself. `known`: the secrets of the others."""
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
    """`="value"` of a setting that cannot be used; "" where the value, or what it was meant to be, may be secret."""
    if len(text) > _MOST_QUOTED or not text.isprintable() or is_address(name) or _IS_PLACE.search(name):
        return ""
    return (
        "" if secret_text.names_secret(name) or secret_text.may_be_secret(text) or known.within(text) else f'="{text}"'
    )


def key(name: str) -> str:
    """A name that is no setting's, in quotes: it may be a secret that stands in the wrong place."""
    is_shown = len(name) <= _MOST_QUOTED and name.isprintable() and not secret_text.may_be_secret(name)
    return f'"{name}"' if is_shown else "that is not shown, because it looks like a secret"


def text(given: str) -> str:
    """What somebody wrote, in quotes, unless it may be a secret."""
    return (
        f'"{given}"' if len(given) <= _MOST_QUOTED and not secret_text.may_be_secret(given) else "one that is not shown"
    )


def mask(text: str) -> str:
    """A secret, fit to be shown: its last four characters, and not even those of a short one."""
    if not text:
        return "missing"
    return f"set (…{text[-4:]})" if len(text) >= TOKEN_CHARACTERS else "set"


def is_address(name: str) -> bool:
    return _IS_ADDRESS.search(name) is not None
