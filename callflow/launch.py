"""The first moments of a process: a Python that has the packages, and Ctrl-C while they are loaded.

Any Python 3 can read this file and `server.py`, so that one that is too old is told what to do.
"""

from __future__ import annotations

import os
import signal
import sys


TYPE_CHECKING = False  # without loading `typing`: until `quiet` is called, Ctrl-C is a traceback
if TYPE_CHECKING:
    from pathlib import Path


OLDEST = (3, 11)
PACKAGES = (
    "aiosqlite", "alembic", "asyncpg", "cryptography", "dotenv", "httpx", "hypercorn", "jsonschema", "mcp", "msgspec",
    "phonenumbers", "pydantic", "pydantic_settings", "pyngrok", "quart", "re2", "rich", "soundfile", "soxr",
    "sqlalchemy", "tenacity", "transitions", "websockets",
)  # fmt: skip
"""What is imported of the packages that pyproject.toml names."""
INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended, as shells have it."""


def begin(*command: str) -> None:
    """Go on with a Python that can run Callflow: this one, or that of `.venv`; else exit with 2 and say what to do.

    `command`: what `.venv`'s Python would be started with, before the words of the command line.
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
    """Whoever starts this may have closed the standard streams (`<&-`): what is opened next would take their places."""
    for place, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(place)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest place that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(place, mode, closefd=False))  # noqa: SIM115 - for as long as the process lives


def _root() -> Path:
    from pathlib import Path

    return Path(__file__).resolve().parent.parent


def _own_python() -> tuple[bool, Path | None]:
    """Whether this process runs in `.venv`, and the Python there, if there is one."""
    from pathlib import Path

    folder = _root() / ".venv"
    for name in ("bin/python", "Scripts/python.exe"):
        if (folder / name).exists():
            return Path(sys.prefix).resolve() == folder.resolve(), folder / name
    return False, None


def quiet() -> None:
    """Ctrl-C ends the process at once, and without a traceback: nothing has begun that would have to be put away."""
    signal.signal(signal.SIGINT, _leave)


class interruptible:  # noqa: N801 - used as a function; `contextlib` would have to be loaded
    """Within it Ctrl-C is Python's own KeyboardInterrupt, if `quiet` was called: something has begun."""

    def __enter__(self) -> None:
        self._was = signal.getsignal(signal.SIGINT)
        if self._was is _leave:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *_: object) -> None:
        if self._was is _leave:
            quiet()


def _leave(*_: object) -> None:
    os._exit(INTERRUPTED)
