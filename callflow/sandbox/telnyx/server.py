"""`python server.py sandbox telnyx`: the emulator as a server of its own."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from callflow.sandbox.telnyx.emulator import DEFAULT_API_KEY, Telnyx
from callflow.sandbox.telnyx.exchange import CONNECTION_ID
from callflow.sandbox.telnyx.faults import Faults


async def serve(
    host: str = "127.0.0.1",
    port: int = 6100,
    webhook_url: str = "http://127.0.0.1:6000/webhooks",
    api_key: str | None = None,
    public_url: str = "https://phone.example",
    *,
    faults: Faults | None = None,
) -> None:
    """Run until cancelled, after printing what to put into the application's environment."""
    key, really, public_url = api_key or DEFAULT_API_KEY, urlsplit(webhook_url), public_url.rstrip("/")
    server = f"{really.scheme}://{really.netloc}"
    webhook = public_url + really._replace(scheme="", netloc="").geturl()
    async with Telnyx(webhook_url=webhook, api_key=key, host=host, port=port, faults=faults, signing=key) as telnyx:
        telnyx.exchange.webhooks.hosts[urlsplit(public_url).netloc] = server
        root = telnyx.root
        number = telnyx.number().phone_number
        print(
            f"Emulated Telnyx on {root}; webhooks go to {webhook}; {public_url} leads to {server}\n\n"
            f"TELNYX_API_BASE={telnyx.base_url}\n"
            f"TELNYX_API_KEY={telnyx.api_key}\n"
            f"TELNYX_PUBLIC_KEY={telnyx.public_key}\n"
            f"TELNYX_CONNECTION_ID={CONNECTION_ID}\n"
            f"PUBLIC_BASE_URL={public_url}\n"
            f"TELNYX_FROM_NUMBER={number}\n\n"
            f'Ring:  curl -X POST {root}/sandbox/ring -d \'{{"from": "+15550100001", "to": "+15550100002"}}\'',
            flush=True,
        )
        await asyncio.Event().wait()
