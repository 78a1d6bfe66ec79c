"""An emulated Telnyx Voice API: as strict as the carrier, with faults that a test can turn on.

It serves the HTTP API, sends signed webhooks, opens the media WebSocket and puts a telephone at the other end of the
line. Only real sockets connect it to the application under test. In a test:

    async with Telnyx(webhook_url="http://127.0.0.1:6000/webhooks") as telnyx:
        # give the application telnyx.base_url, telnyx.api_key and telnyx.public_key
        call = await telnyx.ring()
        await call.wait_streaming()
        call.phone.say(ulaw)
        await call.phone.hears(1.0)
        await call.hang_up()

It shares no code with the application but the G.711 tables, and accepts only what Telnyx's documentation names
(https://developers.telnyx.com/docs/voice/programmable-voice). Where the documentation is silent, the comment at the
place says "(unknown)".
"""

from __future__ import annotations

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.media_socket import Frame
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.telnyx.api import Command
from callflow.sandbox.telnyx.call import Call
from callflow.sandbox.telnyx.emulator import DEFAULT_API_KEY, Telnyx
from callflow.sandbox.telnyx.exchange import CONNECTION_ID
from callflow.sandbox.telnyx.faults import ApiFault, Faults, Timing
from callflow.sandbox.telnyx.frames import StreamOptions
from callflow.sandbox.telnyx.media import MediaStream
from callflow.sandbox.telnyx.server import serve
from callflow.sandbox.telnyx.webhooks import Delivery


__all__ = [
    "CONNECTION_ID",
    "DEFAULT_API_KEY",
    "ApiFault",
    "Call",
    "Callee",
    "Command",
    "Delivery",
    "Faults",
    "Frame",
    "MediaStream",
    "Phone",
    "StreamOptions",
    "Telnyx",
    "Timing",
    "serve",
]
