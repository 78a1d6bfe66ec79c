"""The processes that make large answers: started when there is something to make, ended when they are idle.

Whatever blocks (starting one, writing to it, reading from it) is done by threads, which let go of the interpreter
meanwhile. Where a process fails, the server makes the answer itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import IO, Any, Final

from sqlalchemy import URL

from callflow.contracts.errors import WorkerFailed
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.history.store import Store
from callflow.mcp.http import Answer, Headers
from callflow.timers import Timers
from callflow.web.console.large_answers import answers, worker


log = logging.getLogger(__name__)

_LARGE: Final = 300
"""From so many items on, a conversation is a large one: its JSON has some 200 kB."""
_MOST: Final = 2
"""Processes at the same time; while all are busy, further answers are made by the server itself, in slices."""
_IDLE_SECONDS: Final = 300.0
_FIRST_SECONDS: Final = 5.0
"""How long a process may take to begin, its start included."""
_NEXT_SECONDS: Final = 30.0
_TAKEN_SECONDS: Final = 60.0
"""How long a client may take for a piece, before its process is wanted for others."""
_BURIAL_SECONDS: Final = 2.0
_COMMAND: Final = (sys.executable, "-P", "-m", worker.__name__)
"""Without the present folder: a file there may have the name of a library."""


def is_large(row: Mapping[str, Any]) -> bool:
    """Return whether an answer with all of a conversation is worth another process. `row`: from the store."""
    return (row["message_count"] or 0) >= _LARGE


class LargeAnswers:
    """Makes the bodies of large answers, see `answers.py`, in a process of their own while there is one to be had."""

    def __init__(self, store: Store) -> None:
        """`store`: for answers that are made here; processes open its database, too."""
        self._store = store
        self._free: list[_Process] = []
        self._all: set[_Process] = set()
        self._burials: list[threading.Thread] = []
        """They wait for processes that were killed."""
        self._timers: Timers | None = None
        self._repeats = RepeatedWarnings(log)
        self._turn_of_mcp = asyncio.Lock()
        """What has it has a process beside the others: the package of MCP makes an answer in one step, on the loop."""

    async def whole(self, name: str, *arguments: Any) -> list[bytes]:
        """Return the pieces of an answer. `name`: of `ANSWERS`. Raises what the database's driver raises."""
        with contextlib.suppress(WorkerFailed):
            return [piece async for piece in self._made_apart(name, arguments)]
        return await answers.whole(self._store, name, *arguments)

    async def mcp(self, headers: Headers, body: bytes) -> Answer:
        """Return the answer to a request at `/mcp`, made by a process. Raises WorkerFailed."""
        async with self._turn_of_mcp:
            head, *pieces = [piece async for piece in self._made_apart("mcp", (headers, body))]
        status, named = pickle.loads(head)
        return status, named, await asyncio.to_thread(b"".join, pieces)

    async def stream(self, name: str, *arguments: Any) -> AsyncIterator[bytes]:
        """Yield the pieces of an answer while it is made. Raises what the database's driver raises, and WorkerFailed
        where a process fails in the middle."""
        begun = False
        try:
            async with contextlib.aclosing(self._made_apart(name, arguments)) as pieces:
                async for piece in pieces:
                    begun = True
                    yield piece
            return
        except WorkerFailed:
            if begun:
                raise
        async for piece in answers.here(self._store, name, *arguments):
            yield piece

    async def close(self) -> None:
        """End all processes at once."""
        for process in list(self._all):
            self._end(process)
        self._free.clear()
        if self._timers is not None:
            self._timers.close()
        for burial in self._burials:
            await asyncio.to_thread(burial.join, _BURIAL_SECONDS)

    async def _made_apart(self, name: str, arguments: tuple[Any, ...]) -> AsyncGenerator[bytes, None]:
        """Yield the pieces of an answer that a process makes. Raises WorkerFailed."""
        process = self._take()
        if process is None:
            raise WorkerFailed("all of them are busy")
        is_whole, timers = False, Timers()
        try:
            async with asyncio.timeout(_FIRST_SECONDS):
                await asyncio.to_thread(process.ask, (name, arguments))
                piece = await asyncio.to_thread(process.piece)
            while piece:
                timers.start("taken", _TAKEN_SECONDS, self._end, process)
                yield piece
                timers.stop("taken")
                if process not in self._all:
                    raise WorkerFailed("the answer was not read")
                async with asyncio.timeout(_NEXT_SECONDS):
                    piece = await asyncio.to_thread(process.piece)
            is_whole = True
        except TimeoutError:
            self._repeats.say(name, "a process for large answers is too slow, the server makes them")
            raise WorkerFailed("it takes too long") from None
        except WorkerFailed as failure:
            self._repeats.say(name, "a process for large answers fails, the server makes them: %s", failure)
            raise
        finally:
            timers.close()
            if is_whole and process in self._all:
                self._let_go(process)
            else:
                self._end(process)  # what is left of its answer nobody reads

    def _take(self) -> _Process | None:
        if len(self._all) - len(self._free) >= _MOST + self._turn_of_mcp.locked():
            return None
        while self._free:
            process = self._free.pop()
            if process.is_alive:
                return process
            self._end(process)
        process = _Process((self._store.database.url, self._store.country))
        self._all.add(process)
        return process

    def _let_go(self, process: _Process) -> None:
        self._free.append(process)
        if self._timers is None:
            self._timers = Timers()
        self._timers.start("idle", _IDLE_SECONDS, self._end_free)

    def _end_free(self) -> None:
        for process in self._free:
            self._end(process)
        self._free.clear()

    def _end(self, process: _Process) -> None:
        self._all.discard(process)
        burial = process.kill()
        self._burials = [each for each in [*self._burials, burial] if each is not None and each.is_alive()]


