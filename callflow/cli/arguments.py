"""The command line: every command and option, with its default and its unit.

Nothing here loads a part of the program, so that `--help` and a mistyped word are answered at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Final

from callflow.cli import account_arguments, cluster_arguments, profile_arguments
from callflow.cli.account_arguments import CARRIERS
from callflow.cli.option_types import PORT, file, number, text, web_url, whole, word
from callflow.cli.parser import Parser, check_words


SCENARIOS: Final = {
    "interruption": "the caller breaks in, at three kinds of moments",
    "tools": "a slow tool, one that fails, and a goodbye",
    "engine-drop": "the model's connection breaks in mid-sentence",
    "live": "a full-duplex model, and the other engine goes on when it is lost",
    "rotation": "the model's session is replaced unheard",
    "silence": "the caller says nothing",
    "dtmf": "digits on the keypad, which are secret",
    "outbound": "the line makes the calls: a person answers, then a number is busy",
    "voicemail": "the line calls, and an answering machine answers",
    "sip": "the call comes over OpenAI's SIP, and its audio never comes here",
    "transfer": "the caller is connected with a person, and comes back",
    "budget": "the calls of a day have used what they may",
}
"""The stories of `demo --scenario`, and what each is about."""
SANDBOX_PORTS: Final = {"telnyx": 6100, "twilio": 6200, "realtime": 6300}
"""Of each emulator, so that all of them can run side by side, next to the server."""
SANDBOX_KEYS: Final = {"telnyx": "KEY_sandbox_telnyx", "realtime": "sk-sandbox"}


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002 - argparse's word
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"Callflow {version('callflow')}")
        except PackageNotFoundError:
            print("Callflow, of a version that nobody knows: it is not installed; scripts/setup does that")
        parser.exit()


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the words of a command line. Exits with 0 after help, with 2 and one line after a word that cannot be
    used."""
    parser = make_parser()
    check_words(parser, list(words))
    return parser.parse_args(words)


