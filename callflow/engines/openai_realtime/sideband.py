"""The socket beside a call whose audio goes straight to the model (SIP): how it is opened, and what its 404 means.

It carries all events of the session but the audio. Before the call is accepted it is refused with 404; after the call's
end, too, and that is the only word that there is of the end. It is opened once the accept was answered: so at its first
opening 404 means "not yet" for a moment, and then that the caller has gone in between.

Vendor: https://platform.openai.com/docs/guides/realtime-sip
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from callflow.contracts.errors import CallOver, EngineError, HandshakeError
from callflow.engines.common import connection
from callflow.engines.common.account import Account
from callflow.engines.common.engine_socket import EngineSocket
from callflow.engines.openai_realtime.session_config import RealtimeConfig, session_url


log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.05
_MOST_PAUSE: Final = 1.0
"""The pause after a 404 doubles from the one to the other."""
_LOOK_SECONDS: Final = 1.5
_NOT_FOUND: Final = 404
_YET_SECONDS: Final = 1.5
"""So long after its accept a call may be unknown to the socket."""


async def attach(config: RealtimeConfig, remote: str, account: Account, call: str, *, was_there: bool) -> EngineSocket:
    """Open the socket, within `config.connect_seconds`. `was_there`: it was open before, so that 404 is the end. How
    often to ask a vendor that refuses is the account's to say.

    Raises CallOver; EngineError when it cannot be opened.
    """
    error, pause = EngineError("no answer came"), _FIRST_PAUSE
    clock = asyncio.get_running_loop().time
    until = clock() + _YET_SECONDS
    try:
        async with asyncio.timeout(config.connect_seconds):
            while True:
                try:
                    return await account.open_beside(config, call, session_url(config, remote))
                except HandshakeError as refused:
                    if refused.status == _NOT_FOUND and was_there:
                        raise CallOver("the call is over: its sideband socket is not found any more") from None
                    if refused.status == _NOT_FOUND and clock() >= until:
                        raise CallOver("the caller has gone before the call was connected: it is not found") from None
                    if not refused.retry and refused.status != _NOT_FOUND:
                        raise
                    error = refused
                    if refused.status == _NOT_FOUND:
                        await asyncio.sleep(pause)
                        pause = min(2 * pause, _MOST_PAUSE)
    except TimeoutError:
        seconds = f"{config.connect_seconds:g} s"
        raise EngineError(f"no sideband socket within {seconds}; {error}", retry=False) from None


async def is_over(config: RealtimeConfig, remote: str) -> bool:
    """Return whether the call is over, now that its socket has closed. What cannot be found out is no."""
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            socket = await connection.open_once(config, url=session_url(config, remote))
    except HandshakeError as refused:
        return refused.status == _NOT_FOUND
    except TimeoutError:
        return False
    socket.transport.abort()
    return False
