"""Shows the model of a call that was recovered the pictures that it had been shown."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Sequence
from typing import Final

from callflow.agent.engine_sessions import MOST_IMAGES
from callflow.call.call import Call
from callflow.contracts.engine import ContextImage
from callflow.history import image_rows
from callflow.history.database import Database


log = logging.getLogger(__name__)

_SECONDS: Final = 1.0
"""For all calls together: their callers wait."""


async def show_again(database: Database, calls: Sequence[Call]) -> None:
    """Give the agents of these calls their pictures, before they have a session. Never fails."""
    try:
        async with asyncio.timeout(_SECONDS):
            had = await image_rows.calls_with(database, [call.id for call in calls]) if calls else set()
            for call in calls:
                if call.id in had:
                    rows = await image_rows.newest(database, call.id, MOST_IMAGES)
                    call.agent.sessions.remember(await asyncio.to_thread(_images, rows))
    except Exception as error:
        log.warning("pictures of calls that were recovered are not shown again: %s", type(error).__name__)


def _images(rows: Sequence[tuple[str, bytes]]) -> list[ContextImage]:
    return [ContextImage(f"data:{mime};base64,{base64.b64encode(shown).decode()}") for mime, shown in rows]
