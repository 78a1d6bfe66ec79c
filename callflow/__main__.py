"""The command line: `callflow …`, `python -m callflow …` and `python server.py …`. It imports only what is needed."""

from __future__ import annotations

import gc
import sys

from callflow import runtime


TYPE_CHECKING = False  # without loading `typing`: see `callflow.runtime`
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code. Raises SystemExit after `--help` and for wrong arguments."""
    from callflow.cli.safe_output import escaped_output, leave_pipe

    with escaped_output():
        try:
            try:
                return _main(sys.argv[1:] if arguments is None else arguments)
            finally:
                sys.stdout.flush()
        except BrokenPipeError as error:
            return leave_pipe(error)
        except KeyboardInterrupt:
            return runtime.INTERRUPTED


def _main(words: Sequence[str]) -> int:
    from callflow.cli.arguments import parse

    chosen = parse(words)
    if chosen.command in (None, "serve"):
        asked = {
            "host": chosen.host, "port": chosen.port, "public": chosen.public or None, "workers": chosen.workers,
        }  # fmt: skip
        # What a start makes stays: without collections it takes a fifth less. `GarbageCollection.begin` enables them.
        gc.disable()
        try:
            from callflow.cli.serve import serve

            return serve(asked, check=chosen.check, point=chosen.point or "", yes=chosen.yes)
        finally:
            gc.enable()
    if chosen.command == "sandbox":
        from callflow.cli import sandbox

        return sandbox.run(chosen)
    if chosen.command == "demo":
        from callflow.app import Application
        from callflow.cli.demo import console, demo

        if chosen.console:
            return runtime.run_interruptible(console.run(chosen, Application))
        return runtime.run_interruptible(demo.run(chosen, Application))
    if chosen.command == "doctor":
        from callflow.cli import doctor

        return runtime.run_interruptible(doctor.diagnose())
    if chosen.command == "numbers":
        from callflow.cli import numbers

        return runtime.run_interruptible(numbers.run_numbers(chosen))
    if chosen.command == "profiles":
        from callflow.cli import profiles

        return profiles.run(chosen)
    if chosen.command == "haproxy":
        from callflow.cli import haproxy

        return haproxy.run(chosen)
    if chosen.command == "provision":
        from callflow.cli import provision

        return runtime.run_interruptible(provision.run_provision(chosen))
    if chosen.command == "drill":
        from callflow.cli.drill import drill

        return runtime.run_interruptible(drill.run(chosen))
    if chosen.command == "bench":
        from callflow.cli import benches

        return runtime.run_interruptible(benches.run(chosen))
    if chosen.command == "dial":
        from callflow.cli import dial

        return dial.run(chosen)
    if chosen.command in ("nodes", "drain"):
        from callflow.cli import nodes

        return nodes.run_nodes(chosen) if chosen.command == "nodes" else nodes.run_drain(chosen)
    if chosen.command == "budget":
        from callflow.cli import budget

        return budget.run(chosen)
    if chosen.command == "calls" and chosen.hangup is not None:
        from callflow.cli import hangup

        return hangup.run(chosen)
    if chosen.command == "replay":
        from callflow.cli import replay

        return runtime.run_interruptible(replay.run_replay(chosen))
    from callflow.cli import calls

    return runtime.run_interruptible(calls.run_calls(chosen))


def start(*command: str) -> None:
    """Run the command in `sys.argv`, and exit. `command`: see `callflow.runtime.begin`."""
    runtime.begin(*command)
    code = main()
    runtime.quiet()
    sys.exit(code)


if __name__ == "__main__":
    start("-m", "callflow")
