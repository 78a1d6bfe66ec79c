"""The WebSocket on which an operator speaks to a caller in place of the agent: another one than that for listening.

Binary messages are µ-law, a multiple of 20 ms and 200 ms at most, and come without a pause. A text message gives the
caller back: `{"give_back": true, "line": "what was said"}`. To the operator goes `{"taken_over": true, "written_down":
true}`, again whenever it changes whether the model is told what the operator says; where it is not, who gives back is
asked for a line: `{"line_needed": "…"}`. With `?again` a take-over only goes on whose connection was lost.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Final

from quart import Quart, websocket

from callflow.call.call import Call
from callflow.contracts.bounded_json import read
from callflow.contracts.errors import OutOfBounds
from callflow.media.g711 import FRAME_BYTES
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.listen import ending, is_over
from callflow.web.console.requested_by import asker


_MOST_AUDIO: Final = 10 * FRAME_BYTES
_SILENT_SECONDS: Final = 3.0
"""A microphone sends all the time: after so long without a message the connection counts as lost."""
_LINE_NEEDED: Final = "Nobody has written down what you said: tell the agent in a line."
_MOVED_ON: Final = "The caller has gone on to another person, or the agent says goodbye."
_OVER, _UNREADABLE, _GONE, _NO_CALL, _REFUSED = 1000, 1003, 1001, 4404, 4409
_MOST_REASON: Final = 120
"""Bytes of the reason with which a socket is closed."""


def add_take_over(app: Quart, switchboard: Callable[[], Switchboard], *, has_token: bool) -> None:
    """Add the socket to the app. `has_token`: operators need CONSOLE_TOKEN."""

    @app.websocket("/api/calls/<call>/takeover")
    async def take_over(call: str) -> None:
        """Speak to the caller of a live call, until they are given back."""
        await websocket.accept()
        live = switchboard().live(call)
        if live is None:
            await websocket.close(_NO_CALL, "There is no such live call.")
            return
        if why := live.take_over.begin(asker(has_token=has_token), again="again" in websocket.args):
            await websocket.close(_REFUSED, why[:_MOST_REASON])
            return
        is_over, number = False, live.take_over.number
        try:
            code, reason, is_over = await _serve(live, switchboard, number)
            await websocket.close(code, reason)
        finally:
            if not is_over:
                live.take_over.lost(number)


async def _serve(call: Call, switchboard: Callable[[], Switchboard], number: int) -> tuple[int, str, bool]:
    """Pass the operator's voice on. `number`: of this connection (`TakeOver.number`). Returns how the socket is to be
    closed, and whether the take-over is over."""
    ours, written_down = call.take_over, None
    while not is_over(call, switchboard()):
        if not ours.by or ours.number != number:
            return _OVER, _MOVED_ON, True
        if written_down != ours.is_written_down:
            written_down = ours.is_written_down
            await websocket.send(json.dumps({"call": call.id, "taken_over": True, "written_down": written_down}))
        try:
            message = await asyncio.wait_for(websocket.receive(), _SILENT_SECONDS)
        except TimeoutError:
            return _GONE, "Nothing came any more.", False
        if not ours.by or ours.number != number:
            continue
        if isinstance(message, bytes):
            if not message or len(message) > _MOST_AUDIO or len(message) % FRAME_BYTES:
                return _UNREADABLE, "Audio must be 20 to 200 ms of 8 kHz mu-law, in steps of 20 ms.", False
            ours.speak(message)
            continue
        line = _line(message)
        if line is None:
            return _UNREADABLE, 'Text must be {"give_back": true, "line": "..."}.', False
        if not line and not ours.is_written_down:
            await websocket.send(json.dumps({"line_needed": _LINE_NEEDED}))
            continue
        ours.give_back(line)
        return _OVER, "The agent has the caller back.", True
    return *ending(call), True


def _line(message: str) -> str | None:
    """Return the line of a message that gives back; None: it is none."""
    try:
        value = read(message.encode())
    except (OutOfBounds, UnicodeEncodeError):
        return None
    if not isinstance(value, dict) or value.get("give_back") is not True:
        return None
    line = value.get("line", "")
    return line.strip() if isinstance(line, str) else None
