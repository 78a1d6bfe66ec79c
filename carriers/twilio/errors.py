"""Read what Twilio says when it refuses a command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import httpx

from callflow.contracts.errors import CarrierError, Refuses
from carriers.common.http_client import not_its_own


_LONGEST: Final = 200
"""Characters that are told of each text."""
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

    A 404 means that the call is gone only if it is Twilio's own: whatever else is at a wrong address answers so, too.

    Vendor: www.twilio.com/docs/errors.
    """
    code = message = ""
    is_own = False
    try:
        error = response.json()
        code, message = str(error.get("code") or "")[:_LONGEST], str(error.get("message") or "")
        is_own = bool(code) or "status" in error
    except (ValueError, AttributeError, RecursionError):
        pass  # not Twilio's own answer, but a proxy's: only the status is known
    status, message = response.status_code, message[:_LONGEST].rstrip(".")
    about = f" / {code} {message}" if code else not_its_own(status, is_own, "TWILIO_API_BASE")
    return CarrierError(
        f"Twilio refused the command: HTTP {status}{about}",
        status=status,
        code=code,
        gone=(status == 404 and is_own) or code in _GONE,
        refuses=_ABOUT.get(code, ""),
    )
