"""Read what Telnyx says when it refuses a command."""

from __future__ import annotations

from typing import Final

import httpx

from callflow.contracts.errors import CarrierError


_ENDED: Final = "90018"
"""The call has ended."""


def read_error(response: httpx.Response) -> CarrierError:
    """Turn an error answer into a CarrierError: `{"errors": [{"code": "90018", "title": …, "detail": …}]}`.

    Vendor: developers.telnyx.com/development/api-fundamentals/api-errors.
    """
    code = title = ""
    try:
        errors = response.json().get("errors") or [{}]
        code, title = str(errors[0].get("code", "")), str(errors[0].get("title", ""))
    except (ValueError, AttributeError, TypeError, KeyError, IndexError, RecursionError):
        pass  # not Telnyx's own answer, but a proxy's: only the status is known
    status = response.status_code
    gone = status == 404 or (status == 422 and code == _ENDED)
    return CarrierError(
        f"Telnyx refused the command: HTTP {status}{f' / {code} {title}' if code else ''}",
        status=status,
        code=code,
        gone=gone,
    )
