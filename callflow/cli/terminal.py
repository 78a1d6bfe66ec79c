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

from callflow.cli.safe_output import EscapedOutput
from callflow.contracts import printable


_ENDLESS: Final = 1_000_000
"""Columns of a pipe or a file."""
_ROOMY: Final = 100
"""Columns of a terminal on which there is room between the columns of a table."""
_NARROWEST: Final = 8
"""Columns of a terminal that a text has at least."""


class Screen(Console):
    """A console of rich's that escapes unsafe characters."""

    def __init__(self, **options: Any) -> None:
        file = options.pop("file", sys.stdout)
        super().__init__(file=file.inner if isinstance(file, EscapedOutput) else file, **options)

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
    table = new_table(titles, texts=titles)
    for row in rows:
        table.add_row(*(Text(printable.line(cell)) for cell in row))
    print_wide(table)


def new_table(titles: Sequence[str], *, texts: Sequence[str] = (), right: Sequence[str] = ()) -> Table:
    """Return an empty table. `texts`: the columns that may hold any text; on a narrow terminal they are folded, so that
    the others stay whole. `right`: the columns of figures."""
    table = Table(box=box.HORIZONTALS, pad_edge=False, padding=(0, 1, 0, 0))
    for title in titles:
        table.add_column(
            title,
            no_wrap=title not in texts,
            overflow="fold",
            min_width=_NARROWEST if title in texts else None,
            justify="right" if title in right else "left",
        )
    return table


def print_wide(table: Table) -> None:
    """Print a table as wide as the terminal; into a pipe or a file as wide as a row needs, so that each is a line."""
    is_terminal = sys.stdout.isatty() or "COLUMNS" in os.environ
    screen = Screen(**({} if is_terminal else {"width": Screen(width=_ENDLESS).measure(table).maximum}))
    if is_terminal and screen.width < _ROOMY:
        table.padding = 0
    screen.print(table)
