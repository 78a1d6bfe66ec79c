"""Read what Telnyx says when it refuses a command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import httpx

from callflow.contracts.errors import CarrierError, Refuses


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

    Vendor: developers.telnyx.com/development/api-fundamentals/api-errors.
    """
    code = title = ""
    refuses: Refuses = ""
    try:
        errors = response.json().get("errors") or [{}]
        code, title = str(errors[0].get("code", "")), str(errors[0].get("title", ""))
        refuses = _ABOUT.get(code) or _ABOUT_FIELD.get(_field(errors[0].get("source") or {}), "")
    except (ValueError, AttributeError, TypeError, KeyError, IndexError, RecursionError):
        pass  # not Telnyx's own answer, but a proxy's: only the status is known
    status = response.status_code
    gone = status == 404 or (status == 422 and code == _ENDED)
    return CarrierError(
        f"Telnyx refused the command: HTTP {status}{f' / {code} {title}' if code else ''}",
        status=status,
        code=code,
        gone=gone,
        refuses=refuses,
    )


def _field(source: Mapping[str, Any]) -> str:
    """Return the name of the field that an error is about: `{"pointer": "/to"}` or `{"parameter": "to"}`."""
    return str(source.get("pointer") or source.get("parameter") or "").removeprefix("/")
