"""`python server.py --workers N`: binds the ports, starts N workers that share them, and replaces one that dies.

This process carries no call. Every worker accepts connections from the shared sockets, so nothing is lost when this one
dies: the workers go on, and the next `server.py --workers` asks them for their sockets and lets them hand their calls
over.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from callflow.cli.frozen_workers import FrozenWorkers
from callflow.cli.worker_order import Order
from callflow.cluster.node_lock import NodeLock
from callflow.cluster.socket_passing import TAKE_LISTENERS, send, socket_path
from callflow.config.display import secrets_of
from callflow.config.profiles import Profiles
from callflow.config.settings import Settings
from callflow.contracts.errors import DatabaseError, SettingsError
from callflow.history.database import url_of
from callflow.runtime import bind, bind_console, bind_public
from callflow.switchboard.data_folder import stream_tokens


_ROOT: Final = Path(__file__).parents[2]
_BACKOFF_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Pauses before a worker is started again that has died again and again."""
_STEADY_SECONDS: Final = 30.0
"""A worker that has lived so long counts as one that works."""
_HOPELESS: Final = 5
"""So many starts in a row that failed, while no other worker lives: then nothing works."""
_END_SECONDS: Final = 20.0
"""How much longer than drain, goodbye and last transcripts may take, the end of a worker may take, and its end after a
second signal. One that hangs would keep the port from the next main process."""
_ANSWER_SECONDS: Final = 2.0
_MOST_NAMES: Final = 256


@dataclass
class _Worker:
    name: str
    index: int
    process: subprocess.Popen[bytes]
    line: socket.socket
    """Over which it got its order. At a stop it says there how long its longest goodbye may take, in seconds."""
    began: float
    address: str
    """Of its cluster listener."""
    failures: int = 0
    says_more: bool = True


