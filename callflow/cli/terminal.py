"""The terminal of the commands: rich's own colours go through `Screen`, and whatever is shown is text."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from callflow.cli.safe_output import Guarded
from callflow.contracts import printable


class Screen(Console):
    """rich's console: colours are its own, and every text is shown as text."""

    def __init__(self, **options: Any) -> None:
        file = options.pop("file", sys.stdout)
        super().__init__(file=file.inner if isinstance(file, Guarded) else file, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable.lines(text), style)

    def on_broken_pipe(self) -> NoReturn:
        """rich would end the process, which may be answering calls."""
        raise sys.exc_info()[1] or BrokenPipeError()
