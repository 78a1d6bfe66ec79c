"""Read what OpenAI says when it refuses a command."""

from __future__ import annotations

import httpx

from callflow.contracts.errors import CarrierError


def read_error(response: httpx.Response) -> CarrierError:
    """Turn an error answer into a CarrierError: `{"error": {"message": …, "type": …, "param": …, "code": …}}`, or no
    body at all. 404: the call is not there any more.

    Vendor: developers.openai.com/api/docs/guides/error-codes.
    """
    code = param = ""
    try:
        error = response.json()["error"]
        code, param = (str(error.get(name) or "")[:80] for name in ("code", "param"))
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        pass  # a proxy's answer, or one without a body: only the status is known
    status = response.status_code
    about = " ".join(filter(None, (code, param)))
    return CarrierError(
        f"OpenAI refused the command: HTTP {status}{f' / {about}' if about else ''}",
        status=status,
        code=code,
        gone=status == 404,
    )
