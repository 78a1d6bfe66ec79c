"""The terminal of the commands, with rich's colours; unsafe characters in texts are shown as escapes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from callflow.cli.safe_output import Guarded
from callflow.contracts import printable


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
