"""`server.py dial`: asks the running server to make an outbound call, and shows it while it goes on.

Exit codes: 0, the call was answered; 1, it was not, or that cannot be told; 2, nobody was dialled: the words or the
settings cannot be used, no server is running, or it has refused.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import re
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Final, TypeVar

import msgspec

from callflow import runtime
from callflow.cli import dial_list
from callflow.cli.dial_progress import Progress
from callflow.cli.operators_port import OperatorsPort, read_settings, says_why
from callflow.cli.safe_output import leave_pipe
from callflow.cli.server_away import AWAY_SECONDS, POLL_SECONDS, ask_until_back
from callflow.config import profiles
from callflow.config.phone_numbers import Numbers, is_possible
from callflow.config.settings import Settings
from callflow.contracts import printable
from callflow.contracts.errors import AnswerLost, CommandLineError, ConsoleError, OutputError
from callflow.journal.journal import JournalEntry


_ASK_SECONDS: Final = 20.0
"""For the answer to the dial; the server waits 12 s for the carrier's."""
_SHARE: Final = 10
"""A journal that takes long to send is asked for less often: this many times as long lies between."""
_OVERLAP: Final = 200
"""Entries that are asked for again: in the database their order may be another one than in memory."""
_LAST_WORDS_SECONDS: Final = 60.0
"""How long the end of a call that is hung up may be in coming."""
_E164: Final = re.compile(r"\+[0-9]+")
_WHAT: Final = "a number is dialled in E.164, + and country code and number without blanks, such as +15550100001"
_WAYS: Final = ("goodbye", "now")
"""How the call is ended, by the number of the Ctrl-C."""
_ENDS: Final = {
    "goodbye": "Ctrl-C: the call ends after a goodbye; once more ends it at once",
    "now": "Ctrl-C: the call ends at once; once more leaves it alone",
}
T = TypeVar("T")


@says_why
def run(arguments: argparse.Namespace) -> int:
    """Dial, and show the call until it is over. Returns the exit code, see above."""
    if _is_list(arguments):
        return dial_list.run(arguments)
    configured = read_settings()
    body = _body(arguments, configured)
    port = OperatorsPort(configured)
    return runtime.run_interruptible(_Call(port).show(body, arguments.key or str(uuid.uuid4())))


def _is_list(arguments: argparse.Namespace) -> bool:
    """Return whether a list is to be called, and not one number. Raises CommandLineError."""
    if sum((bool(arguments.number), arguments.list is not None, arguments.resume is not None)) != 1:
        raise CommandLineError("Whom to call? Give one of a number, --list FILE and --resume ID.")
    if arguments.list is None:
        for name, option in dial_list.FOR_LISTS.items():
            if getattr(arguments, name):
                raise CommandLineError(f"{option} belongs to --list: it says how a list is called.")
    return not arguments.number


def _body(arguments: argparse.Namespace, configured: Settings) -> dict[str, Any]:
    """Return the body of the request. Raises CommandLineError."""
    body: dict[str, Any] = {"toNumber": _number(" ".join(arguments.number), configured)}
    if arguments.from_number is not None:
        body["from"] = _number(arguments.from_number, configured)
    chosen = {"carrier": arguments.carrier, "profile": arguments.profile, "greeting": arguments.say}
    body |= {name: value for name, value in chosen.items() if value is not None}
    return body | ({"record": True} if arguments.record else {})


def _number(given: str, configured: Settings) -> str:
    """Return a number that is in E.164. Raises CommandLineError, with the number that may have been meant."""
    if _E164.fullmatch(given):
        return given
    numbers = Numbers(profiles.country(configured))
    plain = numbers.normal(given)
    told = f"{printable.quoted(given)}: {_WHAT}."
    if not _E164.fullmatch(plain) or not is_possible(plain):
        raise CommandLineError(told)
    if not numbers.assumes_country(given):
        raise CommandLineError(f"{told} If you mean {plain}, write it so.")
    if configured.default_country:
        raise CommandLineError(
            f"{told} In {numbers.country} (default_country) it is {plain}: if you mean that, write it so."
        )
    raise CommandLineError(f"{told} Without a country code it is another number in each country.")


