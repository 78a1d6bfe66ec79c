"""The process that makes large answers: `python -m callflow.web.console.large_answers.worker`, started by the server.

Reads from standard input, each as a length of four bytes and a pickle of the server's own: first the arguments of
`open_store`, then requests, `(name, arguments)`. Writes to standard output, for each request, pieces in the same form,
and at their end a length of zero; or `FAILED` in place of a length, then the error as a text. Between them may be
`LOGGED`, then an entry of the log in the first form: logger, level, message, and a traceback or "". It is the server
that knows how an entry looks, and what must not be in it. Ends when the server does, or closes its standard input.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import struct
import sys
import traceback
from typing import IO, Any, Final

from sqlalchemy import URL

from callflow.contracts.errors import DatabaseError
from callflow.history.database import Database
from callflow.history.store import Store
from callflow.web.console.large_answers.answers import ANSWERS


LENGTH: Final = struct.Struct(">I")
FAILED: Final = 0xFFFFFFFF
LOGGED: Final = 0xFFFFFFFE
_NICE: Final = 5
"""How much the audio goes before."""


class _ServersLog(logging.Handler):
    """Hands on what is logged here. Called by any thread: each entry is written in one go."""

    def __init__(self, out: IO[bytes]) -> None:
        super().__init__()
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        """Write an entry."""
        below = "".join(traceback.format_exception(*record.exc_info)).rstrip() if record.exc_info else ""
        _write(self._out, pickle.dumps((record.name, record.levelno, record.getMessage(), below)), LOGGED)


async def open_store(url: URL, country: str) -> Store:
    """Open the history for reading. Raises DatabaseError."""
    database = Database(url, read_only=True, here=True)
    await database.check()
    return Store(database, country=country)


async def answer(store: Store, request: tuple[str, tuple[Any, ...]], out: IO[bytes]) -> None:
    """Write the pieces of one answer. Raises BrokenPipeError."""
    name, arguments = request
    try:
        async for piece in ANSWERS[name](store, *arguments):
            _write(out, piece)
    except BrokenPipeError:
        raise
    except Exception as error:
        _write(out, store.database.trouble(error).encode(), FAILED)
    else:
        _write(out, b"")


def _write(out: IO[bytes], data: bytes, kind: int | None = None) -> None:
    """Write a message, perhaps of a `kind`. Raises BrokenPipeError: the server has ended."""
    out.write((b"" if kind is None else LENGTH.pack(kind)) + LENGTH.pack(len(data)) + data)
    out.flush()


def _next(source: IO[bytes]) -> Any:
    """Return the next thing that the server sends; None: it has ended."""
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    data = source.read(length)
    return pickle.loads(data) if len(data) == length else None


def _serve(source: IO[bytes], out: IO[bytes]) -> None:
    if (opening := _next(source)) is None:
        return
    with asyncio.Runner() as runner:
        try:
            store = runner.run(open_store(*opening))
        except DatabaseError as error:
            _write(out, str(error).encode(), FAILED)
            return
        while (request := _next(source)) is not None:
            runner.run(answer(store, request, out))


def main() -> None:
    """Answer until the server has ended, or closes the pipe."""
    os.nice(_NICE)
    out = sys.stdout.buffer
    logging.basicConfig(level=logging.WARNING, handlers=[_ServersLog(out)])
    try:
        _serve(sys.stdin.buffer, out)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())  # Python would complain of what it cannot write at last


if __name__ == "__main__":
    main()
