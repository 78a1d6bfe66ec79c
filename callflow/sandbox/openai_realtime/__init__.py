"""An emulated OpenAI Realtime server (GA interface): as strict as the real one, with faults that a test can turn on.

    async with Realtime(script=Script.office(), pace=Pace()) as realtime:
        ...                       # OPENAI_REALTIME_URL = realtime.url, OPENAI_API_KEY = realtime.api_key
        session = await realtime.wait_session()
        await session.wait_for("session.update")

It detects turns by energy, answers by a script with recorded voices, refuses what the real server refuses
(https://platform.openai.com/docs/api-reference/realtime-client-events), and fails on request (`Faults`). Where the
documentation is silent or contradicts captures, there is a choice (`Quirks`).
"""

from __future__ import annotations

from callflow.sandbox.openai_realtime.emulator import Realtime
from callflow.sandbox.openai_realtime.faults import Faults, Quirks
from callflow.sandbox.openai_realtime.script import Ask, Call, Pace, Say, Script, Turn
from callflow.sandbox.openai_realtime.server import serve
from callflow.sandbox.openai_realtime.session import Session


__all__ = ["Ask", "Call", "Faults", "Pace", "Quirks", "Realtime", "Say", "Script", "Session", "Turn", "serve"]
