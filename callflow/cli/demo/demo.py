"""`python server.py demo`: a whole spoken call on this machine, without keys and without a network.

The server is the real one; carrier and model are the sandbox's, on loopback sockets.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, Protocol

from rich.markup import escape
from rich.table import Table

from callflow.cli import output_file
from callflow.cli.demo import wav
from callflow.cli.demo.call_progress import line_of
from callflow.cli.demo.picture import CallDrawer
from callflow.cli.demo.scenarios import SCENARIOS, Scenario, tools_file
from callflow.cli.demo.story import Caller, Outcome, Stage, Story, whole_call
from callflow.cli.terminal import Screen
from callflow.config.settings import Settings
from callflow.contracts import errors
from callflow.history.history import History
from callflow.journal import notes
from callflow.journal.live_feed import LiveEvent, LiveFeed
from callflow.sandbox.openai_realtime import Realtime
from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.twilio import Twilio
from callflow.switchboard.switchboard import Switchboard


_STYLES = {"agent": "cyan", "caller": "yellow", "interrupted": "bold red", "line": "green"}
_OUT: Final = Path("demo.wav")
"""In the folder in which the command was started."""
_MOST_WARNINGS: Final = 20
_WHICH_CALL: Final = re.compile(r"^call [^ ]+: ")


class OpenApplication(Protocol):
    """The parts of `callflow.app.Application` that the demo uses."""

    settings: Settings
    live: LiveFeed
    switchboard: Switchboard
    history: History
    public_at: tuple[str, int]
    console_at: tuple[str, int]


_CARRIERS: Final[dict[str, Callable[[], Telnyx | Twilio]]] = {
    "telnyx": lambda: Telnyx(webhook_url="http://127.0.0.1:9/webhooks", api_key="KEY_of_the_demo"),
    "twilio": lambda: Twilio("https://phone.example"),
}
Open = Callable[[Settings], AbstractAsyncContextManager[OpenApplication]]


def run(arguments: argparse.Namespace, open_line: Open) -> Any:
    """Return the coroutine that runs the demo; its result is the exit code."""
    return _demo(arguments, open_line)


class DemoReporter(logging.Handler):
    """Prints a line for each thing that happens, and collects the server's warnings for the end."""

    def __init__(self, console: Screen) -> None:
        super().__init__(logging.WARNING)
        self._console = console
        self._began = time.time()
        self.calling = False
        self.who = "caller"
        """What the person at the telephone is called."""
        self._warned: list[str] = []

    def begin(self) -> None:
        """Start the clock of the call."""
        self._began = time.time()

    def __call__(self, who: str, what: str, at: float | None = None) -> None:
        elapsed = (time.time() if at is None else at) - self._began
        style, name = _STYLES.get(who, "white"), self.who if who == "caller" else who
        self._console.print(f"[dim]{elapsed:6.2f} s[/]  [{style}]{name:<12}[/] {escape(what)}")

    def emit(self, record: logging.LogRecord) -> None:
        """Collect a warning, once."""
        warning = _WHICH_CALL.sub("", record.getMessage())
        if len(self._warned) < _MOST_WARNINGS and warning not in self._warned:
            self._warned.append(warning)

    def warnings(self) -> list[str]:
        """Return the warnings that were not returned before."""
        warned, self._warned = self._warned, []
        return warned


async def _demo(arguments: argparse.Namespace, open_line: Open) -> int:
    console = Screen(highlight=False, soft_wrap=True)
    out = arguments.out if arguments.out is not None else _free(_OUT)
    caller = Caller.rendered()
    try:
        if arguments.wav is not None:
            caller = Caller.recorded(wav.load(arguments.wav), arguments.wav.name)
    except errors.UnreadableRecording as error:
        print(error, file=sys.stderr)
        return 2
    drawer = CallDrawer(arguments, out)
    if (problem := _cannot_write(out) or drawer.problem()) is not None:
        print(problem, file=sys.stderr)
        return 2
    tell = DemoReporter(console)
    logging.getLogger().addHandler(tell)
    try:
        return await _calls(console, tell, arguments, open_line, caller, out, drawer)
    except asyncio.CancelledError:
        print("Stopped before the call had ended: it is not recorded." if tell.calling else "Stopped.", file=sys.stderr)
        raise
    finally:
        logging.getLogger().removeHandler(tell)


