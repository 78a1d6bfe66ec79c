"""The process that makes large answers: `python -m callflow.web.console.large_answers.worker`, started by the server.

Reads from standard input, each as a length of four bytes and a pickle of the server's own: first the arguments of
`open_store`, then requests, `(name, arguments)`. Writes to standard output, for each request, pieces in the same form,
and at their end a length of zero; or `FAILED` in place of a length, then the error as a text. Ends when the server
does, or closes its standard input.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import struct
import sys
from typing import IO, Any, Final

from sqlalchemy import URL

from callflow.history.database import Database
from callflow.history.store import Store
from callflow.web.console.large_answers.answers import ANSWERS


LENGTH: Final = struct.Struct(">I")
FAILED: Final = 0xFFFFFFFF
_NICE: Final = 5
"""How much the audio goes before."""


async def open_store(url: URL, country: str) -> Store:
    """Open the history for reading."""
    database = Database(url, read_only=True, here=True)
    await database.check()
    return Store(database, country=country)


async def answer(store: Store, request: tuple[str, tuple[Any, ...]], out: IO[bytes]) -> None:
    """Write the pieces of one answer."""
    name, arguments = request
    try:
        async for piece in ANSWERS[name](store, *arguments):
            out.write(LENGTH.pack(len(piece)) + piece)
            out.flush()
    except OSError:
        raise
    except Exception as error:
        told = store.database.trouble(error).encode()
        out.write(LENGTH.pack(FAILED) + LENGTH.pack(len(told)) + told)
    else:
        out.write(LENGTH.pack(0))
    out.flush()


def _next(source: IO[bytes]) -> Any:
    """Return the next thing that the server sends; None: it has ended."""
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    return pickle.loads(source.read(*LENGTH.unpack(head)))


def main() -> None:
    """Answer until the server has ended, or closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, it goes to all; the server ends us
    os.nice(_NICE)
    source, out = sys.stdin.buffer, sys.stdout.buffer
    with asyncio.Runner() as runner:
        store = runner.run(open_store(*_next(source)))
        while (request := _next(source)) is not None:
            runner.run(answer(store, request, out))


if __name__ == "__main__":
    main()
