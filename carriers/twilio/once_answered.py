"""Sends commands again that Twilio takes for calls in progress alone, while it may still be answering the call. Who has
answered, a person or a machine, is read in `webhooks.py`.

The document that answers a call is handed over before the call is in progress. What is sent by REST until then is
refused with the very error that is the answer for a call that is over, so the call's status decides. Vendor:
https://www.twilio.com/docs/api/errors/21220
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from callflow.contracts.carrier import CarrierCallStatus
from callflow.contracts.errors import CarrierError


_NOT_IN_PROGRESS: Final = "21220"
_PAUSES: Final = (0.1, 0.2, 0.3, 0.5, 0.9, 1.0)
"""Seconds before the command is sent again: 3 in all."""


async def once_answered(send: Callable[[], Awaitable[Any]], status: Callable[[], Awaitable[CarrierCallStatus]]) -> None:
    """Send a command, and send it again for a few seconds while Twilio says that the call is not in progress, and its
    status that it is not over. Raises CarrierError; `gone`: the call is over."""
    for pause in _PAUSES:
        try:
            await send()
            return
        except CarrierError as error:
            if error.code != _NOT_IN_PROGRESS:
                raise
            error.gone = await _is_over(status)
            if error.gone:
                raise
        await asyncio.sleep(pause)
    try:
        await send()
    except CarrierError as error:
        error.gone = error.gone and (error.code != _NOT_IN_PROGRESS or await _is_over(status))
        raise


async def _is_over(status: Callable[[], Awaitable[CarrierCallStatus]]) -> bool:
    try:
        return await status() == "gone"
    except CarrierError:
        return False  # a call that may be there is not given up
