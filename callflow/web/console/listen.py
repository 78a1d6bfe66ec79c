"""The WebSocket on which an operator listens to a live call. It carries sound in one direction only.

The first message is JSON, and the others are binary: pieces as `media/listen_in_audio.py` packs them, some 25 messages
a second. Nothing is done for a call to which nobody listens.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Final

from quart import Quart, websocket

from callflow.call import machine
from callflow.call.call import Call
from callflow.call.line_requests import REMOTE
from callflow.journal import notes
from callflow.media.listen_in_audio import ListenInAudio
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.live.sse import Seats
from callflow.web.console.requested_by import asker


MOST: Final = 16
MOST_OF_ONE: Final = 4
"""Listeners: of all calls, and of one."""
_JOIN_SECONDS: Final = 0.04
"""Sound that goes into one message."""
_LOOK_SECONDS: Final = 0.25
_SEND_SECONDS: Final = 10.0
_OVER, _NO_CALL, _FULL, _SILENT, _REMOTE, MOVED = 1000, 4404, 4429, 1008, 4409, 4412
"""Codes with which the socket is closed. The last: the call goes on in another process, where it can be asked for as
before."""


_MOST_REASON: Final = 120
"""Bytes of the reason with which a socket is closed."""


def add_listen(app: Quart, switchboard: Callable[[], Switchboard], *, has_token: bool) -> None:
    """Add the socket to the app. `has_token`: operators need CONSOLE_TOKEN."""
    seats = Seats(MOST)

    @app.websocket("/api/calls/<call>/listen")
    async def listen(call: str) -> None:
        """Send both sides of a live call."""
        await websocket.accept()
        live = switchboard().live(call)
        if live is None:
            await websocket.close(_NO_CALL, "There is no such live call.")
            return
        if live.relay.is_remote:
            await websocket.close(_REMOTE, REMOTE[:_MOST_REASON])
            return
        with seats.seat() as is_let_in:
            if not is_let_in or listeners(live) >= MOST_OF_ONE:
                await websocket.close(_FULL, "Too many listen already.")
                return
            await _serve(live, switchboard, asker(has_token=has_token))


def listeners(call: Call) -> int:
    """Return how many listen to a call."""
    return sum(isinstance(tap, ListenInAudio) for tap in call.relay.taps)


def is_over(call: Call, switchboard: Switchboard) -> bool:
    """Return whether a call that was live is so no longer, or no longer here."""
    return machine.is_over(call.model) or call.is_handed_over or switchboard.live(call.id) is not call


def ending(call: Call) -> tuple[int, str]:
    """Return code and reason with which a socket is closed whose call is over, or no longer here."""
    if call.is_handed_over and not machine.is_over(call.model):
        return MOVED, "The call goes on in another process: connect again."
    return _OVER, "The call is over."


async def _serve(call: Call, switchboard: Callable[[], Switchboard], by: str) -> None:
    ready = asyncio.Event()
    audio = ListenInAudio(asyncio.get_running_loop().time, lambda: call.recordings.pause.is_on, ready.set)
    relay = call.relay
    relay.taps.add(audio)
    call.note(notes.ListenIn(state="began", by=by))
    receiving = asyncio.create_task(_receive(), name="listener")
    try:
        await websocket.send(json.dumps({"call": call.id, "encoding": "mulaw", "rate": 8000}))
        while not receiving.done() and not is_over(call, switchboard()):
            if call.relay is not relay:  # a caller lookup has chosen another config
                relay.taps.discard(audio)
                relay = call.relay
                relay.taps.add(audio)
            try:
                await asyncio.wait_for(ready.wait(), _LOOK_SECONDS)
            except TimeoutError:
                continue
            await asyncio.sleep(_JOIN_SECONDS)
            ready.clear()
            async with asyncio.timeout(_SEND_SECONDS):
                await websocket.send(audio.take())
        if receiving.done():
            await websocket.close(_SILENT, "A listener sends nothing.")
        else:
            await websocket.close(*ending(call))
    except TimeoutError:
        await websocket.close(1013, "The connection was too slow.")
    finally:
        receiving.cancel()
        relay.taps.discard(audio)
        if not is_over(call, switchboard()):
            call.note(notes.ListenIn(state="ended", by=by))


async def _receive() -> None:
    """Wait for a message, which a listener must not send."""
    await websocket.receive()
