"""Read what Telnyx says when it refuses a command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import httpx

from callflow.contracts.errors import CarrierError, Refuses
from carriers.common.http_client import not_its_own


_LONGEST: Final = 200
"""Characters that are told of each text."""
_ENDED: Final = "90018"
"""The call has ended."""
_ABOUT: Final[Mapping[str, Refuses]] = {
    "20012": "account", "20013": "account", "20100": "account",  # not active, blocked, without money
    "90041": "limit", "90042": "limit", "90043": "limit",  # channels of the user, the voice profile, the connection
}  # fmt: skip
_ABOUT_FIELD: Final[Mapping[str, Refuses]] = {"to": "number", "from": "account", "connection_id": "account"}
"""By the field of a dial that an error names."""


def read_error(response: httpx.Response) -> CarrierError:
    """Turn an error answer into a CarrierError: `{"errors": [{"code": "90018", "title": …, "detail": …}]}`.

    A 404 means that the call is gone only if it is Telnyx's own: whatever else is at a wrong address answers so, too.

    Vendor: developers.telnyx.com/development/api-fundamentals/api-errors.
    """
    code = title = ""
    is_own = False
    refuses: Refuses = ""
    try:
        errors = response.json()["errors"]
        code, title = (str(errors[0].get(name, ""))[:_LONGEST] for name in ("code", "title"))
        is_own = True
        refuses = _ABOUT.get(code) or _ABOUT_FIELD.get(_field(errors[0].get("source") or {}), "")
    except (ValueError, AttributeError, TypeError, KeyError, IndexError, RecursionError):
        pass  # not Telnyx's own answer, but a proxy's: only the status is known
    status = response.status_code
    gone = (status == 404 and is_own) or (status == 422 and code == _ENDED)
    about = f" / {code} {title}" if code else not_its_own(status, is_own, "TELNYX_API_BASE")
    return CarrierError(
        f"Telnyx refused the command: HTTP {status}{about}",
        status=status,
        code=code,
        gone=gone,
        refuses=refuses,
    )


def _field(source: Mapping[str, Any]) -> str:
    """Return the name of the field that an error is about: `{"pointer": "/to"}` or `{"parameter": "to"}`."""
    return str(source.get("pointer") or source.get("parameter") or "").removeprefix("/")
