"""Whatever a command prints is text, whoever it came from.

A caller's number, a tool's name or a transcript may hold what a terminal obeys (`ESC ]`, BEL, `CR`) or what turns text
around. `guarded` shows all of it as escapes, for every `print` of a command. `leave_pipe` is for when nobody reads on.
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
"""The exit code of a command whose output nobody reads any more, as shells have it."""


class _Checked:
    """A stream whose errors are told apart from those of everything else."""

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


class Guarded:
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
    out = cast(TextIO, Guarded(cast(TextIO, _Checked(sys.stdout))))
    err = cast(TextIO, Guarded(sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


def leave_pipe(error: BrokenPipeError) -> int:
    """The program at the other end of standard output has what it wanted (`| head`): end without a complaint, which
    Python would make once more when it closes the stream. Returns the exit code."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(error, OutputError):
        return PIPE_CLOSED
    with contextlib.suppress(OSError):
        print(f"What there is to print cannot be written: {error.strerror}.", file=sys.stderr)
    return 2
