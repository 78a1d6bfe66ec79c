"""An emulated Twilio Programmable Voice: as strict as the carrier, with faults that a test can turn on.

It asks the application for TwiML documents and plays them, sends status callbacks, opens the media WebSocket, serves
the REST API and puts a telephone at the other end of the line. All requests are signed over the application's public
address; `server` says where they are really sent, so that no DNS name and no certificate is needed. In a test:

    async with Twilio("https://phone.example", server="http://127.0.0.1:6000") as twilio:
        # give the application PUBLIC_BASE_URL, twilio.account_sid, twilio.auth_token and twilio.base_url
        call = await twilio.ring()
        await call.wait_streaming()
        call.phone.say(ulaw)
        await call.phone.hears(1.0)
        await call.hang_up()

It shares no code with the application but the G.711 tables, and accepts only what Twilio's documentation names
(https://www.twilio.com/docs/voice). Where the documentation is silent, the comment at the place says "(unknown)".
"""

from __future__ import annotations

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.media_socket import Frame
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.twilio.api import Command
from callflow.sandbox.twilio.call import Call
from callflow.sandbox.twilio.emulator import Twilio
from callflow.sandbox.twilio.exchange import Number
from callflow.sandbox.twilio.faults import ApiFault, Faults, Timing
from callflow.sandbox.twilio.media import MediaStream
from callflow.sandbox.twilio.server import serve
from callflow.sandbox.twilio.webhooks import Delivery, Signer


__all__ = [
    "ApiFault",
    "Call",
    "Callee",
    "Command",
    "Delivery",
    "Faults",
    "Frame",
    "MediaStream",
    "Number",
    "Phone",
    "Signer",
    "Timing",
    "Twilio",
    "serve",
]
