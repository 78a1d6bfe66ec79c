"""A process that has loaded Callflow once and forks for every `python server.py …` that a test asks for.

Loading takes 0.8 s of processor time, some 300 times in a run of all tests. What is forked is a process of its own: it
takes signals, is killed, and ends with an exit code like any other. Tests of the start itself run Python anew.

Protocol, over a socket of type SOCK_SEQPACKET: a request is one JSON object {"arguments", "folder", "environment"} with
three open files: standard output, standard error, and where the process is told of: a line with its id, and one with
its exit code.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from callflow import runtime


ROOT: Final = Path(__file__).parents[2]
_LOADED: Final = (
    "anyio._backends._asyncio", "callflow.__main__", "callflow.app", "callflow.cli.arguments", "callflow.cli.calls",
    "callflow.cli.demo.demo", "callflow.cli.dial", "callflow.cli.doctor", "callflow.cli.hangup", "callflow.cli.numbers",
    "callflow.cli.pointing", "callflow.cli.replay", "callflow.cli.serve", "callflow.cli.startup_report",
    "callflow.cli.tunnel", "callflow.media.picows_socket", "carriers.openai_sip.carrier", "carriers.telnyx.carrier",
    "carriers.twilio.carrier", "encodings.idna", "httpcore", "httpx", "phonenumbers.data.region_US",
    "sqlalchemy.dialects.sqlite.aiosqlite", "uvloop",
)  # fmt: skip
_MOST: Final = 1 << 17
"""Bytes of a request."""


@functools.cache
def start() -> socket.socket:
    """Start it, for this process and those that will be forked by it. Return where it is asked."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-m", "tests.e2e.forkserver", str(theirs.fileno())]
        server = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    atexit.register(_stop, os.getpid(), ours, server)
    return ours


def ask(arguments: Sequence[str], folder: Path, environment: Mapping[str, str], files: tuple[int, int, int]) -> None:
    """Have a Python process forked. `files`: see above; they stay open here."""
    request = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
    socket.send_fds(start(), [json.dumps(request).encode()], files)


def _stop(owner: int, ours: socket.socket, server: subprocess.Popen[bytes]) -> None:
    if os.getpid() == owner:
        ours.close()
        server.kill()  # it may still be loading
        server.wait()


def serve(asked: socket.socket) -> None:
    """Fork for each request, until nobody can ask any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for the processes
    while True:
        request, files, _, _ = socket.recv_fds(asked, _MOST, 3)
        if not request:
            return
        if os.fork() == 0:
            asked.close()
            _watch(json.loads(request), *files)
        for file in files:
            os.close(file)


def _watch(request: dict[str, Any], out: int, err: int, told: int) -> None:
    """Fork the process and tell of its end. Never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    process = os.fork()
    if process == 0:
        os.close(told)
        _be(request, out, err)
    os.close(out)
    os.close(err)
    os.write(told, b"%d\n" % process)
    _, status = os.waitpid(process, 0)
    os.write(told, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _be(request: dict[str, Any], out: int, err: int) -> None:
    """Be the process that was asked for. Never returns."""
    for file, place in ((out, 1), (err, 2)):
        os.dup2(file, place)
        os.close(file)
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["arguments"]
    code: object = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as left:
        code = left.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
    # as at the end of any Python: threads are waited for, then what was to be done at exit is done
    raise SystemExit(code if isinstance(code, int) or code is None else 1)


def main() -> None:
    for name in _LOADED:
        importlib.import_module(name)
    runtime.tls()  # reads the certificates of all authorities
    gc.collect()
    gc.freeze()  # so that the memory stays shared
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        serve(asked)


if __name__ == "__main__":
    main()
