"""Start here: `python server.py COMMAND`; `python server.py --help` lists the commands, and none means `serve`.

`callflow/__main__.py` reads the command line; `callflow/app.py` puts the parts of a server together.
"""

from __future__ import annotations

from callflow.__main__ import main, start


TYPE_CHECKING = False  # without loading `typing`: see `callflow.runtime`
if TYPE_CHECKING:
    from quart import Quart

    from callflow.config.settings import Settings

__all__ = ["create_app", "main", "run_server"]


def run_server(port: int | None = None, host: str | None = None, use_public: bool = False) -> int:
    """Serve until SIGTERM or SIGINT, and block until then. None: as the settings say. Returns the exit code.

    `use_public`: open a tunnel, as the setting PUBLIC does.

    Signals are handled in the main thread only: in any other thread it serves until the process ends.
    """
    from callflow.cli.serve import serve

    return serve({"port": port, "host": host, "public": use_public or None})


def create_app(settings: Settings | None = None, *, console: bool = False) -> Quart:
    """Make the public app for any ASGI server; calls are taken from that server's lifespan startup to its shutdown.

    `settings` None: they are read now. `console`: the console is served on the same port; that needs CONSOLE_TOKEN.
    Raises `callflow.contracts.errors.SettingsError` when the settings cannot be used.
    """
    from callflow.cli import asgi
    from callflow.config.loader import load

    return asgi.create_app(settings or load(), console=console)


if __name__ == "__main__":
    start(__file__)
