"""What the last calls have met that somebody should put right: for the start table and for doctor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from callflow.agent.late_transcripts import TOO_LATE
from callflow.contracts.diagnostics import Finding
from callflow.history.store import Store
from callflow.journal import notes


log = logging.getLogger(__name__)

_CALLS: Final = 20
_SECONDS: Final = 1.0


async def learnt(store: Store) -> list[Finding]:
    """Return a finding for each kind of problem. Raises what the database raises."""
    met = await store.lately((notes.MediaSignature.kind, notes.NotTranscribed.kind), calls=_CALLS)
    found: dict[str, list[tuple[str, str]]] = {}
    for entry in met:
        note = entry.note
        if isinstance(note, notes.MediaSignature):
            found.setdefault(note.kind, []).append((entry.call, note.odd))
        elif isinstance(note, notes.NotTranscribed):
            # What can be done about it depends on whether the words never came, or came too late.
            kind = "too_late" if note.reason == TOO_LATE else note.kind
            found.setdefault(kind, []).append((entry.call, note.reason))
    return [_told(kind, cases) for kind, cases in found.items()]


async def lately(store: Store) -> list[str]:
    """Return the same for the start table, a line each, if it can be told in a moment: callers are waiting."""
    try:
        async with asyncio.timeout(_SECONDS):
            return [f"{one.about}: {one.what}; {one.remedy}." for one in await learnt(store)]
    except Exception as error:
        log.info("problems of the last calls cannot be read: %s", type(error).__name__)
        return []


def _told(kind: str, cases: Sequence[tuple[str, str]]) -> Finding:
    """`cases`: the call and the reason of each."""
    about, what, remedy = _TOLD[kind]
    calls = len({call for call, _ in cases})
    why = cases[-1][1][:200]
    many = f"in {calls} of the last {_CALLS} calls" if calls > 1 else f"in one of the last {_CALLS} calls"
    return Finding(about, "note", f"{what} {many}{f': {why}' if why else ''}", remedy)


_TOLD: Final[Mapping[str, tuple[str, str, str]]] = {
    "media_signature": (
        "Twilio",
        "media sockets were let in by their token alone",
        'look whether PUBLIC_BASE_URL is what Twilio was told; twilio_media_signature = "require" refuses such sockets',
    ),
    "not_transcribed": (
        "transcription",
        "words of the caller were not written down",
        "look whether this project may use transcription_model",
    ),
    "too_late": (
        "transcription",
        "a caller's last words were not written down in time",
        "a larger transcript_seconds waits longer for them",
    ),
}
"""By what was noted: about what, what was met, and what to do."""
