"""`python server.py drill`: breaks server, model and database under calls, and shows what the caller hears.

The servers are real processes, with settings of their own; carrier and model are the sandbox's, on loopback sockets.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import asdict
from time import monotonic
from typing import Any, Final

from rich import box
from rich.table import Table
from rich.text import Text

from callflow.cli.drill.cases import CASES, Case
from callflow.cli.drill.hearing import Sound
from callflow.cli.drill.stage import Outcome
from callflow.cli.terminal import Screen
from callflow.contracts.errors import DrillFailed


BOUND_SECONDS: Final = 12.0
"""The longest silence that a caller is expected to bear."""
_AT_ONCE: Final = 2
_CASE_SECONDS: Final = 60.0
_TELNYX: Final = (
    "Not in this list: a call of Telnyx's whose server is killed, with no second one and never started again. Nothing"
    " at Telnyx speaks to its caller then, so let something start the server again (systemd: Restart=always)."
)


def run(arguments: argparse.Namespace) -> Coroutine[Any, Any, int]:
    """Return the coroutine that runs the drill; its result is the exit code."""
    return _drill(arguments.carrier, as_json=arguments.json)


async def _drill(carrier: str, *, as_json: bool) -> int:
    began, turns, done = monotonic(), asyncio.Semaphore(_AT_ONCE), 0
    progress = sys.stderr if as_json else sys.stdout
    title = f"{len(CASES)} cases, {_AT_ONCE} at a time, with an emulated {carrier.capitalize()}."
    print(title, file=progress, flush=True)

    async def one(case: Case) -> Outcome:
        nonlocal done
        async with turns:
            outcome = await _play(case, carrier)
        done += 1
        print(f"  {done} of {len(CASES)}: {case.what}, {case.when}: {_verdict(outcome)}", file=progress, flush=True)
        return outcome

    outcomes = await asyncio.gather(*(one(case) for case in CASES))
    if as_json:
        print(json.dumps([_json(case, outcome) for case, outcome in zip(CASES, outcomes, strict=True)], indent=2))
    else:
        _show(outcomes)
        if carrier == "telnyx":
            print(f"\n{_TELNYX}")
        print(f"\n{_sum(outcomes)} It took {monotonic() - began:.0f} s.")
    if any(outcome.problem.startswith("not played") for outcome in outcomes):
        return 2
    return 0 if all(_is_well(outcome) for outcome in outcomes) else 1


async def _play(case: Case, carrier: str) -> Outcome:
    try:
        async with asyncio.timeout(_CASE_SECONDS):
            return await case.play(carrier)
    except (DrillFailed, OSError, TimeoutError, AssertionError) as error:
        said = str(error) or f"it took more than {_CASE_SECONDS:g} s"
        return Outcome([], 0.0, "", f"not played: {said}")


def _is_well(outcome: Outcome) -> bool:
    return not outcome.problem and bool(outcome.served) and outcome.silence_s <= BOUND_SECONDS


def _verdict(outcome: Outcome) -> str:
    if outcome.problem:
        return f"no: {outcome.problem}"
    if outcome.silence_s > BOUND_SECONDS:
        return f"no: {outcome.silence_s:.1f} s of silence"
    return f"yes, {outcome.served} after {outcome.sounds[-1].at:.1f} s"


def _show(outcomes: Sequence[Outcome]) -> None:
    table = Table(box=box.HORIZONTALS, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("what is broken", "when", "what the caller hears"):
        table.add_column(title, overflow="fold")
    for title in ("silence", ""):
        table.add_column(title, no_wrap=True, justify="right")
    for case, outcome in zip(CASES, outcomes, strict=True):
        verdict = Text("yes", "green") if _is_well(outcome) else Text("no", "bold red")
        table.add_row(case.what, case.when, Text(_told(outcome)), f"{outcome.silence_s:.1f} s", verdict)
    Screen(**({} if sys.stdout.isatty() else {"width": 140})).print(table)


def _told(outcome: Outcome) -> str:
    return "; ".join([*(_in_words(sound) for sound in outcome.sounds), *filter(None, [outcome.problem])])


def _in_words(sound: Sound) -> str:
    return f"{sound.at:.1f} s {sound.what}"


def _sum(outcomes: Sequence[Outcome]) -> str:
    bad = sum(not _is_well(outcome) for outcome in outcomes)
    if not bad:
        return f"No caller was left alone: the longest silence was {max(one.silence_s for one in outcomes):.1f} s."
    return (
        f"{bad} of {len(outcomes)} callers were left in silence for more than {BOUND_SECONDS:g} s, or were not served:"
        " docs/operations.md, “When something is down”, says what to set up."
    )


def _json(case: Case, outcome: Outcome) -> dict[str, Any]:
    return {
        "broken": case.what,
        "when": case.when,
        "wanted": case.wanted,
        "heard": [asdict(sound) for sound in outcome.sounds],
        "silence_seconds": round(outcome.silence_s, 2),
        "served_by": outcome.served,
        "problem": outcome.problem,
        "ok": _is_well(outcome),
    }
