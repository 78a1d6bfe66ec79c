"""Read the SIP headers of a call, as OpenAI passes them on: who calls, which number was called, which leg led here.

Whoever calls writes these headers, so nothing is believed of them that could do harm: they are bounded, and what cannot
be read is left out. OpenAI keeps their order and repetitions. Through a trunk of Twilio's the number that was called
is in `Diversion`, and `To` holds our project.

Vendor: developers.openai.com/api/docs/guides/realtime-sip (`sip_headers`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from callflow.contracts.sip_addresses import is_sip_address


FROM, TO, LEG = "x-callflow-from", "x-callflow-to", "x-callflow-leg"
"""Headers of our own, in lower case: the numbers of the caller's leg at another carrier, and that leg."""
_CALLERS: Final = (FROM, "p-asserted-identity", "from")
_CALLED: Final = (TO, "diversion", "p-called-party-id", "to")
_MOST_HEADERS: Final = 100
_MOST_VALUE: Final = 500
_ADDRESS: Final = re.compile(r"(?:sips?|tel):([^\s<>;?,\"]+)", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\+?[0-9]{3,20}")
_LEG: Final = re.compile(r"[a-z]{2,20}:[A-Za-z0-9_:.-]{1,100}")
_PUNCTUATION: Final = str.maketrans("", "", " -().")


class SipParties(NamedTuple):
    """What the headers say; "": nothing that can be read."""

    from_number: str
    to_number: str
    call_id: str
    """The header Call-ID."""
    linked: str
    """The leg at another carrier, such as `twilio:CA0…`."""


def read_headers(headers: Any) -> SipParties:
    """Read `[{"name": …, "value": …}, …]`; whatever else it is says nothing."""
    found: dict[str, str] = {}
    for name, value in _pairs(headers):
        found.setdefault(name.lower(), value)  # of repeated ones the first
    numbers = (next(filter(None, (_party(found.get(name, "")) for name in names)), "") for names in (_CALLERS, _CALLED))
    from_number, to_number = numbers
    leg = found.get(LEG, "")
    if not leg and (twilio := found.get("x-twilio-callsid", "")):
        leg = f"twilio:{twilio}"
    return SipParties(
        from_number=from_number,
        to_number=to_number if _NUMBER.fullmatch(to_number) else "",
        call_id=found.get("call-id", "")[:200] if found.get("call-id", "").isprintable() else "",
        linked=leg if _LEG.fullmatch(leg) else "",
    )


def _pairs(headers: Any) -> Iterator[tuple[str, str]]:
    for each in headers[:_MOST_HEADERS] if isinstance(headers, Sequence) and not isinstance(headers, str) else ():
        name, value = (each.get("name"), each.get("value")) if isinstance(each, Mapping) else (None, None)
        if isinstance(name, str) and isinstance(value, str) and len(name) <= _MOST_VALUE:
            yield name.strip(), value.strip()[:_MOST_VALUE]


def _party(value: str) -> str:
    """Return the number in a header's value; else its SIP address, if it is a caller's name at a host. "": neither."""
    found = _ADDRESS.search(value)
    address = found[1] if found else value
    number = unquote(address.partition("@")[0]).translate(_PUNCTUATION)
    if _NUMBER.fullmatch(number):
        return number
    if found is None or number.lower() == "anonymous" or number.startswith("proj_"):
        return ""
    return f"sip:{address}" if is_sip_address(f"sip:{address}") else ""
