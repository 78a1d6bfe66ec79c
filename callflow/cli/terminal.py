"""The terminal of the commands, with rich's colours; unsafe characters in texts are shown as escapes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from callflow.cli.safe_output import Guarded
from callflow.contracts import printable


WIDTH: Final = 200
"""Of what goes into a pipe or a file."""


class Screen(Console):
    """A console of rich's that escapes unsafe characters."""

    def __init__(self, **options: Any) -> None:
        file = options.pop("file", sys.stdout)
        super().__init__(file=file.inner if isinstance(file, Guarded) else file, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, with escapes for unsafe characters."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable.lines(text), style)

    def on_broken_pipe(self) -> NoReturn:
        """Raise the error again: rich would end the process, which may be answering calls."""
        raise sys.exc_info()[1] or BrokenPipeError()


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of texts under their titles. Texts are folded on a terminal; elsewhere each row is a line."""
    table = Table(box=box.HORIZONTALS, pad_edge=False, padding=(0, 1, 0, 0))
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable.line(cell)) for cell in row))
    is_narrow = sys.stdout.isatty() or "COLUMNS" in os.environ
    Screen(**({} if is_narrow else {"width": WIDTH})).print(table)
