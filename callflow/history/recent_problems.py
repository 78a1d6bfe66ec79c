"""What the last calls have met that somebody should put right: for the start table and for doctor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from callflow.agent.late_transcripts import TOO_LATE
from callflow.contracts.diagnostics import Finding
from callflow.history.store import Store
from callflow.journal.journal import JournalEntry


_CALLS: Final = 20


async def learnt(store: Store) -> list[Finding]:
    """A line for each kind of thing. Raises what the database raises."""
    met = await store.lately(("media_signature", "not_transcribed"), calls=_CALLS)
    found = [(_kind(kind, record), record) for kind, records in met.items() for record in records]
    kinds = dict.fromkeys(kind for kind, _ in found)
    return [_told(kind, [record for its, record in found if its == kind]) for kind in kinds]


def _kind(name: str, record: JournalEntry) -> str:
    """What is to be done about it depends on whether the words never came, or nobody waited for them."""
    return "too_late" if record.event.get("reason") == TOO_LATE else name


def _told(kind: str, records: Sequence[JournalEntry]) -> Finding:
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
    "too_late": (
        "transcription",
        "a caller's last words were not written down in time",
        "a larger transcript_seconds waits longer for them",
    ),
}
"""By what was noted: about what, what was met, and what to do."""
