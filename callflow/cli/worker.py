"""`python -m callflow.cli.worker FD`: one of several processes that share a machine's calls; started by
`callflow.cli.workers`.

The socket FD brings one line of JSON, see `worker_order.py`; its end says that the parent has died. A worker then goes
on, until it gets a signal, or until the next `server.py --workers` asks for its listening sockets. When it is told to
end, it says over the socket how long its longest goodbye may take, so that it is not taken to hang.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from callflow.cli.worker_order import Order


if TYPE_CHECKING:
    from callflow.app import Application

log = logging.getLogger("callflow")

_MOST_ORDER: Final = 1 << 16


def _read(parent: socket.socket) -> Order:
    line = b""
    while not line.endswith(b"\n") and len(line) < _MOST_ORDER:
        part = parent.recv(4096)
        if not part:
            raise SystemExit("the parent process has gone before it said what to do")
        line += part
    return Order(**json.loads(line))


def main(fd: int) -> int:
    """Serve. Returns the exit code."""
    from callflow import runtime

    runtime.quiet()
    parent = socket.socket(fileno=fd)
    order = _read(parent)
    gc.disable()  # as `serve` does
    runtime.load_httpx()
    from callflow.app import CANNOT_START, Application
    from callflow.cli.serve import serve_until_signal
    from callflow.cluster.peers import NodeConfig
    from callflow.config.loader import load
    from callflow.contracts.errors import SettingsError
    from callflow.contracts.log_format import FORM, Formatter
    from callflow.switchboard import redactors
    from callflow.web.listeners import Inherited

    try:
        settings = load(order.overrides)
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 2
    shares = {"max_concurrent_calls": order.capacity, "dials_per_minute": order.dials}
    of_all = {name: getattr(settings, name) for name in shares}
    settings = settings.model_copy(update=shares)
    form = f"[{order.name}] {FORM}"
    runtime.log_to_stderr(settings.log_level, Formatter(form, redactors.for_the_log(settings)))
    beside = order.beside if isinstance(order.beside, dict) else dict.fromkeys(order.beside, "")
    node = NodeConfig(
        name=order.name, address=order.address, folder=Path(order.folder), capacity=order.capacity,
        secret=bytes.fromhex(order.secret), beside=beside,
    )  # fmt: skip
    inherited = Inherited(
        socket.socket(fileno=order.public), socket.socket(fileno=order.console) if order.console >= 0 else None
    )

    def make() -> Application:
        application = Application(settings, None, node, inherited)
        asyncio.get_running_loop().add_reader(parent, _parent_is_gone, application, parent)
        return application

    try:
        told = partial(tell_goodbye, parent)
        return runtime.run(serve_until_signal(make, reports=order.reports, of_all=of_all, leaves=told))
    except (OSError, SettingsError, *CANNOT_START) as error:
        print(f"[{order.name}] cannot start: {error}", file=sys.stderr)
        return 2


def tell_goodbye(parent: socket.socket, application: Application) -> None:
    """Tell the parent how long the longest goodbye may take: only here the profiles of the database are known, and what
    holds for single calls."""
    seconds = [each.farewell_seconds for each in application.configs.rules.profiles.all().values()]
    seconds += [call.config.deadline_seconds["farewell"] for call in application.switchboard.calls]
    with contextlib.suppress(OSError):  # it has gone
        parent.send(b"%g" % max(seconds))


def _parent_is_gone(application: Application, parent: socket.socket) -> None:
    """Go on without the parent: calls stay, and new ones are taken."""
    asyncio.get_running_loop().remove_reader(parent)
    parent.close()
    log.warning("the main process has gone: this worker goes on until the next one takes its place, or SIGTERM")
    application.orphaned(lambda: os.kill(os.getpid(), signal.SIGTERM))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
