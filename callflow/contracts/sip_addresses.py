"""SIP addresses (RFC 3261, 19.1), as far as calls are referred to them. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote, urlsplit


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
_OPENAI: Final = re.compile(r"(?:([a-z]{2,8})\.)?api\.openai\.com")
_OPENAI_SIP: Final = re.compile(r"sip(?:-([a-z]{2,8}))?\.api\.openai\.com")
_SEPARATORS: Final = dict.fromkeys(map(ord, "+-.()"))
_EMERGENCY: Final = frozenset({"112", "911", "999", "000"})
"""Others are common extensions of telephone systems."""


def is_sip_address(text: str) -> bool:
    """Return whether this is a `sip:` or `sips:` address of a user, without a password."""
    return len(text) <= _MOST and _ADDRESS.fullmatch(text) is not None


def reaches_emergency(address: str) -> bool:
    """Return whether the user of an address is a number that calls for help somewhere, however it is written: RFC 3261
    (19.1.4) reads escapes like what they stand for, and RFC 3966 (5.1.1) ignores separators."""
    found = _ADDRESS.fullmatch(address)
    return found is not None and unquote(found["user"]).translate(_SEPARATORS) in _EMERGENCY


def of_other_region(sip_host: str, api: str) -> str:
    """Return what is wrong when calls come in at OpenAI's SIP in one region and are accepted at its API in another,
    which does not know them; "": nothing, or one of the two is not OpenAI's. `api`: the URL of its WebSocket or REST.

    Vendor: https://platform.openai.com/docs/guides/realtime-sip
    """
    rest = urlsplit(api).hostname or ""
    there, here = _OPENAI_SIP.fullmatch(sip_host), _OPENAI.fullmatch(rest)
    if there is None or here is None or there[1] == here[1]:
        return ""
    wanted = f"sip-{here[1]}.api.openai.com" if here[1] else "sip.api.openai.com"
    return f"OpenAI knows no call of {sip_host} at {rest}, so that none can be accepted: {wanted} belongs to it"
