"""The files of our own recordings of one call: a WAV file, and one more for each process that goes on with the call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from callflow.journal.notes import Note, Recording, RecordingFailed
from callflow.media.call_recorder import CallRecorder


class RecordingFiles:
    """Names the files of one call, and journals the names."""

    def __init__(
        self,
        call: str,
        folder: Path,
        earlier: Sequence[str],
        *,
        note: Callable[[Note], None],
        clock: Callable[[], float],
    ) -> None:
        """`earlier`: names of files of earlier processes. `note`: adds a note to the journal. `clock`: the loop's."""
        self._call, self._folder, self._note, self._clock = call, folder, note, clock
        self._names = list(earlier)

    def begin(self, *, announced: bool) -> CallRecorder:
        """Begin another file, and return its recorder. `announced`: the caller has heard the announcement."""
        part = f"-{len(self._names) + 1}" if self._names else ""
        path = self._folder / f"{self._call}{part}.wav"
        self._names.append(path.name)
        recorder = CallRecorder(path, self._clock, lambda reason: self._note(RecordingFailed(reason=reason)))
        self._note(Recording(file=",".join(self._names), announced=announced))
        return recorder
