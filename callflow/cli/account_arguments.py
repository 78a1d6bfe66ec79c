"""The options of `server.py numbers`, `provision` and `drill`: see `arguments.py`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Final


CARRIERS: Final = ("telnyx", "twilio")


def numbers(parser: ArgumentParser, parser_class: type[ArgumentParser]) -> None:
    """Declare the options of `numbers`."""
    parser.description = (
        "Without a command it lists them. Exit code 0: it is done; 1: it is not; 2: the words or the settings cannot be"
        " used."
    )
    acts = parser.add_subparsers(dest="act", metavar="list|point|undo|release", parser_class=parser_class)
    acts.add_parser("list", help="list the numbers of all accounts, and where their calls go")
    for name, about in (
        ("point", "let the calls of a number come to this server"),
        ("undo", "put back where a number led before"),
        ("release", "give a number back to its carrier, for ever; needs ALLOW_NUMBER_RELEASE=true"),
    ):
        act = acts.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        act.add_argument("number", help="such as +15550100002", metavar="NUMBER")
        act.add_argument("--carrier", choices=CARRIERS, help="whose number it is (default: of whichever has it)")
        if name == "release":
            act.add_argument("--confirm", metavar="NUMBER", help="the number once more (default: it is asked for)")
        else:
            what = "all that it does besides" if name == "point" else "also what somebody else has changed meanwhile"
            act.add_argument("--yes", action="store_true", help=f"do not ask, and do {what} (default: off)")


def provision(parser: ArgumentParser) -> None:
    """Declare the options of `provision`."""
    parser.description = (
        "Shows what the carriers do when this server does not answer, and sets it: FAILOVER_URL is asked then, and"
        " FALLBACK_NUMBER rung. Exit code 0: it is done, or there is nothing to do; 1: it is not; 2: the words or the"
        " settings cannot be used."
    )
    parser.add_argument("--carrier", choices=CARRIERS, help="only this one (default: all that are set up)")
    parser.add_argument("--yes", action="store_true", help="do not ask (default: off)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--undo",
        action="store_true",
        help="put back what was set before, unless somebody has changed it (default: off)",
    )
    what.add_argument(
        "--twiml",
        action="store_true",
        help="only print a document that Twilio plays without a server, to be hosted elsewhere (default: off)",
    )


def drill(parser: ArgumentParser) -> None:
    """Declare the options of `drill`."""
    parser.description = (
        "Breaks the server, the model and the database under calls of the sandbox, each on its own, and shows what the"
        " caller hears, without keys or network. Exit code 0: no caller was left in silence; 1: one was; 2: the words"
        " cannot be used, or the drill could not be set up."
    )
    parser.add_argument("--carrier", choices=CARRIERS, default="telnyx", help="whose number is called")
    parser.add_argument("--json", action="store_true", help="print the result as JSON (default: off)")
