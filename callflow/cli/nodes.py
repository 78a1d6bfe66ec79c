"""`server.py nodes` and `server.py drain NODE`: the nodes of a cluster, as the running server knows them.

Exit codes: 0, it was shown, or the node has handed its calls over; 1, there is no such node, or it still has calls; 2,
the settings cannot be used, or no server is running.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from callflow.cli.operators_port import OperatorsPort, read_settings, says_why
from callflow.cli.terminal import new_table, print_wide
from callflow.contracts import printable


_LOOK_SECONDS: Final = 0.5
_ALONE: Final = "This server serves alone: there is no cluster. Start it with --workers, or set CLUSTER_PORT."


@says_why
def run_nodes(arguments: argparse.Namespace) -> int:
    """Show the nodes. Returns the exit code, see above."""
    told = OperatorsPort(read_settings()).read("/api/nodes")
    if told is None:
        return 1
    if arguments.json:
        print(json.dumps(told, indent=2))
        return 0
    if not told["nodes"]:
        print(_ALONE)
        return 0
    table = new_table(("node", "state", "calls", "of", "lag", "since"), right=("calls", "of", "lag"))
    for node in told["nodes"]:
        leads = ", leads" if node["name"] == told["leader"] else ""
        table.add_row(
            printable.line(node["name"]), f"{node['state']}{leads}", str(node["calls"]), str(node["capacity"]),
            f"{node['lagMs']:g} ms", node["startedAt"],
        )  # fmt: skip
    print_wide(table)
    for carrier, count in told.get("waiting", {}).items():  # a server of before says nothing of it
        print(f"{count} calls of {printable.line(carrier)} wait: no node that lives has the keys of that carrier.")
    return 0


@says_why
def run_drain(arguments: argparse.Namespace) -> int:
    """Let a node hand its calls over, and wait until it has none. Returns the exit code, see above."""
    port = OperatorsPort(read_settings())
    act = "resume" if arguments.resume else "drain"
    status, told = port.ask("POST", f"/api/nodes/{arguments.node}/{act}")
    if status != 200:
        print(told.get("error", f"the server answered {status}"), file=sys.stderr)
        return 1
    for warning in told["warnings"]:
        print(warning, file=sys.stderr)
    if arguments.resume:
        print(f"node {arguments.node} takes calls again")
        return 0
    return _wait(port, arguments.node, arguments.seconds)


def _wait(port: OperatorsPort, name: str, seconds: float) -> int:
    until, shown, empty = time.monotonic() + seconds, -1, 0
    while True:
        time.sleep(_LOOK_SECONDS)
        status, told = port.ask("GET", "/api/nodes")
        if status != 200 or told["trouble"]:  # then what is known of the others is of before
            if time.monotonic() > until:
                why = told.get("error") or told.get("trouble") or f"the server answered {status}"
                print(f"whether node {name} has calls is not known: {why}", file=sys.stderr)
                return 1
            continue
        left = _calls(told, name)
        empty = 0 if left else empty + 1
        if empty == 2:  # how many calls a node has is known half a second late
            print(f"node {name} has no call any more, and takes none: it can be stopped")
            return 0
        if left and left != shown:
            print(f"node {name}: {left} calls left …", flush=True)
            shown = left
        if time.monotonic() > until:
            print(f"node {name} still has {left} calls after {seconds:g} s; it goes on by itself.", file=sys.stderr)
            return 1


def _calls(told: Mapping[str, Any], name: str) -> int:
    """Return how many calls a node has; 0: it is gone."""
    return next((int(node["calls"]) for node in told.get("nodes", ()) if node["name"] == name), 0)
