"""`server.py budget`: what the calls of today took, and what they may take, as the running server counts it.

Exit codes: 0, it was shown; 1, the server cannot say; 2, the settings cannot be used, or no server is running.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from callflow.cli.operators_port import OperatorsPort, read_settings, says_why
from callflow.cli.terminal import new_table, print_wide
from callflow.contracts import printable


@says_why
def run(arguments: argparse.Namespace) -> int:
    """Show the budget of today. Returns the exit code, see above."""
    told = OperatorsPort(read_settings()).read("/api/budget")
    if told is None:
        return 1
    if arguments.json:
        print(json.dumps(told, indent=2))
        return 0
    print(f"{told['day']} ({told['zone']})" + ("" if told["known"] else ", without what was used before the start"))
    figures = ("calls", "minutes", "model", "carrier", "in all", "used")
    table = new_table(("of", *figures[:-1], "limits", "used"), texts=("of",), right=figures)
    _row(table, "all calls", told["all"])
    for one in told["profiles"]:
        _row(table, f"profile {one['profile']}" if one["profile"] else "without a profile", one)
    for one in told["callers"][:5]:
        _row(table, f"caller {one['caller'] or 'withheld'}", one)
    for one in told["live"]:
        _row(table, f"live {one['id'][:8]}", one)
    print_wide(table)
    return 0


def _row(table: Table, name: str, one: Mapping[str, Any]) -> None:
    limits = one.get("ceilings") or {}
    said = [f"{limits['minutes']:.15g} min"] if limits.get("minutes") else []
    said += [f"${limits['usd']:.15g}"] if limits.get("usd") else []
    is_estimate = "~" if one["unpricedMinutes"] else ""
    table.add_row(
        printable.line(name),
        str(one["calls"]),
        f"{one['minutes']:.1f}",
        f"${one['engineUsd']:.4f}",
        f"${one['carrierUsd']:.4f}",
        f"{is_estimate}${one['usd']:.4f}",
        " ".join(said) or "–",
        f"{one['used']:.0%}" if "used" in one else "–",
    )
