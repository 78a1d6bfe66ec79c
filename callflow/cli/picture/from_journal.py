"""A call on record as a picture: its journal, and its recording."""

from __future__ import annotations

import contextlib
import wave
from collections.abc import Sequence
from pathlib import Path

from callflow.cli import output_file
from callflow.cli.picture.data import Part, picture_of
from callflow.cli.picture.drawing import draw
from callflow.contracts.errors import CallNotFound, JournalFileError
from callflow.journal.journal import JournalEntry


def keep(records: Sequence[JournalEntry], recordings: Path, out: Path, *, call: str) -> Path:
    """Draw this call. Returns where the picture is. Raises RecordError."""
    if out.suffix.lower() != ".svg":
        raise JournalFileError(
            f"{out} does not end in .svg, and calls are drawn as SVG: name another one with --picture."
        )
    if (problem := output_file.problem(out, "--picture")) is not None:
        raise JournalFileError(problem)
    made_by = f"python server.py calls {call[:8]} --picture"
    named = [(record.at, str(record.event.get("file", "")).split(",")[-1]) for record in records if _begins(record)]
    with contextlib.ExitStack() as stack:
        parts: list[Part] = []
        for at, name in named:
            with contextlib.suppress(OSError):  # it may have been deleted, or never begun
                parts.append((at, stack.enter_context((recordings / Path(name).name).open("rb"))))
        if not parts:
            raise CallNotFound(
                f"Of call {call} there is no recording to be drawn: calls are recorded with `record = true`."
            )
        try:
            picture = picture_of([(record.at, record.event) for record in records], parts, made_by=made_by)
        except (wave.Error, EOFError, OSError) as error:
            raise JournalFileError(f"The recording of call {call} cannot be read: {error}.") from None
    try:
        return output_file.keep(draw(picture).encode(), out)
    except OSError as error:
        raise JournalFileError(f"{out} cannot be written: {error.strerror or error}.") from None


def _begins(record: JournalEntry) -> bool:
    return record.event.get("event") == "recording"
