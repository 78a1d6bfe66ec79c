"""The files of a call's recordings are named after the call, one part for each process that had it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from callflow.call.recording_files import RecordingFiles
from callflow.journal.notes import Note, Recording


def begin(folder: Path, earlier: tuple[str, ...]) -> tuple[str, list[Note]]:
    """The name of the file of the next recorder, and what was noted."""
    notes: list[Note] = []

    async def main() -> str:
        clock = asyncio.get_running_loop().time
        recorder = RecordingFiles("c1", folder, earlier, note=notes.append, clock=clock).begin(announced=True)
        await recorder.close()
        return recorder.path.name

    return asyncio.run(main()), notes


def test_the_first_one_has_the_name_of_the_call(tmp_path: Path) -> None:
    assert begin(tmp_path, ()) == ("c1.wav", [Recording(file="c1.wav", announced=True)])


def test_another_process_goes_on_with_the_next_part(tmp_path: Path) -> None:
    name, notes = begin(tmp_path, ("c1.wav", "c1-2.wav"))
    assert (name, notes) == ("c1-3.wav", [Recording(file="c1.wav,c1-2.wav,c1-3.wav", announced=True)])
