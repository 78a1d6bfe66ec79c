"""Makes the history that settings describe."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from callflow.config.profiles import country
from callflow.config.settings import Settings
from callflow.history.database import Database, url_of
from callflow.history.events_out import EventMaker
from callflow.history.history import History
from callflow.history.recording_store import RecordingStore


def make_history(settings: Settings, redact: Callable[[Any], Any]) -> History:
    """Return the history, which is not open yet. `redact`: takes out of events what the journal must not hold either.

    Raises DatabaseError, or ImportError if the extra `s3` is needed and missing.
    """
    recordings = Path(settings.data_dir) / "recordings"
    make_events = partial(
        EventMaker, redact=redact, recordings=recordings, moved=bool(settings.recordings_url),
        words=settings.events_words,
    )  # fmt: skip
    return History(
        url_of(settings.database_url, settings.data_dir),
        recordings=recordings,
        retention_days=settings.retention_days,
        country=country(settings),
        make_events=make_events if settings.events_url else None,
        make_sounds=_make_sounds(settings) if settings.recordings_url else None,
    )


def _make_sounds(settings: Settings) -> Callable[[Path, Database], RecordingStore]:
    # Imported here alone: who keeps recordings in the folder needs neither it nor its library.
    from callflow.history.stored_recordings import make

    return make(settings)