class Workers:
    """The main process."""

    def __init__(
        self,
        settings: Settings,
        overrides: Mapping[str, object],
        public: socket.socket,
        console: socket.socket | None,
    ) -> None:
        """`overrides`: settings of the command line. `public`, `console`: bound sockets."""
        self._settings, self._overrides, self._public, self._console = settings, overrides, public, console
        self._folder = Path(settings.data_dir).absolute() / "cluster"
        given = settings.cluster_secret.get_secret_value()
        # The same as of an earlier main process, whose workers may still be there.
        self._secret = given.encode() if given else stream_tokens(settings).secrets_for("nodes of this machine")[0]
        self._farewell_seconds = max(each.farewell_seconds for each in Profiles(settings).all().values())
        """The longest. What profiles of the database say, which this process does not open, the workers tell."""
        self._told_at = 0.0
        """When the workers were told to end."""
        self._workers: dict[int, _Worker] = {}
        self._due: list[tuple[float, int, int]] = []
        """When to start which worker again, and how often it has failed."""
        self._signals = 0
        self._end_at = math.inf
        """When workers that were told to end are killed."""
        self._frozen = FrozenWorkers(_file_of(settings))
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def run(self) -> int:
        """Serve until a signal, and until all workers have ended. Returns the exit code."""
        old = signal.set_wakeup_fd(self._wake)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            self._due = [(0.0, index, 0) for index in range(self._settings.workers)]
            self._start_due()
            code = 0
            while self._workers or (self._due and not self._signals):
                self._wait()
                self._end_frozen()
                self._end_late()
                code = self._reap() or code
                if code and not self._signals:
                    self._on_signal()
                self._start_due()
            return code
        finally:
            signal.set_wakeup_fd(old)

    def _on_signal(self, *_: Any) -> None:
        self._signals += 1
        self._told_at = time.monotonic()
        self._set_end()
        self._signal_all(signal.SIGTERM if self._signals < 3 else signal.SIGKILL)

    def _set_end(self) -> None:
        of = self._settings
        # Twice: calls that were not moved within the first time have the second one.
        drain = 2 * of.drain_seconds + self._farewell_seconds + of.transcript_seconds
        self._end_at = self._told_at + (drain if self._signals == 1 else 0.0) + _END_SECONDS

    def _hear(self, worker: _Worker) -> None:
        """Take what a worker says of its longest goodbye."""
        try:
            told = worker.line.recv(64)
        except OSError:
            told = b""
        if not told:
            worker.says_more = False
            return
        with contextlib.suppress(ValueError):
            self._farewell_seconds = max(self._farewell_seconds, float(told))
        if self._end_at < math.inf:
            self._set_end()

    def _signal_all(self, number: signal.Signals) -> None:
        for worker in self._workers.values():
            with contextlib.suppress(ProcessLookupError):
                worker.process.send_signal(number)

    def _wait(self) -> None:
        starts = [at for at, _, _ in self._due] if not self._signals else []
        due = min([*starts, self._end_at, *([self._frozen.due] if self._frozen.due is not None else [])])
        seconds = min(max(due - time.monotonic(), 0.0), 60.0)
        telling = {worker.line.fileno(): worker for worker in self._workers.values() if worker.says_more}
        for ready in select.select([self._woken, *telling], [], [], seconds)[0]:
            if ready == self._woken:
                os.read(self._woken, 4096)
            else:
                self._hear(telling[ready])

    def _end_frozen(self) -> None:
        """End a worker that keeps all others from writing: they take its calls over, and another is started."""
        for pid in self._frozen.holding(self._workers):
            name = self._workers[pid].name
            print(f"worker {name} was stopped while it wrote to the database: it is ended", file=sys.stderr, flush=True)
            with contextlib.suppress(ProcessLookupError):
                self._workers[pid].process.kill()

    def _end_late(self) -> None:
        """End workers that hang, so that they do not do what they were told."""
        if time.monotonic() < self._end_at:
            return
        for worker in self._workers.values():
            print(f"worker {worker.name} does not end: it is killed", file=sys.stderr, flush=True)
            worker.process.kill()
        self._end_at = math.inf

    def _reap(self) -> int:
        """Look which workers have ended, and plan their return. Returns an exit code once nothing works."""
        code = 0
        for pid, worker in list(self._workers.items()):
            ended = worker.process.poll()
            if ended is None:
                continue
            del self._workers[pid]
            worker.line.close()
            if self._signals:
                code = code or (max(0, ended))
                continue
            lived = time.monotonic() - worker.began
            failures = 0 if lived > _STEADY_SECONDS else worker.failures + 1
            how = f"by signal {-ended}" if ended < 0 else f"with exit code {ended}"
            print(f"worker {worker.name} has ended {how}: it is started again", file=sys.stderr, flush=True)
            if ended == 2 and failures >= _HOPELESS and not self._workers:
                print("No worker can start: see above.", file=sys.stderr)
                return 2
            pause = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)] if failures else 0.0
            self._due.append((time.monotonic() + pause, worker.index, failures))
        return code

    def _start_due(self) -> None:
        now = time.monotonic()
        ready, self._due = [one for one in self._due if one[0] <= now], [one for one in self._due if one[0] > now]
        beside: dict[str, str] = {}
        for _, index, failures in ready:
            if not self._signals:
                try:
                    beside = beside or self._free_places(len(ready))
                    self._start(index, failures, beside)
                except OSError as error:
                    print(f"a worker cannot be started: {error}; it is tried again", file=sys.stderr)
                    pause = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]
                    self._due.append((now + pause, index, failures + 1))

    def _start(self, index: int, failures: int, beside: Mapping[str, str]) -> None:
        """Start one of the workers that begin now, under the next of their names. `beside`: all of these, each with its
        address."""
        settings, taken = self._settings, {worker.name for worker in self._workers.values()}
        name = next(each for each in beside if each not in taken)
        ours, theirs = socket.socketpair()
        order = Order(
            name=name,
            address=beside[name],
            folder=str(self._folder),
            capacity=_share(settings.max_concurrent_calls, settings.workers, index),
            dials=_share(settings.dials_per_minute, settings.workers, index),
            secret=self._secret.hex(),
            public=self._public.fileno(),
            console=self._console.fileno() if self._console is not None else -1,
            overrides=dict(self._overrides),
            reports=index == 0 and failures == 0,
            beside=dict(beside),
        )
        kept = [theirs.fileno(), order.public, *([order.console] if order.console >= 0 else [])]
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH", ""))))
        process = subprocess.Popen(
            [sys.executable, "-m", "callflow.cli.worker", str(kept[0])], pass_fds=kept, stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            process_group=0,  # Ctrl-C comes to this process alone, which passes it on
        )  # fmt: skip
        theirs.close()
        ours.sendall(order.line())
        self._workers[process.pid] = _Worker(name, index, process, ours, time.monotonic(), beside[name], failures)
        if self._signals:  # one came between
            process.send_signal(signal.SIGTERM)

    def _free_places(self, count: int) -> dict[str, str]:
        """Return the names of so many workers that begin now, each with the address of its cluster listener. Raises
        OSError."""
        names = self._free_names(count)
        if not self._settings.cluster_port:
            return {name: f"unix:{self._folder / name}.sock" for name in names}
        return dict(zip(names, self._free_addresses(count), strict=True))

    def _free_addresses(self, count: int) -> list[str]:
        """Return the first ports for cluster listeners that nobody has: a worker of an earlier main process may."""
        taken, host = {worker.address for worker in self._workers.values()}, self._settings.cluster_host
        first, found = self._settings.cluster_port, list[str]()
        last = first + 2 * self._settings.workers - 1
        for port in range(first, last + 1):
            address = _address(host, port)
            if address not in taken and len(found) < count:
                with contextlib.suppress(OSError):
                    bind(host, port).close()
                    found.append(address)
        if len(found) < count:
            raise OSError(f"no port of {first} to {last} on {host} is free")
        return found

    def _free_names(self, count: int) -> list[str]:
        """Return the first names that no living process has: workers of an earlier main process may still be there."""
        taken = {worker.name for worker in self._workers.values()}
        lock, prefix = NodeLock(self._folder, ""), f"{self._settings.node}-" if self._settings.node else ""
        names = (f"{prefix}w{number}" for number in range(1, _MOST_NAMES))
        free = list(islice((name for name in names if name not in taken and lock.is_free(name)), count))
        if len(free) < count:
            raise OSError("no name for a worker is free")
        return free


