"""The options of `server.py profiles`: see `arguments.py`."""

from __future__ import annotations

import argparse

from callflow.cli.option_types import text, whole


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `profiles`."""
    parser.description = (
        "Asks the running server; without a command it lists them. Exit code 0: it is done; 1: there is no such"
        " profile, or the server has refused; 2: the words or the settings cannot be used, or no server is running."
    )
    acts = parser.add_subparsers(dest="act", metavar="list|show|versions|restore|export", parser_class=type(parser))
    acts.add_parser("list", help="list the profiles, and whether each stands in settings.toml or in the database")
    for name, about in (
        ("show", "show the settings of a profile, and where each comes from"),
        ("versions", "list the versions of a profile: when, by whom, and what was changed"),
        ("restore", "go back to an earlier version of a profile, from the next call on"),
    ):
        act = acts.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        act.add_argument("name", type=text, help="its name", metavar="NAME")
        if name == "restore":
            act.add_argument("version", type=whole(1, (1 << 31) - 1), help="which one", metavar="N")
    export = acts.add_parser("export", help="write the profiles of the database as settings.toml takes them")
    export.add_argument("name", type=text, nargs="?", help="only this one (default: all)", metavar="NAME")
