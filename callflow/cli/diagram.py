"""`python -m callflow.cli.diagram`: writes the machine's diagram, table and conditions into docs/architecture.md, and
its states and edges into a module of the operators' page, which draws them.

All are made from `callflow.call.machine.table`. To find the commands of each row, every state that a call can reach is
visited, and every event is tried in it.
"""

from __future__ import annotations

import json
import re
import sys
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from callflow.call import machine
from callflow.call.machine import TABLE, Fallback, Model, Row, Step
from callflow.call.machine.guards import Guard
from callflow.cli.generated_file import bring_up_to_date
from callflow.contracts import commands, events


PAGE: Final = Path(__file__).parents[2] / "docs" / "architecture.md"
MODULE: Final = Path(__file__).parents[1] / "web" / "console" / "static" / "machine_table.js"
COMMAND: Final = "python -m callflow.cli.diagram"
_CLOCKS: Final = (commands.Arm.name, commands.Disarm.name)
_NUMBERS: Final[dict[tuple[str, str], list[int]]] = {}
"""The rows of the table by trigger and state, in its order."""
for _number, _each in enumerate(TABLE):
    for _source in _each.sources:
        _NUMBERS.setdefault((_each.trigger, _source), []).append(_number)


def edges() -> dict[tuple[str, str], list[str]]:
    """Return the changes of state, each with the events that bring it about."""
    triggers: dict[tuple[str, str], dict[str, None]] = {}
    for row in TABLE:
        for source in row.sources:
            if row.dest not in (None, source):
                triggers.setdefault((source, str(row.dest)), {})[row.trigger] = None
    return {edge: list(names) for edge, names in triggers.items()}


def diagram() -> str:
    """Return the rows that change the state, as a Mermaid state diagram."""
    lines = [f"    {source} --> {dest}: {'<br/>'.join(names)}" for (source, dest), names in edges().items()]
    start, end = f"    [*] --> {machine.RINGING}", f"    {machine.HANGUP} --> [*]"
    return "\n".join(["```mermaid", "stateDiagram-v2", start, *lines, end, "```"])


def module() -> str:
    """Return the states and the changes of state, as a module of the operators' page."""
    lines = [f"  {json.dumps([*edge, names])}," for edge, names in edges().items()]
    head = f"// The states of a call, and [from, to, on which events] of each change. Made by `{COMMAND}`."
    states = f"export const STATES = {json.dumps(machine.STATES)};"
    return "\n".join([head, states, "export const EDGES = [", *lines, "];", ""])


@cache
def rows() -> str:
    """Return all rows in their order, as a Markdown table."""
    given = _commands()
    lines = ["| on | in | if | then it is | and the call is told to |", "|---|---|---|---|---|"]
    for row, told in zip(TABLE, given, strict=True):
        cells = (f"`{row.trigger}`", ", ".join(row.sources), _conditions(row), row.dest or "", told)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def conditions() -> str:
    """Return what each condition of the table means, as a Markdown table in the order of the alphabet."""
    guards = {guard for row in TABLE for guard in (*row.when, *row.unless)}
    meanings = sorted((_named(guard), _meaning(guard)) for guard in guards)
    return "\n".join(
        ["| if | it holds when |", "|---|---|", *(f"| {name} | {meaning} |" for name, meaning in meanings)]
    )


def render(page: str) -> str:
    """Return the page with the parts between its markers written again. Raises ValueError if a marker is missing."""
    for name, text in (("diagram", diagram()), ("rows", rows()), ("conditions", conditions())):
        begin, end = f"<!-- {name}: drawn by `{COMMAND}` -->", f"<!-- end of {name} -->"
        marked = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        drawn = f"{begin}\n{text}\n{end}"
        page, count = marked.subn(lambda _, drawn=drawn: drawn, page)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"the page must hold {begin} … {end} once")
    return page


def _conditions(row: Row) -> str:
    return ", ".join([*map(_named, row.when), *(f"unless {_named(condition)}" for condition in row.unless)])


def _named(condition: Guard) -> str:
    return condition.__name__.replace("_", " ")


def _meaning(condition: Guard) -> str:
    text = " ".join((condition.__doc__ or "").split()).removeprefix("Return whether ")
    return text[:1].upper() + text[1:]


@cache
def _commands() -> list[str]:
    """For each row the commands that it gives, clocks left out; in brackets those that it does not always give."""
    taken: list[list[tuple[str, ...]]] = [[] for _ in TABLE]
    every = list(_every_event())
    of_fallback = [Fallback("+15550100010", spoken=spoken) for spoken in (False, True)]
    starts = [Model(), *(Model(engine_tries=0, stream_tries=0, fallback=each) for each in of_fallback)]
    seen, waiting = {start.key() for start in starts}, deque(starts)
    while waiting:
        before = waiting.popleft()
        for event in every:
            if (number := _row(before, event)) is None:
                continue
            step = machine.take(model := before.copy(), event)
            if not step.taken:  # a deadline that is not armed
                continue
            names = tuple(_told(command) for command in step.commands if command.name not in _CLOCKS)
            taken[number].append(names)
            if (key := model.key()) not in seen:
                seen.add(key)
                waiting.append(model)
    return [_summary(steps) for steps in taken]


def _summary(steps: list[tuple[str, ...]]) -> str:
    names = dict.fromkeys(name for names in steps for name in names)
    always = {name for name in names if all(name in step for step in steps)}
    return ", ".join(name if name in always else f"({name})" for name in names)


def _told(command: commands.Command) -> str:
    about = next((f" “{value}”" for name in ("clip", "sentence") if (value := getattr(command, name, ""))), "")
    return command.name.replace("_", " ") + about


def _row(model: Model, event: events.Event) -> int | None:
    """Return which row an event takes in this state: the first whose conditions hold."""
    step = Step(event, model.state)
    for number in _NUMBERS.get((event.trigger, model.state), ()):
        row = TABLE[number]
        if all(holds(model, step) for holds in row.when) and not any(holds(model, step) for holds in row.unless):
            return number
    return None


def _every_event() -> Iterator[events.Event]:
    yield from (kind() for kind in events.KINDS.values())
    yield from (events.DeadlinePassed(deadline=name) for name in machine.DEADLINES)
    yield events.AnsweredBy(who="fax", then="hang_up")
    yield events.AnsweredBy(who="machine", then="hang_up")
    yield from (events.AnsweredBy(who="machine", then="message", ready=ready) for ready in (False, True))
    yield events.GoodbyeRequested(fall_back=True)
    for kind in (commands.Answer, commands.StartStream, commands.Speak, commands.Transfer):
        yield from (events.CommandFailed(command=kind.name, gone=gone) for gone in (False, True))


def main() -> int:
    """Write the page and the module, unless they are up to date. Returns 0."""
    bring_up_to_date(MODULE, module())
    return bring_up_to_date(PAGE, render(PAGE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main())
