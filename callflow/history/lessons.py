"""What the last calls have met that somebody should put right: for the start table and for doctor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from callflow.checkup import Finding
from callflow.history.store import Store
from callflow.journal import Record


_CALLS: Final = 20


async def learnt(store: Store) -> list[Finding]:
    """A line for each kind of thing. Raises what the database raises."""
    met = await store.lately(tuple(_TOLD), calls=_CALLS)
    return [_told(kind, records) for kind, records in met.items()]


def _told(kind: str, records: Sequence[Record]) -> Finding:
    about, what, remedy = _TOLD[kind]
    calls = len({record.call for record in records})
    why = str(records[-1].event.get("reason") or records[-1].event.get("odd") or "")[:200]
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
}
"""By the kind of note: about what, what was met, and what to do."""
