"""Read what Twilio says when it refuses a command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import httpx

from callflow.contracts.errors import CarrierError, Refuses


_GONE: Final = frozenset({"20404", "21220"})
"""Error codes: there is no such call, or it is not in progress."""
_ABOUT: Final[Mapping[str, Refuses]] = {
    "10004": "limit", "20429": "limit",  # calls at once, requests at once
    "20003": "account", "20005": "account",  # credentials, or suspended; not active
    "21205": "account", "21210": "account", "21212": "account", "21213": "account",  # our address, our number
    "21211": "number", "21214": "number", "21217": "number",  # no number, or not to be reached
    "21215": "number", "21216": "number", "21219": "number",  # its country or it is blocked, or not verified
}  # fmt: skip


def read_error(response: httpx.Response) -> CarrierError:
    """Turn an error answer into a CarrierError: `{"code": 20404, "message": …, "status": 404}`; a 5xx may be HTML.

    Vendor: www.twilio.com/docs/errors.
    """
    code = message = ""
    try:
        error = response.json()
        code, message = str(error.get("code") or ""), str(error.get("message") or "")
    except (ValueError, AttributeError, RecursionError):
        pass  # not Twilio's own answer, but a proxy's: only the status is known
    status, message = response.status_code, message[:200].rstrip(".")
    return CarrierError(
        f"Twilio refused the command: HTTP {status}{f' / {code} {message}' if code else ''}",
        status=status,
        code=code,
        gone=status == 404 or code in _GONE,
        refuses=_ABOUT.get(code, ""),
    )
