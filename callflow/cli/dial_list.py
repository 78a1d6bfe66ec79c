"""`server.py dial --list`: hands a list of numbers to the running server, and shows how far it has come.

Exit codes: 0, the list is finished, or was only looked at; 1, it is not; 2, the words or the list cannot be used, no
server is running, or it has refused.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
import uuid
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import quote, urlencode

from callflow import runtime
from callflow.cli.operators_port import OperatorsPort, read_settings
from callflow.cli.server_away import AWAY_SECONDS, Answer, ask_until_back
from callflow.contracts import printable
from callflow.contracts.errors import AnswerLost, CommandLineError, ConsoleError


_SEND_SECONDS: Final = 300.0
"""The server checks each number of the list before it answers."""
_LOOK_SECONDS: Final = 1.0
_MOST_BYTES: Final = 32 << 20
_MOST_SHOWN: Final = 20
_QUERY: Final = {
    "profile": "profile", "carrier": "carrier", "from_number": "from", "say": "greeting", "hours": "hours",
    "weekdays": "weekdays", "attempts": "attempts", "at_once": "at_once", "per_second": "calls_per_second",
}  # fmt: skip
"""Parameters of the request, by the names of the options."""
FOR_LISTS: Final = {"hours": "--hours", "weekdays": "--weekdays", "attempts": "--attempts", "at_once": "--at-once",
                    "per_second": "--per-second", "dry_run": "--dry-run"}  # fmt: skip
"""Options that mean nothing without a list."""


def run(arguments: argparse.Namespace) -> int:
    """Hand over a list, or go on with one, and show it until it is finished. Returns the exit code, see above. Raises
    CommandLineError."""
    port = OperatorsPort(read_settings())
    if arguments.resume is not None:
        return runtime.run_interruptible(_List(port).go_on(arguments.resume))
    body = _read(arguments.list)
    return runtime.run_interruptible(_List(port).make(arguments, body))


def _read(path: Path) -> bytes:
    """Return the file. Raises CommandLineError."""
    try:
        with path.open("rb") as file:
            body = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise CommandLineError(f"{printable.line(str(path))} cannot be read: {error.strerror}.") from None
    if len(body) > _MOST_BYTES:
        raise CommandLineError(f"{printable.line(str(path))} is larger than {_MOST_BYTES >> 20} MB: send it in parts.")
    return body


class _List:
    """One list of calls that is made and watched."""

    def __init__(self, port: OperatorsPort) -> None:
        self._port = port
        self._stop: asyncio.Event
        self._shown = ""

    async def make(self, arguments: argparse.Namespace, body: bytes) -> int:
        """Hand over the list, say what is skipped, then let it begin. Returns the exit code."""
        query = {to: getattr(arguments, name) for name, to in _QUERY.items() if getattr(arguments, name) is not None}
        query |= {"record": "true"} if arguments.record else {}
        query |= {"dry_run": "true"} if arguments.dry_run else {"start": "paused", "name": arguments.list.name[:200]}
        key = {} if arguments.dry_run else {"Idempotency_Key": arguments.key or str(uuid.uuid4())}
        path = f"/api/campaigns?{urlencode(query)}"

        async def ask() -> Answer:
            more = {"Content_Type": "text/csv", **key}
            return await asyncio.to_thread(self._port.ask, "POST", path, body, seconds=_SEND_SECONDS, **more)

        try:
            status, told = await ask()
        except AnswerLost as lost:
            _say(f"{lost} It is asked again, with the same key: no list is made twice.")
            status, told = await ask_until_back(ask, _say)
        if status >= 400:
            return _refused(told)
        for warning in told.get("warnings") or ():
            _say(f"(warning: {warning})")
        if "called" in told:
            _print_skipped(told)
        else:
            print("This key has made a list before: it goes on, and nobody is called twice.", flush=True)
        if arguments.dry_run:
            return 0
        return await self.go_on(str(told["id"]))

    async def go_on(self, campaign: str) -> int:
        """Let a list that is paused go on, and follow it. Returns the exit code."""
        path = f"/api/campaigns/{quote(campaign, safe='')}"
        self._stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._press)
        status, told = await self._ask_until_back("POST", f"{path}/resume")
        if status not in (200, 409):  # 409: it is over
            return _refused(told)
        try:
            return await self._follow(path, campaign)
        except ConsoleError as error:
            _say(f"{error}\nThe list goes on when the server is back: {_how(campaign)} shows it.")
            return 2

    def _press(self) -> None:
        self._stop.set()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        runtime.quiet()  # from now on Ctrl-C ends this command at once

    async def _follow(self, path: str, campaign: str) -> int:
        told_at = monotonic()
        while True:
            if self._stop.is_set():
                status, told = await self._ask_until_back("POST", f"{path}/pause")
                if status < 400:
                    self._show(told)
                    _say(f"The list is paused; calls that are going on end by themselves. {_how(campaign)} resumes it.")
                    return 1
            status, told = await self._ask_until_back("GET", path)
            if status < 400:
                told_at = monotonic()
                self._show(told)
                if told["state"] in ("finished", "cancelled", "paused"):
                    return _outcome(told, campaign)
            elif status == 404 or monotonic() - told_at > AWAY_SECONDS:
                return _refused(told)
            try:
                await asyncio.wait_for(self._stop.wait(), _LOOK_SECONDS)
            except TimeoutError:
                pass

    def _show(self, told: dict[str, Any]) -> None:
        line = _progress(told)
        if line != self._shown:
            print(f"{time.strftime('%H:%M:%S')}  {printable.line(line)}", flush=True)
        self._shown = line

    async def _ask_until_back(self, method: str, path: str) -> Answer:
        async def ask() -> Answer:
            return await asyncio.to_thread(self._port.ask, method, path)

        return await ask_until_back(ask, _say)


def _progress(told: dict[str, Any]) -> str:
    """Return how far a list has come, in one line."""
    states, outcomes = told["by_state"], told["by_outcome"]
    over = sum(states.get(name, 0) for name in ("done", "given_up", "cancelled"))
    parts = [f"{over} of {told['rows'] - states.get('skipped', 0)} are over"]
    parts += [f"{count} {name.replace('_', ' ')}" for name, count in sorted(outcomes.items())]
    parts += [f"{states['dialling']} on the line"] if states.get("dialling") else []
    parts += [f"the next at {told['next']}"] if told["next"] and not states.get("dialling") else []
    return ", ".join(parts)


def _print_skipped(told: dict[str, Any]) -> None:
    skipped = told["skipped"]
    print(f"{told['called']} of {told['rows']} rows are called, {skipped['rows']} are skipped.")
    for each in skipped["first"][:_MOST_SHOWN]:
        print(f"  line {each['line']}: {printable.line(each['reason'])}")
    if skipped["rows"] > _MOST_SHOWN:
        print(f"  and {skipped['rows'] - _MOST_SHOWN} more:")
        for reason, count in skipped["reasons"].items():
            print(f"  {count} × {printable.line(reason)}")
    sys.stdout.flush()


def _outcome(told: dict[str, Any], campaign: str) -> int:
    if told["state"] == "finished":
        print("The list is finished.")
        return 0
    why = f": {told['error']}" if told["error"] else ""
    how = f" {_how(campaign)} resumes it." if told["state"] == "paused" else ""
    _say(f"The list is {told['state']}{why}.{how}")
    return 1


def _how(campaign: str) -> str:
    return f"`python server.py dial --resume {campaign}`"


def _refused(told: dict[str, Any]) -> int:
    for reason in told.get("problems") or [told.get("error", "The server has refused.")]:
        _say(str(reason))
    return 2


def _say(text: str) -> None:
    print(printable.lines(text), file=sys.stderr, flush=True)