class _Call:
    """One call that is made and watched."""

    def __init__(self, port: OperatorsPort) -> None:
        self._port = port
        self._progress = Progress()
        self._presses, self._asked = 0, 0
        """How often Ctrl-C was pressed, and how much of that the server was told."""
        self._pressed: asyncio.Event

    async def show(self, body: dict[str, Any], key: str) -> int:
        """Make the call and follow it. Returns the exit code. Raises CommandLineError."""
        self._pressed = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._press)
        dialled = await self._dial(body, key)
        if dialled is None:
            return 2
        try:
            await self._follow(dialled)
            print(f"\n{self._progress.outcome()}\n`python server.py calls {dialled[:8]}` tells it second by second.")
            sys.stdout.flush()
        except (ConsoleError, OutputError) as error:
            if isinstance(error, OutputError):
                leave_pipe(error)  # what is still to be written would be refused once more at the end
            say(f"{error}\nWhat became of the call is not known here: `python server.py calls {dialled[:8]}` tells it.")
            return 1
        return 0 if self._progress.is_answered else 1

    def _press(self) -> None:
        say(_ENDS[_WAYS[self._presses]])
        self._presses += 1
        self._pressed.set()
        if self._presses >= len(_WAYS):
            asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
            runtime.quiet()  # from now on Ctrl-C ends this command at once

    async def _dial(self, body: dict[str, Any], key: str) -> str | None:
        """Return the id of the call; None: the server has refused, and why was said."""

        async def ask() -> tuple[int, dict[str, Any]]:
            return await self._ask("POST", "/api/calls", body, seconds=_ASK_SECONDS, Idempotency_Key=key)

        is_repeated = False
        try:
            status, told = await ask()
        except AnswerLost as lost:
            is_repeated = True
            say(f"{lost} It is asked again, with the same key: nobody is dialled twice.")
            status, told = await self._ask_until_back(ask)
        if status >= 400 or not isinstance(told.get("id"), str):
            for reason in told.get("problems") or [told.get("error", f"The server answered {status}.")]:
                say(str(reason))
            return None
        for warning in told.get("warnings") or ():
            say(f"(warning: {warning})")
        if told.get("new") is False and not is_repeated:
            print("This key has made a call before: it is shown, and nobody is dialled.", flush=True)
        return str(told["id"])

    async def _follow(self, call: str) -> None:
        """Show what happens until the call has ended. Raises ConsoleError if nobody can be asked any more."""
        over_at, known = 0.0, 0
        told_at = monotonic()
        while True:
            began = monotonic()
            await self._end_if_asked(call)
            after = max(known - _OVERLAP, 0)
            ask = functools.partial(self._ask, "GET", f"/api/calls/{call}?after={after}")
            status, told = await self._ask_until_back(ask)
            entries = _entries(told)
            if status < 400:
                told_at, known = monotonic(), after + len(entries)
            elif monotonic() - told_at > AWAY_SECONDS:
                raise ConsoleError(str(told["error"]))
            for at, line in self._progress.feed(entries):
                print(f"{at:8.2f} s  {printable.line(line)}", flush=True)
            if self._progress.has_ended:
                return
            over_at = over_at or (monotonic() if self._progress.is_over else 0.0)
            if over_at and monotonic() - over_at > _LAST_WORDS_SECONDS:
                return
            await self._pause(max(POLL_SECONDS, _SHARE * (monotonic() - began)))

    async def _end_if_asked(self, call: str) -> None:
        if self._presses <= self._asked:
            return
        self._asked = self._presses
        when = _WAYS[self._presses - 1]
        status, told = await self._ask_until_back(
            lambda: self._ask("POST", f"/api/calls/{call}/hangup", {"when": when})
        )
        if status >= 400 and status != 409:  # 409: it is over already
            say(str(told["error"]))

    async def _ask_until_back(
        self, ask: Callable[[], Awaitable[tuple[int, dict[str, Any]]]]
    ) -> tuple[int, dict[str, Any]]:
        """Ask until the server answers, which may be away for a moment. Raises ConsoleError."""
        return await ask_until_back(ask, say)

    async def _ask(self, *words: Any, **more: Any) -> tuple[int, dict[str, Any]]:
        return await asyncio.to_thread(self._port.ask, *words, **more)

    async def _pause(self, seconds: float) -> None:
        """Wait, until Ctrl-C is pressed at the longest."""
        self._pressed.clear()
        if self._presses > self._asked:
            return
        try:
            await asyncio.wait_for(self._pressed.wait(), seconds)
        except TimeoutError:
            return


def _entries(told: dict[str, Any]) -> list[JournalEntry]:
    """Read the journal of a call from the server's answer. Raises ConsoleError."""
    try:
        return [each.renewed() for each in msgspec.convert(told.get("entries", []), list[JournalEntry])]
    except msgspec.ValidationError as error:
        raise ConsoleError(f"The server tells of the call what this version cannot read: {error}.") from None


def say(text: str) -> None:
    """Print what is no part of the call's story."""
    print(printable.lines(text), file=sys.stderr, flush=True)
