"""`python server.py sandbox realtime`: the emulator as a server of its own."""

from __future__ import annotations

import asyncio

from callflow.sandbox.openai_realtime.control_api import ControlServer
from callflow.sandbox.openai_realtime.emulator import Realtime
from callflow.sandbox.openai_realtime.faults import Faults
from callflow.sandbox.openai_realtime.script import Pace


async def serve(
    host: str = "127.0.0.1",
    port: int = 6300,
    api_key: str = "sk-sandbox",
    *,
    control_port: int | None = None,
    faults: Faults | None = None,
    pace: Pace | None = None,
) -> None:
    """Run until cancelled, after printing what to put into the application's environment.

    Faults are set over HTTP on `control_port` (by default the next one): see control_api.py.
    """
    if control_port is None:
        control_port = port + 1 if 0 < port < 65535 else 0
    async with (
        Realtime(host=host, port=port, api_key=api_key, faults=faults, pace=pace) as realtime,
        ControlServer(realtime, host, control_port) as control,
    ):
        print(
            f"Emulated OpenAI Realtime on {realtime.url}, GPT-Live on {realtime.live_url} (ENGINE=openai_live)\n\n"
            f"OPENAI_REALTIME_URL={realtime.url}\n"
            f"OPENAI_LIVE_URL={realtime.live_url}\n"
            f"OPENAI_API_KEY={realtime.api_key}\n\n"
            f"Ring over SIP (OPENAI_WEBHOOK_SECRET={realtime.sip.secret}):\n"
            f"        curl -X POST {control.url}/sandbox/ring"
            ' -d \'{"webhook_url": "http://127.0.0.1:6000/openai/webhook"}\'\n'
            f"Break:  curl -X PUT {control.url}/sandbox/faults -d '{{\"rate_limit_next\": 1}}'\n"
            f"Watch:  curl {control.url}/sandbox/log",
            flush=True,
        )
        await asyncio.Event().wait()
