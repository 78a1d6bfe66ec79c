"""The format of the log."""

from __future__ import annotations

import copy
import logging
import textwrap
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from callflow.contracts import printable


FORM: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
CALL: Final[ContextVar[str]] = ContextVar("call", default="")
"""The call that the running task works for: its entries in the log begin with it."""
_OF_A_CALL: Final = "call "
_MOST_MESSAGE: Final = 4_000
_MOST_TRACEBACK: Final = 40_000
"""Characters of one entry of the log."""


class Formatter(logging.Formatter):
    """Formats an entry as one line, and a traceback as indented lines below it, so that no text from outside can forge
    an entry. Secrets and private data are removed from both."""

    def __init__(self, form: str, redact: Callable[[str], str] = str) -> None:
        """`form`: as of `logging.Formatter`. `redact`: removes secrets and private data from a text."""
        super().__init__(form)
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the entry, with the call it belongs to."""
        shown = copy.copy(record)
        message, call = record.getMessage(), CALL.get()
        if call and not message.startswith(_OF_A_CALL):
            message = f"{_OF_A_CALL}{call}: {message}"
        shown.msg, shown.args = printable.line(self._redact(message)[:_MOST_MESSAGE]), None
        shown.exc_text = None  # another handler's, which may not have redacted it
        return super().format(shown)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        """Return the traceback, indented."""
        return self._below(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - logging's own name
        """Return the stack, indented."""
        return self._below(super().formatStack(stack_info))

    def _below(self, text: str) -> str:
        if len(text) > _MOST_TRACEBACK:
            text = f"{text[: _MOST_TRACEBACK // 2]}\n…\n{text[-_MOST_TRACEBACK // 2 :]}"
        return textwrap.indent(printable.lines(self._redact(text)), "    ", lambda line: True)