def _file_of(settings: Settings) -> Path | None:
    """Return the SQLite file of the history; None: it is kept elsewhere."""
    try:
        url = url_of(settings.database_url, settings.data_dir)
    except DatabaseError:  # the workers say so
        return None
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _address(host: str, port: int) -> str:
    """Return the address of a cluster listener, as others have it."""
    return f"http://[{host.strip('[]')}]:{port}" if ":" in host else f"http://{host}:{port}"


def _share(calls: int, workers: int, index: int) -> int:
    """Return how many of all calls or dials the worker of this index may have; one at least."""
    return max(calls // workers + (1 if index < calls % workers else 0), 1)


def serve_with_workers(settings: Settings, overrides: Mapping[str, object]) -> int:
    """Serve with several processes until a signal. `overrides`: settings of the command line. Returns the exit code."""
    try:
        public = _public(settings)
    except OSError as error:
        print(f"Cannot start: {secrets_of(settings).safe_text(str(error))}", file=sys.stderr)
        return 2
    listeners, orphans = public
    if len(listeners) < 2:
        console, warnings = bind_console(settings.console_host, settings.console_port)
        listeners += [console] if console is not None else []
        print(*warnings, sep="\n", end="\n" if warnings else "", file=sys.stderr)
    if orphans:
        print("The workers of an earlier main process hand their calls over.", file=sys.stderr)
    try:
        workers = Workers(settings, overrides, listeners[0], listeners[1] if len(listeners) > 1 else None)
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 2
    return workers.run()


def _public(settings: Settings) -> tuple[list[socket.socket], bool]:
    """Bind the port for carriers, or get both ports from workers whose main process has died. Returns the sockets, and
    whether there are such workers. Raises OSError."""
    try:
        return [bind_public(settings.host, settings.port)], False
    except OSError:
        found = _ask_orphans(Path(settings.data_dir).absolute() / "cluster")
        if not found:
            raise
        return found, True


def _ask_orphans(folder: Path) -> list[socket.socket]:
    """Ask the workers that are left for their listening sockets; each of them then hands its calls over and ends."""
    found: list[socket.socket] = []
    for path in sorted(folder.glob("*.fd.sock")):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, theirs:
            try:
                if not send(socket_path(folder, path.name.removesuffix(".fd.sock")), TAKE_LISTENERS, [theirs]):
                    continue
            except BlockingIOError:  # it is stopped, and has taken nothing for a while
                continue
            theirs.close()
            ours.settimeout(_ANSWER_SECONDS)
            with contextlib.suppress(OSError):
                _, fds, _, _ = socket.recv_fds(ours, 16, 2)
                sockets = [socket.socket(fileno=fd) for fd in fds]
                if found:
                    for each in sockets:
                        each.close()
                else:
                    found = sockets
    return found