class _Process:
    """One process, which makes one answer at a time. `ask` and `piece` block."""

    def __init__(self, opening: tuple[URL, str]) -> None:
        self._opening = opening
        self._popen: subprocess.Popen[bytes] | None = None
        self._is_over = False

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked again."""
        return self._popen is not None and self._popen.poll() is None

    def ask(self, request: tuple[str, tuple[Any, ...]]) -> None:
        """Ask it, and start it before if need be. Raises WorkerFailed."""
        try:
            if self._popen is None:
                self._popen = _start()
                if self._is_over:
                    _bury(self._popen)
                self._send(self._opening)
            self._send(request)
        except (OSError, ValueError) as error:
            raise WorkerFailed(str(error)) from None

    def piece(self) -> bytes:
        """Return the next piece; b"": there is none any more. Raises WorkerFailed."""
        while (length := self._length()) == worker.LOGGED:
            _log(*pickle.loads(self._read(self._length())))
        if length != worker.FAILED:
            return self._read(length)
        raise WorkerFailed(self._read(self._length()).decode())

    def kill(self) -> threading.Thread | None:
        """End it at once, if it runs, and return who waits for its end; if it is just being started, it ends then."""
        self._is_over = True
        if self._popen is None:
            return None
        burial = threading.Thread(target=_bury, args=(self._popen,), name="large-answers-end", daemon=True)
        burial.start()
        return burial

    def _send(self, what: object) -> None:
        data = pickle.dumps(what)
        pipe = self._pipe("stdin")
        pipe.write(worker.LENGTH.pack(len(data)) + data)
        pipe.flush()

    def _length(self) -> int:
        (length,) = worker.LENGTH.unpack(self._read(worker.LENGTH.size))
        return int(length)

    def _read(self, length: int) -> bytes:
        try:
            data = self._pipe("stdout").read(length)
        except (OSError, ValueError) as error:
            raise WorkerFailed(str(error)) from None
        if len(data) < length:
            raise WorkerFailed("it has ended")
        return data

    def _pipe(self, name: str) -> IO[bytes]:
        pipe: IO[bytes] = getattr(self._popen, name)
        return pipe


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        start_new_session=True,  # Ctrl-C is for the server, which ends it
    )  # fmt: skip


def _log(name: str, level: int, message: str, traceback: str) -> None:
    """Log what a process has to say as if this one did: see `worker.py`."""
    logger = logging.getLogger(name)
    if logger.isEnabledFor(level):
        told = {"name": name, "levelno": level, "levelname": logging.getLevelName(level), "msg": message}
        logger.handle(logging.makeLogRecord({**told, "stack_info": traceback or None}))


def _bury(popen: subprocess.Popen[bytes]) -> None:
    """End a process, wait for its end, and close its pipes."""
    with contextlib.suppress(OSError):
        popen.kill()
    popen.wait()
    for pipe in (popen.stdin, popen.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError, ValueError):
                pipe.close()
