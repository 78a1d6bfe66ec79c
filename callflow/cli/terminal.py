"""The terminal of the commands: whatever is printed is text, whoever it came from.

A caller's number, a tool's name or a transcript may hold what a terminal obeys (`ESC ]`, BEL, `CR`) or what turns text
around. `guarded` shows all of it as escapes, for every `print` of a command; rich's own colours go through `Screen`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from callflow import printable


class _Guarded:
    """A stream that shows what it is given; for all else it is the one behind it."""

    def __init__(self, inner: TextIO) -> None:
        self.inner = inner

    def write(self, text: str) -> int:
        self.inner.write(printable.lines(text))
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Standard output and standard error, until it is left."""
    out, err = cast(TextIO, _Guarded(sys.stdout)), cast(TextIO, _Guarded(sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


class Screen(Console):
    """rich's console: colours are its own, and every text is shown as text."""

    def __init__(self, **options: Any) -> None:
        file = options.pop("file", sys.stdout)
        super().__init__(file=file.inner if isinstance(file, _Guarded) else file, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable.lines(text), style)
