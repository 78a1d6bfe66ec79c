"""Makes everything that a command prints safe for a terminal.

A caller's number, a tool's name or a transcript may hold control codes (`ESC ]`, BEL, `CR`) or characters that change
the direction of text. Within `escaped_output` every `print` shows them as escapes. `leave_pipe` handles a closed pipe.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final, TextIO, cast

from callflow.contracts import printable
from callflow.contracts.errors import OutputError


PIPE_CLOSED: Final = 141
"""The exit code of a command whose output is not read any more, as in shells."""


class _Checked:
    """A stream that raises OutputError, so that its errors can be told from others."""

    def __init__(self, inner: TextIO) -> None:
        self._inner = inner

    def write(self, text: str) -> int:
        with self._told():
            return self._inner.write(text)

    def flush(self) -> None:
        with self._told():
            self._inner.flush()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error.errno, error.strerror) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class EscapedOutput:
    """A stream that writes unsafe characters as escapes to the stream `inner`."""

    def __init__(self, inner: TextIO) -> None:
        self.inner = inner

    def write(self, text: str) -> int:
        """Write a text. Returns its length."""
        self.inner.write(printable.lines(text))
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        """Write several texts."""
        for text in texts:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@contextlib.contextmanager
def escaped_output() -> Iterator[None]:
    """Show control codes of whatever is printed within this context as escapes."""
    out = cast(TextIO, EscapedOutput(cast(TextIO, _Checked(sys.stdout))))
    err = cast(TextIO, EscapedOutput(sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


def leave_pipe(error: BrokenPipeError) -> int:
    """Redirect standard output to /dev/null, because its reader is gone (`| head`): else Python would report an error
    when it closes the stream. Returns the exit code."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(error, OutputError):
        return PIPE_CLOSED
    with contextlib.suppress(OSError):
        print(f"What there is to print cannot be written: {error.strerror}.", file=sys.stderr)
    return 2
