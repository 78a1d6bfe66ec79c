"""`python server.py sandbox twilio`: the emulator as a server of its own."""

from __future__ import annotations

import asyncio

from callflow.sandbox.twilio.emulator import Twilio
from callflow.sandbox.twilio.faults import Faults


async def serve(
    host: str = "127.0.0.1",
    port: int = 6200,
    public_url: str = "https://phone.example",
    server: str = "http://127.0.0.1:6000",
    *,
    faults: Faults | None = None,
) -> None:
    """Run until cancelled, after printing what to put into the application's environment."""
    async with Twilio(public_url, server=server, host=host, port=port, faults=faults) as twilio:
        root = twilio.root
        number = twilio.number().phone_number
        print(
            f"Emulated Twilio on {root}; {public_url} leads to {server}\n\n"
            + "".join(f"{name.upper()}={value}\n" for name, value in twilio.settings().items())
            + f"TWILIO_FROM_NUMBER={number}\n\n"
            f'Ring:  curl -X POST {root}/sandbox/ring -d \'{{"from": "+15550100001", "to": "+15550100002"}}\'',
            flush=True,
        )
        await asyncio.Event().wait()
