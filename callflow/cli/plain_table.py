"""A table of labelled lines, printed without rich: `serve` prints one and then lives for weeks, and rich would stay in
its memory (4 MB) and take 0.02 s of each start.

There are no vertical lines, so that an address can be copied whole. Texts are folded, never cut off.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from callflow.cli.safe_output import EscapedOutput
from callflow.contracts import printable


Colour = Literal["", "green", "yellow"]
_CODES: Final = {"green": "\x1b[32m", "yellow": "\x1b[33m", "bold": "\x1b[1m"}
_END: Final = "\x1b[0m"
_NARROWEST: Final = 20
"""Columns of the texts."""


@dataclass(frozen=True, slots=True)
class Section:
    """Rows that belong together, each a label and a text."""

    rows: Sequence[tuple[str, str]]
    colour: Colour = ""
    """Of the texts, where the terminal has colours."""


def show(sections: Sequence[Section]) -> None:
    """Print the table to standard output, as wide as the terminal is, or 80 columns."""
    out = sys.stdout.inner if isinstance(sys.stdout, EscapedOutput) else sys.stdout
    colours = out.isatty() and os.name == "posix" and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size().columns
    out.writelines(f"{line}\n" for line in render(sections, width=width, colours=colours))
    out.flush()


def render(sections: Sequence[Section], *, width: int, colours: bool = False) -> Iterator[str]:
    """Yield the lines of the table, without line breaks. Unsafe characters in its texts are shown as escapes."""
    labels = max(len(label) for section in sections for label, _ in section.rows)
    room = max(width - labels - 4, _NARROWEST)  # a space before, two between, one after
    rule = f" {'─' * (labels + 2 + room)} "

    def painted(text: str, code: str) -> str:
        return f"{_CODES[code]}{text}{_END}" if colours and code and text else text

    yield rule
    for section in sections:
        for label, text in section.rows:
            lines = textwrap.wrap(printable.line(text), room, break_on_hyphens=False) or [""]
            for name, line in zip([label, *[""] * (len(lines) - 1)], lines, strict=True):
                yield f" {painted(name.ljust(labels), 'bold' if name else '')}  {painted(line, section.colour)}"
        yield rule
