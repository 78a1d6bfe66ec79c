"""A call of the history as a picture: from its journal, and its recording."""

from __future__ import annotations

import contextlib
import wave
from collections.abc import Sequence
from pathlib import Path

from callflow.cli import output_file
from callflow.cli.picture.data import Part, picture_of
from callflow.cli.picture.drawing import draw
from callflow.contracts.errors import CallNotFound, JournalFileError
from callflow.journal import notes
from callflow.journal.journal import JournalEntry


def keep(entries: Sequence[JournalEntry], recordings: Path, out: Path, *, call: str) -> Path:
    """Draw this call. Returns where the picture is. Raises JournalFileError, or CallNotFound: there is no recording."""
    if out.suffix.lower() != ".svg":
        raise JournalFileError(
            f"{out} does not end in .svg, and calls are drawn as SVG: name another one with --picture."
        )
    if (problem := output_file.problem(out, "--picture")) is not None:
        raise JournalFileError(problem)
    made_by = f"python server.py calls {call[:8]} --picture"
    told = [(entry.at, entry.note) for entry in entries]
    named = [(at, note.file.split(",")[-1]) for at, note in told if isinstance(note, notes.Recording)]
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
            picture = picture_of([(entry.at, entry.event) for entry in entries], parts, made_by=made_by)
        except (wave.Error, EOFError, OSError) as error:
            raise JournalFileError(f"The recording of call {call} cannot be read: {error}.") from None
    try:
        return output_file.keep(draw(picture).encode(), out)
    except OSError as error:
        raise JournalFileError(f"{out} cannot be written: {error.strerror or error}.") from None
