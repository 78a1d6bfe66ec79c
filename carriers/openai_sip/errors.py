"""Read what OpenAI says when it refuses a command."""

from __future__ import annotations

from typing import Final

import httpx

from callflow.contracts.errors import CarrierError


_LONGEST: Final = 300


def read_error(response: httpx.Response) -> CarrierError:
    """Turn an error answer into a CarrierError: `{"error": {"message": …, "type": …, "param": …, "code": …}}`, or no
    body at all. 404: the call is not there any more.

    Vendor: developers.openai.com/api/docs/guides/error-codes.
    """
    code = param = said = ""
    try:
        error = response.json()["error"]
        code, param, said = (str(error.get(name) or "")[:_LONGEST] for name in ("code", "param", "message"))
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        pass  # a proxy's answer, or one without a body: only the status is known
    status = response.status_code
    about = " ".join(filter(None, (code[:80], param[:80])))
    return CarrierError(
        f"OpenAI refused the command: HTTP {status}{f' / {about}' if about else ''}",
        status=status,
        code=code[:80],
        param=param,
        said=said,
        gone=status == 404,
    )
