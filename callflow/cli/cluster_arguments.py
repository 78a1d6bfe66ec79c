"""The options of `server.py haproxy`, `nodes` and `drain`: see `arguments.py`."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Final

from callflow.cli.option_types import but, whole, word
from callflow.cli.parser import Parser


if TYPE_CHECKING:
    from callflow.cli.haproxy import Server

_SERVER: Final = re.compile(r"([a-z0-9-]{1,32})=(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):([0-9]{1,5})")
_OF_WORKER: Final = re.compile(r"-w[0-9]+$")
_MOST_PORT: Final = 65535


def server(text: str) -> Server:
    """Read NAME=HOST:PORT. Raises ArgumentTypeError."""
    from callflow.cli.haproxy import Server

    found = _SERVER.fullmatch(text)
    if found is None or not 0 < int(found[3]) <= _MOST_PORT:
        raise argparse.ArgumentTypeError(
            f"must be NAME=HOST:PORT, such as a=10.0.0.11:6000, with a name of a-z, 0-9 and -{but(text)}"
        )
    if _OF_WORKER.search(found[1]):
        raise argparse.ArgumentTypeError("must name the machine, and not one of its workers: a, not a-w1")
    return Server(found[1], f"{found[2]}:{found[3]}")


def address(text: str) -> str:
    """Read ADDRESS:PORT, as HAProxy's `bind` takes it. Raises ArgumentTypeError."""
    if re.fullmatch(r"[0-9A-Za-z.:*\[\]-]*:[0-9]{1,5}", text):
        return text
    raise argparse.ArgumentTypeError(f"must be ADDRESS:PORT, such as *:443{but(text)}")


def haproxy(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `haproxy`."""
    parser.description = (
        "Prints a configuration for HAProxy in front of several servers: what belongs to a call goes to the server that"
        " has it, new calls to one that takes them. Exit code 0: it is printed; 2: the words cannot be used."
    )
    parser.add_argument(
        "--node",
        type=server,
        action="append",
        required=True,
        metavar="NAME=HOST:PORT",
        help="a server's name (the setting node) and where its public listener is; once for each (default: none)",
    )
    parser.add_argument(
        "--bind", type=address, default="*:443", metavar="ADDRESS:PORT", help="where carriers reach HAProxy"
    )
    parser.add_argument(
        "--certificate",
        type=word,
        default="/etc/haproxy/callflow.pem",
        metavar="FILE",
        help="certificate chain and key in one file",
    )
    parser.add_argument(
        "--no-tls", action="store_true", help="TLS ends elsewhere, and plain HTTP comes here (default: off)"
    )


def nodes(parser: Parser) -> None:
    """Declare the options of `nodes`."""
    parser.description = "Asks the running server. Exit code 0: it was shown; 1: it is not known; 2: no server runs."
    parser.add_argument("--json", action="store_true", help="print it as JSON (default: a table)")


def drain(parser: Parser) -> None:
    """Declare the options of `drain`."""
    parser.description = (
        "Each call moves at a moment when nobody speaks. Exit code 0: the node has no call any more; 1: there is no"
        " such node, or it still has calls; 2: no server runs."
    )
    parser.add_argument("node", metavar="NODE", help="the name of the node, as `nodes` shows it")
    parser.add_argument("--resume", action="store_true", help="let it take calls again (default: it drains)")
    parser.add_argument(
        "--seconds", type=whole(1, 3600), default=60, metavar="N", help="how long to wait until it has no call"
    )
