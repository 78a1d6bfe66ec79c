"""SIP addresses (RFC 3261, 19.1), as far as calls are referred to them. Pure."""

from __future__ import annotations

import re
from typing import Final


SIP: Final = ("sip:", "sips:")
TEL: Final = "tel:"
"""Before the number of a telephone (RFC 3966)."""
_MOST: Final = 250
"""Characters; Twilio takes less than 255."""
_ADDRESS: Final = re.compile(
    r"sips?:(?P<user>[A-Za-z0-9\-_.!~*'()&=+$/%]{1,100})@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:;[A-Za-z0-9\-_.!~*'()&=+$/%:;\[\]]*)?(?:\?[A-Za-z0-9\-_.!~*'()&=+$/%:;\[\]?]*)?"
)
_EMERGENCY: Final = frozenset({"112", "911", "999", "000"})
"""Others are common extensions of telephone systems."""


def is_sip_address(text: str) -> bool:
    """Return whether this is a `sip:` or `sips:` address of a user, without a password."""
    return len(text) <= _MOST and _ADDRESS.fullmatch(text) is not None


def reaches_emergency(address: str) -> bool:
    """Return whether the user of an address is a number that calls for help somewhere."""
    found = _ADDRESS.fullmatch(address)
    return found is not None and found["user"].lstrip("+") in _EMERGENCY
