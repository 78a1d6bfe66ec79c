"""Start here: `python server.py [serve|demo|doctor|calls|replay|sandbox|bench]`.

Reads the command line and loads no more than what was asked for. `callflow/app.py` puts the parts together.
"""

from __future__ import annotations

import sys

from callflow import launch


TYPE_CHECKING = False  # without loading `typing`: see `callflow.launch`
if TYPE_CHECKING:
    from collections.abc import Sequence

    from quart import Quart

    from callflow.settings import Settings


def run_server(port: int | None = None, host: str | None = None, use_public: bool = False) -> int:
    """Serve until SIGTERM or SIGINT; blocking. None: as the settings say. Returns the exit code.

    `use_public`: open a tunnel, as the setting PUBLIC does.

    Signals reach the main thread only: in any other it serves until the process ends.
    """
    from callflow.cli.serve import serve

    return serve({"port": port, "host": host, "public": use_public or None})


def create_app(settings: Settings | None = None) -> Quart:
    """The public app for an ASGI server of your own; its calls begin and end with that server's lifespan.

    None: the settings are read now. Raises `callflow.settings.SettingsError` when they cannot be used.
    """
    from callflow import app
    from callflow.settings_loader import load

    return app.create_app(settings or load())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. The exit code; SystemExit after help and after words that cannot be used."""
    from callflow.cli.guard import guarded, leave_pipe

    with guarded():
        try:
            try:
                return _main(sys.argv[1:] if arguments is None else arguments)
            finally:
                sys.stdout.flush()
        except BrokenPipeError as error:
            return leave_pipe(error)


def _main(words: Sequence[str]) -> int:
    from callflow.cli.arguments import parse

    chosen = parse(words)
    if chosen.command in (None, "serve"):
        from callflow.cli.serve import serve

        asked = {"host": chosen.host, "port": chosen.port, "public": chosen.public or None}
        return serve(asked, check=chosen.check)
    if chosen.command == "sandbox":
        from callflow.cli import sandbox

        return sandbox.run(chosen)
    from callflow.cli.process import run_interruptible

    if chosen.command == "demo":
        from callflow.app import Line
        from callflow.cli import demo

        return run_interruptible(demo.run(chosen, Line))
    if chosen.command == "doctor":
        from callflow.cli import doctor

        return run_interruptible(doctor.diagnose())
    if chosen.command == "bench":
        from callflow.cli import bench

        return run_interruptible(bench.run(chosen))
    if chosen.command == "calls" and chosen.hangup is not None:
        from callflow.cli import hangup

        return hangup.run(chosen)
    from callflow.cli import record

    return run_interruptible(record.run_calls(chosen) if chosen.command == "calls" else record.run_replay(chosen))


if __name__ == "__main__":
    launch.begin(__file__)
    try:
        code = main()
    except KeyboardInterrupt:
        code = launch.INTERRUPTED
    launch.quiet()
    sys.exit(code)