async def _calls(
    console: Screen,
    tell: DemoReporter,
    arguments: argparse.Namespace,
    open_line: Open,
    caller: Caller,
    out: Path,
    drawer: CallDrawer,
) -> int:
    stage = Stage()
    scenario = SCENARIOS.get(getattr(arguments, "scenario", None) or "")
    name = getattr(arguments, "carrier", "telnyx")
    tell.who = scenario.who if scenario is not None else "caller"
    async with _sandbox(open_line, _CARRIERS[name](), stage, scenario) as (carrier, realtime, line):
        about = f" This time {scenario.about}." if scenario is not None else ""
        console.print(
            f"A call on this machine: the real server between an emulated {type(carrier).__name__} and an emulated"
            f" model.{about}\n"
        )

        async def one_call() -> int:
            return await _one_call(console, tell, carrier, realtime, stage, line, caller, scenario, out, drawer)

        code = await one_call()
        while arguments.keep:
            token = line.settings.console_token.get_secret_value()
            how = f", with the header Authorization: Bearer {token}" if token else ""
            console.print(
                f"\nThe history of the calls: http://{line.console_at[0]}:{line.console_at[1]}/api/calls{how}"
            )
            console.print("Press Enter for another call, Ctrl-C to stop.")
            await _enter()
            code = await one_call()
    return code


def _free(path: Path) -> Path:
    with contextlib.suppress(OSError):
        return next(name for name in output_file.names(path) if not name.exists())
    return path


def _cannot_write(out: Path) -> str | None:
    """Return why the recording cannot be written, before the call begins; None if it can be."""
    if out.suffix.lower() not in ("", ".wav"):
        return f"{out} does not end in .wav, and the call is recorded as a WAV file: name another one with --out."
    return output_file.problem(out, "--out")


async def _enter() -> None:
    """Wait until a line was typed; for ever if there is no terminal."""
    loop = asyncio.get_running_loop()
    typed = asyncio.Event()

    def read() -> None:
        # By itself, not by sys.stdin: a thread that waits in there would hold up the end of the process.
        with contextlib.suppress(OSError, RuntimeError):
            if os.read(0, 4096):
                loop.call_soon_threadsafe(typed.set)

    threading.Thread(target=read, name="demo-enter", daemon=True).start()
    await typed.wait()


@contextlib.asynccontextmanager
async def _sandbox(
    open_line: Open, carrier: Telnyx | Twilio, stage: Stage, scenario: Scenario | None
) -> AsyncIterator[tuple[Telnyx | Twilio, Realtime, OpenApplication]]:
    with tempfile.TemporaryDirectory(prefix="callflow-demo-") as folder:
        async with (
            carrier,
            Realtime(script=stage) as realtime,
        ):
            chosen: dict[str, Any] = {
                "openai_api_key": realtime.api_key,
                "openai_realtime_url": realtime.url,
                "openai_live_url": realtime.live_url,
                **carrier.settings(),
                "port": 0,
                "console_port": 0,
                "data_dir": folder,
                "tools_file": tools_file(Path(folder), scenario),
                **(scenario.settings if scenario is not None else {}),
            }
            settings = Settings(**chosen)
            async with open_line(settings) as line:
                server = f"http://{line.public_at[0]}:{line.public_at[1]}"
                carrier.set_server(server)
                realtime.sip.webhook_url = f"{server}/openai/webhook"
                yield carrier, realtime, line


