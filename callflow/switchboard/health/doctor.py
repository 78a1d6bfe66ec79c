"""Runs the doctor in a process of its own, one at a time, and keeps what it has found so far.

A thread starts the process and reads it, so that nothing of it touches the audio: the settings go in by its standard
input, and each finding comes out as a line of JSON. It is killed when its time is up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import IO, Any, Final

import msgspec

from callflow.contracts.diagnostics import Finding
from callflow.contracts.secret_text import Secrets
from callflow.switchboard.health.service import shown


log = logging.getLogger(__name__)

MOST_SECONDS: Final = 90.0
_COMMAND: Final = ("-m", "callflow.cli.doctor_process")
_MOST_FINDINGS: Final = 300
_LATE: Final = "it did not come to its end in time, and was stopped"
_BROKE: Final = "it broke off because of an internal error; the server's log says more"


class Doctor:
    """What is asked of the doctor from the operators' page. Methods are called on the event loop."""

    def __init__(
        self,
        given: Callable[[], bytes],
        on_done: Callable[[Sequence[Finding]], None],
        secrets: Callable[[], Secrets],
        *,
        command: Sequence[str] = _COMMAND,
        seconds: float = MOST_SECONDS,
    ) -> None:
        """`given`: makes what the process reads, on a thread. `on_done`: gets all findings of a run that came to its
        end. `secrets`: what no finding may show. `command`: the arguments of Python. `seconds`: for one run."""
        self._given, self._on_done, self._secrets = given, on_done, secrets
        self._command, self._seconds = command, seconds
        self._state = "never"
        self._by = self._why = ""
        self._began: float | None = None
        self._ended: float | None = None
        self._findings: list[Finding] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False

    def start(self, by: str) -> bool:
        """Begin a run. `by`: who asks. False: one is under way."""
        if self._state == "running" or self._is_closed:
            return False
        self._state, self._by, self._why = "running", by, ""
        self._began, self._ended, self._findings = time.time(), None, []
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(loop,), name="doctor", daemon=True).start()
        return True

    def describe(self) -> dict[str, Any]:
        """Return how far the last run is: `state` (never, running, done, failed), and what was found so far."""
        return {
            "state": self._state, "why": self._why, "by": self._by, "began": self._began, "ended": self._ended,
            "findings": [asdict(one) for one in self._findings],
        }  # fmt: skip

    def close(self) -> None:
        """End a run that is under way."""
        self._is_closed = True
        _kill(self._process)

    # On the thread

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        why, limit = "", None
        try:
            process = self._process = subprocess.Popen(
                [sys.executable, *self._command],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
            if self._is_closed:
                _kill(process)
            limit = threading.Timer(self._seconds, _kill, args=(process,))
            limit.daemon = True
            limit.start()
            code = self._read(process, loop)
            why = "" if code == 0 else _LATE if code < 0 else _BROKE
        except Exception as error:
            log.error("the doctor cannot be asked: %r", error)
            _kill(self._process)
            why = _BROKE
        finally:
            if limit is not None:
                limit.cancel()
            _call(loop, self._over, why)

    def _read(self, process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop) -> int:
        """Hand the settings over, and pass each finding on. Returns the exit code."""
        with _pipe(process.stdin) as asked, _pipe(process.stdout) as told:
            with contextlib.suppress(BrokenPipeError):
                asked.write(self._given())
                asked.close()
            hidden = self._secrets()
            for line in told:
                (one,) = shown([msgspec.json.decode(line, type=Finding)], hidden)
                _call(loop, self._take, one)
        return process.wait()

    # On the loop

    def _take(self, one: Finding) -> None:
        if self._state == "running" and len(self._findings) < _MOST_FINDINGS:
            self._findings.append(one)

    def _over(self, why: str) -> None:
        self._process, self._ended, self._why = None, time.time(), why
        self._state = "failed" if why else "done"
        if not why:
            self._on_done(self._findings)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        with contextlib.suppress(OSError):
            process.kill()


def _call(loop: asyncio.AbstractEventLoop, does: Callable[..., None], *arguments: Any) -> None:
    with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
        loop.call_soon_threadsafe(does, *arguments)
