"""The call of the demo as a picture."""

from __future__ import annotations

import argparse
import io
import shlex
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from callflow.cli import output_file
from callflow.cli.demo.story import Story
from callflow.cli.picture.data import TimedEvent, picture_of
from callflow.cli.picture.drawing import draw
from callflow.contracts import printable
from callflow.journal.live_feed import LiveEvent


_OPTIONS: Final = ("scenario", "carrier", "wav")
_CARRIER: Final = "telnyx"
_NAME: Final = Path("demo.svg")


class CallDrawer:
    """Draws the call of a demo, if the command line asks for it."""

    def __init__(self, arguments: argparse.Namespace, recording: Path) -> None:
        asked: Path | bool | None = getattr(arguments, "picture", None)  # True: no place was named
        self._is_named = isinstance(asked, Path)
        self.out = asked if isinstance(asked, Path) else _beside(recording) if asked else None
        """None: no picture is wanted."""
        chosen = {name: getattr(arguments, name, None) for name in _OPTIONS}
        if chosen["carrier"] == _CARRIER:
            chosen["carrier"] = None
        if chosen["wav"] is not None:
            chosen["wav"] = chosen["wav"].name
        words = [f"--{name} {shlex.quote(str(value))}" for name, value in chosen.items() if value is not None]
        self._made_by = printable.whole(" ".join(["scripts/demo", *words, "--picture"]))

    def problem(self) -> str | None:
        """Return why the picture cannot be written, before the call begins; None if it can be."""
        if self.out is None or not self._is_named:
            return None
        if self.out.suffix.lower() != ".svg":
            return f"{self.out} does not end in .svg, and the call is drawn as an SVG: name another one with --picture."
        return output_file.problem(self.out, "--picture")

    def keep(self, story: Story, news: Sequence[LiveEvent]) -> Path | None:
        """Draw the call, and write the file. Returns its path; None if there is no picture."""
        if self.out is None:
            return None
        try:
            return output_file.keep(self._draw(story, news).encode(), self.out)
        except OSError as error:
            story.outcome.missing.append(f"the call was drawn ({self.out}: {error.strerror or error})")
            return None

    def _draw(self, story: Story, news: Sequence[LiveEvent]) -> str:
        connected = story.phone.connected_at
        began = time.time() - (time.monotonic() - connected if connected is not None else 0.0)
        with tempfile.TemporaryDirectory(prefix="callflow-demo-") as folder:
            path = Path(folder) / "call.wav"
            story.phone.write_wav(path)
            recording = io.BytesIO(path.read_bytes())
        return draw(picture_of([_told(one) for one in news], [(began, recording)], made_by=self._made_by))


def _beside(recording: Path) -> Path:
    try:
        is_device = recording.exists() and not recording.is_file()
    except OSError:  # its name is refused anyway
        is_device = False
    return _NAME if is_device else recording.with_suffix(".svg")


def _told(one: LiveEvent) -> TimedEvent:
    return one.at, one.data["event"] if one.kind == "step" else {"event": one.kind, **one.data}
