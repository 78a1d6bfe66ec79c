"""Persons and desks to whom calls may be transferred: `sales = +15550100010, desk = sip:desk@pbx.example`. Pure.

A number is dialled, by us or by the carrier. To a SIP address the caller's own telephone system is referred.
"""

from __future__ import annotations

import re
from typing import Final

from callflow.contracts.e164 import SUBSCRIBER
from callflow.contracts.sip_addresses import SIP, is_sip_address, reaches_emergency


_ENTRY: Final = re.compile(rf"(?P<name>[^=]{{1,60}})=\s*(?P<address>{SUBSCRIBER}|sips?:\S+)")
_BETWEEN: Final = re.compile(r"[,\n]|;(?=[^=;,\n]*=\s*(?:\+|sips?:))")
"""What is between two entries. A semicolon may also be within a SIP address, before a parameter of it."""
_MOST: Final = 100
_EXAMPLE: Final = "sales = +15550100010, desk = sip:desk@pbx.example.com"


def read(text: str) -> dict[str, str]:
    """Return the numbers and SIP addresses by name; names are compared without case. Raises ValueError for an entry
    that makes no sense."""
    targets: dict[str, str] = {}
    for entry in _BETWEEN.split(text):
        if not entry.strip(" ;\t\r"):
            continue
        found = _ENTRY.fullmatch(entry.strip(" ;\t\r"))
        name = " ".join(found["name"].split()).casefold() if found else ""
        if found is None or not name:
            raise ValueError(f"must be names with numbers or SIP addresses, such as {_EXAMPLE}")
        if name in targets:
            raise ValueError("has a name twice")
        targets[name] = found["address"]
        if targets[name].startswith(SIP):
            _check_address(targets[name])
    if len(targets) > _MOST:
        raise ValueError(f"has more than {_MOST} names")
    return targets


def _check_address(address: str) -> None:
    if not is_sip_address(address):
        raise ValueError(
            "has a SIP address that is none: sip:, a user without a password, @, a host, and perhaps parameters; "
            "250 characters at most"
        )
    if reaches_emergency(address):
        raise ValueError("has an emergency number as a SIP address: calls are never transferred to one")


def checked(text: str) -> str:
    """Check the setting. Raises ValueError."""
    read(text)
    return text