async def _one_call(
    console: Screen,
    tell: DemoReporter,
    carrier: Telnyx | Twilio,
    realtime: Realtime,
    stage: Stage,
    line: OpenApplication,
    caller: Caller,
    scenario: Scenario | None,
    out: Path,
    drawer: CallDrawer,
) -> int:
    news: list[LiveEvent] = []

    async def written() -> dict[str, bytes]:
        await line.history.journal.flushed()
        return _files(Path(line.settings.data_dir))

    tell.begin()
    tell.calling = True
    with line.live.watch() as watcher:
        watching = asyncio.create_task(_watch(watcher, news, tell), name="demo-watch")
        story = Story(
            carrier, realtime, stage, news, tell, lambda: not line.switchboard.calls and _ended(news), written,
            line.console_at, tell.who,
        )  # fmt: skip
        playing = asyncio.create_task(
            story.play(scenario.play, scenario.begin)
            if scenario is not None
            else story.play(lambda told: whole_call(told, caller))
        )
        try:
            # The watching ends first only when nobody reads on.
            await asyncio.wait({playing, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                await watching
            outcome = await playing
        finally:
            playing.cancel()
            watching.cancel()
            await asyncio.gather(playing, watching, return_exceptions=True)
    kept = _record(story, out)
    tell.calling = False
    _report(console, tell.warnings(), outcome, _waits(news), kept, drawer.keep(story, news), tell.who)
    return 1 if outcome.missing else 0


def _files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def _record(story: Story, out: Path) -> Path | None:
    """Where the recording is; None: nowhere."""
    with tempfile.TemporaryDirectory(prefix="callflow-demo-") as folder:
        path = Path(folder) / "call.wav"
        try:
            story.write(path)
            return output_file.keep(path.read_bytes(), out)
        except OSError as error:
            story.outcome.missing.append(f"the call was recorded ({out}: {error.strerror or error})")
            return None


def _ended(news: list[LiveEvent]) -> bool:
    return any(one.kind == notes.Ended.kind for one in news)


async def _watch(watcher: Any, news: list[LiveEvent], tell: DemoReporter) -> None:
    async for one in watcher:
        news.append(one)
        line = line_of(one)
        if line is not None:
            tell(*line, one.at)


def _waits(news: list[LiveEvent]) -> list[notes.Latency]:
    return [note for one in news if isinstance(note := one.note, notes.Latency)]


_WATERFALL_COLUMNS = 76
_PARTS = (("noticed", "detection_ms"), ("model", "engine_ms"), ("Callflow", "own_ms"), ("carrier", "carrier_ms"))


def _waterfall(waits: list[notes.Latency]) -> Table:
    """How long the caller waited for each answer, from their last word to the first sound, and for what."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left", title_style="")
    for name in ("answer", *(part for part, _ in _PARTS), "in all", ""):
        table.add_column(name, justify="left" if not name else "right", style="dim" if not name else "")
    longest = max(wait.total_ms for wait in waits)
    for number, wait in enumerate(waits, 1):
        bar = "".join(
            shade * round(20 * getattr(wait, key) / max(longest, 1))
            for shade, (_, key) in zip("░█▓▒", _PARTS, strict=True)
        )
        figures = [f"{getattr(wait, key)} ms" for _, key in _PARTS]
        table.add_row(str(number), *figures, f"{wait.total_ms} ms", bar)
    return table


def _waits_in_words(waits: list[notes.Latency]) -> str:
    """The same where a table has no room."""
    return "\n".join(
        f"{number}. {wait.total_ms} ms: " + ", ".join(f"{name} {getattr(wait, key)}" for name, key in _PARTS)
        for number, wait in enumerate(waits, 1)
    )


def _report(
    console: Screen,
    warnings: list[str],
    outcome: Outcome,
    waits: list[notes.Latency],
    kept: Path | None,
    drawn: Path | None,
    who: str,
) -> None:
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for what in outcome.done:
        table.add_row("[green]yes[/]", escape(what))
    for what in outcome.missing:
        table.add_row("[bold red]no[/]", escape(what))
    console.print()
    console.print(table)
    console.print()
    figures = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, figure in outcome.figures:
        figures.add_row(name, figure)
    console.print(figures)
    if kept is not None:
        console.print(f"\nThe call as a stereo recording: {escape(str(kept.resolve()))}")
    if drawn is not None:
        console.print(f"The call as a picture: {escape(str(drawn.resolve()))}")
    if waits:
        console.print(f"\nFrom the {who}'s last word to the first sound of the answer, as heard at the telephone:\n")
        console.print(_waterfall(waits) if console.width >= _WATERFALL_COLUMNS else _waits_in_words(waits))
    if warnings:
        console.print("\nMeanwhile the server has warned in its log:\n")
        for warning in warnings:
            console.print(f"- {escape(warning)}")
    if outcome.missing:
        things = "1 thing" if len(outcome.missing) == 1 else f"{len(outcome.missing)} things"
        console.print(f"\n[bold red]{things} did not happen as they should.[/]")