def make_parser() -> Parser:
    """Make the parser of all commands and their options."""
    parser = Parser(prog="server.py", description="Callflow answers the phone. Without a command it serves.")
    parser.add_argument("--version", action=_Version, help="say which version this is, and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for serving in (parser, commands.add_parser("serve", help="answer calls (the default)")):
        _serve(serving)
    _demo(commands.add_parser("demo", help="a whole call on this machine: no keys, no network"))
    commands.add_parser(
        "doctor",
        help="look at keys, public address and the carriers' settings, and say what to do",
        description="Looks at everything that a first call needs. Exit code 0: all is well; 1: something is wrong.",
    )
    _dial(commands.add_parser("dial", help="make an outbound call, and show it while it goes on"))
    _calls(commands.add_parser("calls", help="list the calls of the history, or show one and why it ended"))
    _budget(commands.add_parser("budget", help="what the calls of today took, and what they may take"))
    cluster_arguments.nodes(
        commands.add_parser("nodes", help="the processes that serve together, and how many calls each has")
    )
    cluster_arguments.drain(commands.add_parser("drain", help="let one of them hand its calls over to the others"))
    account_arguments.numbers(
        commands.add_parser("numbers", help="the carriers' numbers: list them, point one here, put it back"), Parser
    )
    account_arguments.provision(
        commands.add_parser("provision", help="tell the carriers what to do when this server does not answer")
    )
    account_arguments.drill(
        commands.add_parser("drill", help="break server, model and database in the sandbox: what do callers hear?")
    )
    cluster_arguments.haproxy(
        commands.add_parser("haproxy", help="print a configuration for HAProxy in front of several servers")
    )
    profile_arguments.add(commands.add_parser("profiles", help="the running server's profiles, and their versions"))
    _replay(commands.add_parser("replay", help="run journals of calls through the state machine again, and compare"))
    _sandbox(commands.add_parser("sandbox", help="run an emulated carrier or voice model on this machine"))
    _bench(commands.add_parser("bench", help="measure latency, loss, CPU and memory over real sockets"))
    return parser


def _serve(parser: Parser) -> None:
    # No defaults of their own: what is not given here, the settings say.
    parser.add_argument("--host", help="address of the carriers' listener (default: HOST, else 127.0.0.1)")
    parser.add_argument(
        "--port", type=PORT, help="its port; 0 takes any free one (default: PORT, else 6000)", metavar="PORT"
    )
    parser.add_argument(
        "--workers",
        type=whole(1, 64),
        metavar="N",
        help="processes that share the calls, each on a core of its own (default: WORKERS, else 1)",
    )
    parser.add_argument(
        "--public",
        action="store_true",
        help="let carriers reach this machine through a tunnel (default: PUBLIC, else off)",
    )
    parser.add_argument(
        "--point", metavar="NUMBER", help="let the calls of this number come here until the stop (default: none)"
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="with --point, also where that moves other numbers, or takes it out of a trunk (default: off)",
    )
    parser.add_argument(
        "--check", action="store_true", help="show every setting and where it came from, and stop (default: off)"
    )


def _demo(parser: Parser) -> None:
    parser.description = (
        "A whole spoken call on this machine. Exit code 0: all went as it should; 1: something did not, and is named;"
        " 2: the words cannot be used."
    )
    stories = ", ".join(f"{name} ({about})" for name, about in SCENARIOS.items())
    told = parser.add_mutually_exclusive_group()
    told.add_argument(
        "--scenario",
        choices=sorted(SCENARIOS),
        metavar="NAME",
        help=f"another story (default: a question, an interruption, a goodbye): {stories}",
    )
    parser.add_argument("--carrier", choices=CARRIERS, default="telnyx", help="whose number is called")
    told.add_argument(
        "--wav",
        type=file,
        metavar="FILE",
        help="put the voice of this recording in the caller's mouth: .wav, .flac, .ogg, .mp3, any rate and channels; up"
        " to 20 seconds of it are used (default: recorded sentences)",
    )
    parser.add_argument(
        "--out",
        type=file,
        metavar="FILE",
        help="where the call is recorded, as a .wav (default: demo.wav in the current folder, or demo-2.wav and so on"
        " where that is there already)",
    )
    parser.add_argument(
        "--picture",
        nargs="?",
        type=file,
        const=True,
        metavar="FILE",
        help="also draw the call, as an .svg: who spoke when, what was heard, what each answer waited for (default: no"
        " picture; without FILE: beside the recording)",
    )
    parser.add_argument("--keep", action="store_true", help="go on afterwards, and take more calls (default: off)")
    told.add_argument(
        "--console",
        action="store_true",
        help="open the operators' page instead, with a phone in it that you speak into, until Ctrl-C; with an"
        " OPENAI_API_KEY you talk with the real model (default: off)",
    )


def _dial(parser: Parser) -> None:
    parser.description = (
        "Asks the running server to dial a number, or a list of them. Ctrl-C ends the call with a goodbye, a second one"
        " at once; it pauses a list. Exit code 0: the call was answered, or the list is finished; 1: it was not; 2: the"
        " words, the list or the settings cannot be used, no server is running, or it has refused."
    )
    parser.add_argument("number", nargs="*", help="whom to call, in E.164: +15550100001")
    parser.add_argument(
        "--profile", type=text, metavar="NAME", help="how the agent behaves (default: as our number says)"
    )
    parser.add_argument("--say", type=text, metavar="TEXT", help="what the agent says first (default: its greeting)")
    parser.add_argument(
        "--record", action="store_true", help="let the carrier record the call, from the answer on (default: off)"
    )
    parser.add_argument("--carrier", choices=CARRIERS, help="who carries it (default: the first one that can dial)")
    parser.add_argument(
        "--from",
        dest="from_number",
        type=text,
        metavar="NUMBER",
        help="our number, which is shown (default: TELNYX_FROM_NUMBER or TWILIO_FROM_NUMBER)",
    )
    parser.add_argument(
        "--key",
        type=text,
        metavar="KEY",
        help="the same key makes the same call, or list, however often the command is given (default: a new key)",
    )
    _dial_list(parser)


def _dial_list(parser: Parser) -> None:
    parser.add_argument(
        "--list",
        type=file,
        metavar="FILE",
        help="call the numbers of this CSV file: a heading with number, perhaps timezone, and variables; Ctrl-C pauses"
        " it (default: the one number)",
    )
    parser.add_argument(
        "--resume", type=word, metavar="ID", help="go on with a list that is paused, and show it (default: none)"
    )
    parser.add_argument(
        "--hours", type=text, metavar="FROM-TO", help="when, in the time zone of each number (default: 9-18)"
    )
    parser.add_argument("--weekdays", type=text, metavar="DAYS", help="on which days there (default: mon-fri)")
    parser.add_argument(
        "--attempts", type=whole(1, 20), metavar="N", help="how often each number is called at most (default: 3)"
    )
    parser.add_argument(
        "--at-once", type=whole(1, 10_000), metavar="N", help="how many calls at the same time (default: 5)"
    )
    parser.add_argument(
        "--per-second", type=number(0.01, 50), metavar="N", help="how many calls begin in a second (default: 1)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only say which rows would be skipped, and why (default: off)"
    )


def _calls(parser: Parser) -> None:
    parser.description = (
        "Exit code 0: there is an answer; 1: there is no such call; 2: the words or the history cannot be used."
    )
    parser.add_argument("call", nargs="?", help="its id (the beginning is enough), or the id of one of its streams")
    parser.add_argument("--number", help="only calls from or to this number (default: all)")
    parser.add_argument("--text", help="only calls in which these words were said (default: all)")
    parser.add_argument(
        "--since", metavar="DATE", help="only calls that began then or later: 2026-01-31, in UTC (default: all)"
    )
    parser.add_argument(
        "--until", metavar="DATE", help="only calls that began before the end of that day (default: all)"
    )
    parser.add_argument("--limit", type=whole(1, 500), default=20, metavar="N", help="how many calls")
    parser.add_argument(
        "--save", metavar="FILE", help="write the call's journal into a file, a JSON object per line (default: no file)"
    )
    parser.add_argument(
        "--picture",
        type=file,
        metavar="FILE",
        help="draw the call, if it was recorded, as an .svg (default: no picture)",
    )
    parser.add_argument(
        "--hangup",
        nargs="?",
        const="goodbye",
        metavar="goodbye|now",
        help="end this live call, after a goodbye that the caller hears, or at once (default: off; alone: goodbye)",
    )


def _budget(parser: Parser) -> None:
    parser.description = "Asks the running server. Exit code 0: it was shown; 1: it is not known; 2: no server runs."
    parser.add_argument("--json", action="store_true", help="print it as JSON (default: a table)")


def _replay(parser: Parser) -> None:
    parser.description = (
        "Prints each decision that comes out otherwise than it stands in the journal. Exit code 0: none does; 1: one"
        " does, or there is no such call; 2: the words or a journal cannot be used."
    )
    parser.add_argument(
        "call",
        nargs="?",
        help="the id of a call (the beginning is enough), a file that `calls --save` wrote, or a folder of such files",
    )
    parser.add_argument(
        "--since",
        metavar="DATE|DURATION",
        help="all calls of the history that began then or later: 2026-01-31 (in UTC), or 90s, 30m, 12h, 7d, 2w ago"
        " (default: the one call, file or folder)",
    )


def _sandbox(parser: Parser) -> None:
    parser.description = (
        "Run an emulated carrier or voice model on this machine, until Ctrl-C. It prints what to put into .env so that"
        " the server talks to it."
    )
    peers = parser.add_subparsers(dest="peer", metavar="telnyx|twilio|realtime", required=True, parser_class=Parser)
    telnyx = peers.add_parser("telnyx", help="Telnyx: call control, webhooks, media streams (port 6100)")
    webhooks = telnyx.add_mutually_exclusive_group()
    webhooks.add_argument(
        "--webhook-url",
        type=web_url,
        default="http://127.0.0.1:6000/webhooks",
        metavar="URL",
        help="where webhooks really go",
    )
    twilio = peers.add_parser("twilio", help="Twilio: TwiML, webhooks, REST, media streams (port 6200)")
    twilio.add_argument(
        "--server", type=web_url, default="http://127.0.0.1:6000", metavar="URL", help="where that address leads"
    )
    for peer in (telnyx, twilio):
        peer.add_argument(
            "--public-url",
            type=web_url,
            metavar="URL",
            help="the server's PUBLIC_BASE_URL, which need not exist (default: https://phone.example; with --target,"
            " that of the target)",
        )
    realtime = peers.add_parser("realtime", help="OpenAI Realtime: a model that hears and speaks (port 6300)")
    for name, peer in (("telnyx", telnyx), ("twilio", twilio), ("realtime", realtime)):
        peer.description = "Runs until Ctrl-C. Exit code 0: it was asked to stop; 2: it could not listen."
        if name != "realtime":
            peer.description += (
                " With --target: makes one call and reports it; exit code 0: it was answered and ended as it should,"
                " 1: it was not."
            )
            _ringing(peer, webhooks if name == "telnyx" else peer)
        peer.add_argument("--host", type=word, default="127.0.0.1", metavar="ADDRESS", help="address to listen on")
        peer.add_argument(
            "--port",
            type=PORT,
            default=SANDBOX_PORTS[name],
            metavar="PORT",
            help="port to listen on; 0 takes any free one",
        )
    realtime.add_argument(
        "--control-port",
        type=PORT,
        metavar="PORT",
        help="where faults are set; 0 takes any free one (default: the one after --port)",
    )
    for name, peer in (("telnyx", telnyx), ("realtime", realtime)):
        peer.add_argument(
            "--api-key", type=word, default=SANDBOX_KEYS[name], metavar="KEY", help="the key that the server must bring"
        )


def _ringing(peer: Parser, beside: argparse._ActionsContainer) -> None:
    """Add what belongs to a call that the emulated carrier makes to anybody's server."""
    beside.add_argument(
        "--target",
        type=web_url,
        metavar="URL",
        help="ring the server once at the URL where its webhooks come in (default: ring nobody)",
    )
    peer.add_argument("--wav", type=file, metavar="FILE", help="what the caller says: a recording (default: nothing)")
    peer.add_argument(
        "--seconds",
        type=number(1, 3600),
        metavar="S",
        help="the caller hangs up so long after the answer (default: 20)",
    )
    numbers = (("from", "from which the caller rings", "+15550100001"), ("to", "that is rung", "+15550100002"))
    for side, which, default in numbers:
        peer.add_argument(
            f"--{side}",
            dest=f"{side}_number",
            type=word,
            metavar="NUMBER",
            help=f"the number {which} (default: {default})",
        )
    if beside is peer:
        peer.add_argument("--status-url", type=web_url, metavar="URL", help="where status callbacks go (default: none)")
        peer.add_argument("--account-sid", type=word, metavar="SID", help="its account (default: an emulated one)")
        peer.add_argument(
            "--auth-token", type=word, metavar="TOKEN", help="signs the requests (default: the emulated account's)"
        )


def _bench(parser: Parser) -> None:
    parser.description = (
        "Measures this machine. Exit code 0: there are figures; 1: the calls did not come about; 2: the words cannot be"
        " used."
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("calls", "cluster", "simulation", "workers"),
        default="calls",
        help="calls: this server, from outside; cluster: what a database carries that several processes share;"
        " simulation: 50 nodes with 10,000 calls in virtual time, some of which die; workers: the calls of one process"
        " and of two, each held to 0.3 of a core (default: calls)",
    )
    parser.add_argument("--calls", type=whole(1, 5000), default=40, metavar="N", help="how many calls at once")
    parser.add_argument(
        "--seconds",
        type=number(1, 86400),
        default=None,
        metavar="S",
        help="how long they talk, in seconds (default: 10); with cluster: how long each figure is measured (default:"
        " 1.5); with simulation: virtual seconds (default: 300); with workers: for each number of calls (default: 3)",
    )
    parser.add_argument(
        "--seed", type=whole(0), default=1, metavar="N", help="with simulation: the same number, the same course"
    )
    parser.add_argument(
        "--recorded",
        type=whole(0, 10_000_000),
        default=100_000,
        metavar="N",
        help="how many calls in this server's history to search in, where it is measured; 0: leave that out",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=("callflow", "workers", "twilio", "websockets", "naive", "splice"),
        help="measure only this program; may be given more than once; workers: this server as two processes, which"
        " share that core; twilio: this server, called by way of Twilio; websockets: this server with that"
        " media_server (default: all but these three)",
    )
    parser.add_argument(
        "--watched",
        nargs="?",
        const="pages",
        choices=("pages", "answers", "control"),
        help="measure the same calls in turn with and without viewers on the operators' page (default: off); answers:"
        " with and without questions that have large answers; control: with and without the same questions to another"
        " program on the server's core",
    )
    parser.add_argument(
        "--peers",
        type=file,
        nargs="?",
        const=True,
        metavar="FOLDER",
        help="measure openai-agents and pipecat as well, which are installed from the package index into this folder"
        " (default: one in the user's folder for caches); the first time takes minutes and 700 MB",
    )
    parser.add_argument(
        "--json",
        type=file,
        metavar="FILE",
        help="also write the figures to this file, which must not be there yet (default: no file)",
    )
