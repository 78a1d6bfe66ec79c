"""The basis of a process: a Python that has the packages, Ctrl-C, the event loop, bound sockets, the log.

Any Python 3 can read this file and `server.py`, so that a Python that is too old gets a clear message. It imports
nothing of ours, and nothing that takes time: each function imports what it needs.
"""

from __future__ import annotations

import errno
import os
import signal
import sys


TYPE_CHECKING = False  # without loading `typing`: until `quiet` is called, Ctrl-C is a traceback
if TYPE_CHECKING:
    import asyncio
    import logging
    import socket
    import ssl
    from collections.abc import Coroutine, Mapping
    from pathlib import Path
    from typing import Any, TypeAlias

    Ports: TypeAlias = tuple[socket.socket, socket.socket | None, tuple[str, ...]]

OLDEST = (3, 11)
PACKAGES = (
    "PIL", "alembic", "asyncpg", "cachetools", "cryptography", "docstring_parser", "dotenv", "filelock",
    "httpx", "hypercorn", "jsonschema", "mcp", "msgspec", "phonenumbers", "picows", "prometheus_client", "pydantic",
    "pydantic_settings", "pyngrok", "quart", "re2", "rich", "soxr", "sqlalchemy", "standardwebhooks", "tenacity",
    "transitions", "tzdata", "websockets",
)  # fmt: skip
"""The modules of the packages in pyproject.toml."""
INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended, as in shells."""


def begin(*command: str) -> None:
    """Make sure that Python can run Callflow: this one, or that of `.venv`; else exit with 2 and say what to do.

    `command`: the arguments for `.venv`'s Python, before those of the command line.
    """
    quiet()
    from importlib.util import find_spec

    open_streams()
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    lacking = next((name for name in PACKAGES if find_spec(name) is None), "")
    if sys.version_info >= OLDEST and not lacking:
        return
    own, python = _own_python()
    if python is not None and not own:
        if hasattr(signal, "pthread_sigmask"):
            # Ctrl-C would meet the new process before it can handle it: it is delivered when `quiet` was called there.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.execv(str(python), [str(python), *command, *sys.argv[1:]])
    found = ".".join(str(part) for part in sys.version_info[:2])
    oldest = ".".join(str(part) for part in OLDEST)
    why = f"it lacks the package {lacking}" if sys.version_info >= OLDEST else f"it is older than {oldest}"
    whose = "its environment .venv is not complete" if own else f"this Python {found} cannot run it"
    print(f"Callflow: {whose} ({why}). Run {_root() / 'scripts/setup'} once, then start this again.", file=sys.stderr)
    sys.exit(2)


def open_streams() -> None:
    """Open closed standard streams (`<&-`) on /dev/null: else the next file or socket would take their places."""
    for place, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(place)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest place that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(place, mode, closefd=False))  # noqa: SIM115 - for as long as the process lives


def _root() -> Path:
    from pathlib import Path

    return Path(__file__).resolve().parents[1]


def load_httpx() -> None:
    """Import httpx without its command line, whose libraries (pygments, more of rich) stay in memory: 7 MB.

    httpx does the same where they are not installed.
    """
    if "httpx" in sys.modules:
        return
    name = "httpx._main"
    sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say that it cannot be imported
    try:
        import httpx  # noqa: F401
    finally:
        del sys.modules[name]


# Modules that httpx and the resolver would load with the first request, some 30 ms, and with them all that these need.
# `tests/e2e/test_nothing_slow.py` says what is missing here.
_LOADED_LATE = ("encodings.idna", "sniffio", "anyio.abc", "anyio._backends._asyncio")


def prepare_httpx() -> None:
    """Load what the first request with httpx would load, so that no call waits for it."""
    import contextlib
    import importlib

    for name in _LOADED_LATE:
        with contextlib.suppress(ImportError):  # another version of httpx may need other modules
            importlib.import_module(name)


def _own_python() -> tuple[bool, Path | None]:
    """Whether this process runs in `.venv`, and the Python there, if there is one."""
    from pathlib import Path

    folder = _root() / ".venv"
    for name in ("bin/python", "Scripts/python.exe"):
        if (folder / name).exists():
            return Path(sys.prefix).resolve() == folder.resolve(), folder / name
    return False, None


def quiet() -> None:
    """Let Ctrl-C end the process at once, without a traceback, as long as nothing has to be closed."""
    signal.signal(signal.SIGINT, _leave)


class interruptible:  # noqa: N801 - used as a function; `contextlib` would have to be loaded
    """A context in which Ctrl-C raises KeyboardInterrupt again, if `quiet` was called before."""

    def __enter__(self) -> None:
        self._was = signal.getsignal(signal.SIGINT)
        if self._was is _leave:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *_: object) -> None:
        if self._was is _leave:
            quiet()


def _leave(*_: object) -> None:
    os._exit(INTERRUPTED)


_SWITCH_SECONDS = 0.0005
"""How soon another thread gives way to the audio. Python's default is 5 ms, a quarter of a frame."""


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine on a new event loop until it returns. Returns its exit code."""
    import asyncio

    sys.setswitchinterval(_SWITCH_SECONDS)
    with interruptible(), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.get_loop().set_exception_handler(on_loop_error)
        return runner.run(main)


def new_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop: uvloop's, where it is installed."""
    try:
        import uvloop
    except ImportError:  # Windows: the standard loop does the same, slower
        import asyncio

        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Leave out what is no error. Python 3.11's streams report a connection as an error when its handler is cancelled,
    as by a closing listener."""
    import asyncio

    if not (gives_result_late(context) or isinstance(context.get("exception"), asyncio.CancelledError)):
        loop.default_exception_handler(context)


def gives_result_late(context: Mapping[str, Any]) -> bool:
    """Return whether what a loop reports is no error: anyio's Unix sockets give a result to a future that is cancelled
    already, when a request to another worker is given up in the moment in which its answer comes."""
    import asyncio

    is_late = isinstance(context.get("exception"), asyncio.InvalidStateError)
    return is_late and "set_result of _asyncio.Future" in str(context.get("message", ""))


def run_interruptible(main: Coroutine[Any, Any, int]) -> int:
    """Run as `run` does; Ctrl-C ends it with the exit code 130, without a traceback."""
    try:
        return run(main)
    except KeyboardInterrupt:
        return INTERRUPTED


_MOST_FILES = 65_536


def allow_files() -> None:
    """Raise how many files and sockets this process, and those that it starts, may have open to what the system lets
    them have, 65,536 at most. The usual 1,024 are soon taken."""
    import contextlib

    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):  # macOS may let a process have fewer than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


_WAITING = 1024
"""Connections to a port that may wait until this process takes them."""


def bind(host: str, port: int) -> socket.socket:
    """Listen on a port before anything else begins: whoever connects meanwhile waits. Raises OSError with the port and
    the reason."""
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_WAITING)
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
        bound.close()
        raise OSError(f"port {port} on {host} cannot be used ({getattr(error, 'strerror', '') or error})") from error
    bound.setblocking(False)
    return bound


def bind_both(public: tuple[str, int], console: tuple[str, int]) -> Ports:
    """Bind the ports (host, port) for carriers and for operators. Returns both sockets, and warnings, a line each.

    None: the port for operators cannot be used; calls are still answered. Raises OSError if carriers cannot be served.
    """
    return bind_public(*public), *bind_console(*console)


def bind_public(host: str, port: int) -> socket.socket:
    """Bind the port for carriers. Raises OSError with the reason, and what to do."""
    try:
        return bind(host, port)
    except OSError as error:
        remedy = "Stop what listens there (a Callflow that ends its last calls?), or set PORT to a free port"
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
            raise OSError(f"{error}. {remedy}.") from cause
        raise


def bind_console(host: str, port: int) -> tuple[socket.socket | None, tuple[str, ...]]:
    """Bind the port for operators. Returns its socket, and warnings, a line each; None: it cannot be used."""
    try:
        return bind(host, port), ()
    except OSError as error:
        return None, (f"The console is off: {error}. Set CONSOLE_PORT to a free port.",)


def name_of(bound: socket.socket) -> tuple[str, int]:
    """Return the host and port that a socket is bound to."""
    host, port = bound.getsockname()[:2]
    return host, port


_tls: list[ssl.SSLContext] = []


def tls() -> ssl.SSLContext:
    """Return the TLS settings of all connections that this process opens, to the model and to carriers.

    The first time reads the certificates of all authorities that this machine trusts, 25 ms, so do not let that be
    during calls. One for all, because they stay in memory: 0.9 MB for each.
    """
    import ssl

    if not _tls:
        _tls.append(ssl.create_default_context())
    return _tls[0]


def log_to_stderr(level: str, formatter: logging.Formatter) -> None:
    """Send the log to standard error. `level`: debug, info, warning or error; debug holds for our own code alone."""
    import logging

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    # At the level debug libraries log headers and rows, with keys and transcripts in them.
    logging.basicConfig(level="INFO" if level == "debug" else level.upper(), handlers=[handler])
    for ours in ("callflow", "carriers"):
        logging.getLogger(ours).setLevel(level.upper())
    for chatty in ("httpx", "httpcore", "websockets", "picows", "hypercorn.error", "sqlalchemy", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
