"""The whole product over real sockets: an emulated carrier, an emulated model, and the server between them."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from callflow.app import Application
from callflow.call.call import Call
from callflow.call.replay import replay
from callflow.cluster.peers import NodeConfig
from callflow.config.settings import Settings
from callflow.journal.journal import BEGAN
from callflow.journal.notes import UnknownNote
from callflow.sandbox.common.pacer import Pacer
from callflow.sandbox.openai_realtime import Realtime
from callflow.sandbox.telnyx import Faults, Telnyx
from callflow.sandbox.twilio import Faults as TwilioFaults
from callflow.sandbox.twilio import Timing as TwilioTiming
from callflow.sandbox.twilio import Twilio
from callflow.web import listener
from tests.history import new_database
from tests.loop import Loop
from tests.ports import free_port


Result = TypeVar("Result")
Exchange = Telnyx | Twilio
PUBLIC = "https://phone.example"
"""Where an emulated Twilio finds the server."""
usual = "telnyx"
"""The carrier of a product that is given none."""


@dataclass
class Product:
    carrier: Exchange
    realtime: Realtime
    app: Application

    @property
    def telnyx(self) -> Telnyx:
        assert isinstance(self.carrier, Telnyx)
        return self.carrier

    @property
    def twilio(self) -> Twilio:
        assert isinstance(self.carrier, Twilio)
        return self.carrier

    @property
    def pacer(self) -> Pacer:
        """The clock of the callers' audio."""
        return self.carrier.exchange.pacer

    def actions(self, name: str) -> list[Any]:
        """The commands of one action that the carrier has obeyed or refused, in order, by Telnyx's names."""
        if isinstance(self.carrier, Twilio):
            return _twilio_actions(self.carrier, name)
        return [command for command in self.carrier.commands if command.action == name]

    def timeline(self) -> list[str]:
        """The transitions of the only call on record, as `before>after`."""
        (call,) = self.app.journal.calls()
        records = self.app.journal.read(call)
        return [f"{one.before}>{one.after}" for one in records if one.before != one.after]

    @property
    def call(self) -> Call:
        """The only live call, from the server's side."""
        (call,) = self.app.switchboard.calls
        return call

    def carrier_call(self) -> Any:
        """The newest call, from the carrier's side."""
        return list(self.carrier.calls.values())[-1]

    def happened(self, kind: str, call: str | None = None) -> list[dict[str, Any]]:
        """The events and notes of that name on record, in order: of one call, or of all."""
        names = self.app.journal.calls() if call is None else [call]
        events = [record.event for name in names for record in self.app.journal.read(name)]
        return [event for event in events if event["event"] == kind]

    async def until(self, condition: Callable[[], object], what: str, timeout: float = 10.0) -> None:
        await until(condition, what, timeout)

    async def quiet(self, timeout: float = 6.0) -> None:
        """Wait until no call is left, not even one whose last words are still to come."""
        board = self.app.switchboard
        await until(lambda: not (board.calls or board.unwritten), "the last call to be let go", timeout)


def _twilio_actions(carrier: Twilio, name: str) -> list[Any]:
    """Telnyx's names for what a document or a form asks for. An answer is a document, and no command."""
    if name == "answer":
        return [call for call in carrier.calls.values() if call.answered_at is not None]
    shapes = {"hangup": "completed", "streaming_start": "<Connect>", "speak": "<Say"}
    updates = [one for one in carrier.commands if one.action == "update"]
    return [one for one in updates if shapes.get(name, "?") in one.value("Status") + one.value("Twiml")]


async def until(condition: Callable[[], object], what: str, timeout: float = 10.0) -> None:
    """Poll a condition that has no event of its own; says what was waited for when it never came.

    The longer it takes the less often, every 5 to 20 ms: others wait beside this one.
    """
    pause = 0.005
    try:
        async with asyncio.timeout(timeout):
            while not condition():
                await asyncio.sleep(pause)
                pause = min(pause * 1.1, 0.02)
    except TimeoutError:
        raise AssertionError(f"waited {timeout:g} s for {what}") from None


def replayed(line: Application) -> None:
    """Every call that a test has made, run through the machine once more, must come out as it is on record."""
    for name in line.journal.calls():
        records = line.journal.read(name)
        if records and records[0].event["event"] == BEGAN:
            divergences = replay(records).divergences
            assert not divergences, f"call {name}: {divergences[0]}"


def in_schema(line: Application) -> None:
    """Every note that a test's calls have written must be one of the schema, with the fields of the schema."""
    for name in line.journal.calls():
        for entry in line.journal.read(name):
            note = entry.note
            assert not isinstance(note, UnknownNote), f"call {name}: {note}"
            assert note is None or not note.more, f"call {name}: {note}"


async def settled(carrier: Exchange) -> None:
    """Until every call that is over has said so: a webhook that is cut off on its way leaves its connection open."""

    def told() -> bool:
        answered = [one for one in carrier.deliveries if one.latency is not None]
        if len(answered) < len(carrier.deliveries):
            return False
        if isinstance(carrier, Twilio):
            return not carrier.exchange.tasks.busy("webhook")
        over = {call.leg_id for call in carrier.calls.values() if call.state == "ended"}
        dropped = {call.leg_id for call in carrier.calls.values() if {"call.hangup", "*"} & {*call.faults.webhook_drop}}
        hung_up = {one.payload.get("call_leg_id") for one in carrier.deliveries if one.event_type == "call.hangup"}
        return over <= hung_up | dropped

    with contextlib.suppress(AssertionError):
        await until(told, "the webhooks", 1)


def faults(**chosen: Any) -> Any:
    """Faults of the usual carrier."""
    return TwilioFaults(**chosen) if usual == "twilio" else Faults(**chosen)


def exchange(**chosen: Any) -> Exchange:
    """The usual carrier, which misbehaves like that."""
    if usual == "twilio":
        return Twilio(PUBLIC, timing=TwilioTiming(speak_s_per_char=0.02), faults=faults(**chosen))
    return Telnyx(webhook_url="http://127.0.0.1:9/webhooks", api_key="KEY_sandbox", faults=faults(**chosen))


media_server = "picows"
"""Which media server `product()` has."""
nodes = ""
"""Who takes what comes from the carrier. "": the only process; "own": the node that a test looks into, beside which
another one drains; "other": that other node, so that every webhook and every media stream is passed on."""


@contextlib.asynccontextmanager
async def product(
    *,
    carrier: Exchange | None = None,
    realtime: Realtime | None = None,
    profiles: Mapping[str, Any] | None = None,
    beside: Callable[[Application], contextlib.AbstractAsyncContextManager[None]] = lambda _: contextlib.nullcontext(),
    **settings: Any,
) -> AsyncIterator[Product]:
    """`beside`: what is opened before the server, and closed behind it."""
    carrier = carrier or exchange()
    realtime = realtime or Realtime()
    async with carrier, realtime:
        with tempfile.TemporaryDirectory() as folder:
            await new_database.put_into(folder)
            chosen = {
                "openai_api_key": realtime.api_key,
                "openai_realtime_url": realtime.url,
                "openai_live_url": realtime.live_url,
                **carrier.settings(),
                "port": 0,
                "console_port": 0,
                "data_dir": folder,
                "media_server": media_server,
                "admission_lag_ms": 0,  # other tests run beside this one
                "journal_seconds": 2.0,  # as above: an entry waits for its turn of the processor
                **settings,
            }
            made = Settings(**chosen)
            made._profiles = dict(profiles or {})
            async with _opened(made, beside) as (line, port):
                carrier.set_server(f"http://127.0.0.1:{port}")
                yield Product(carrier, realtime, line)
                for call in [call for call in carrier.calls.values() if call.state != "ended"]:
                    await call.hang_up()
                await settled(carrier)
                replayed(line)
                in_schema(line)


@contextlib.asynccontextmanager
async def _opened(
    made: Settings, beside: Callable[[Application], contextlib.AbstractAsyncContextManager[None]]
) -> AsyncIterator[tuple[Application, int]]:
    """Open the server, and another one beside it if there are to be two. Returns the one that takes the calls, and the
    port that the carrier is to be given."""

    async def is_open(each: Application) -> None:
        # the start waits for its record for a moment only, which a busy machine may exceed
        await until(lambda: each.recovery.opened.is_set() or each.journal.trouble, "the record to be open", 20)

    if not nodes:
        line = Application(made)
        async with beside(line), line:
            await is_open(line)
            yield line, line.public_at[1]
        return
    port = free_port()
    entry = made.model_copy(update={"port": port})
    if nodes == "other" and not made.public_base_url:
        made = made.model_copy(update={"public_base_url": f"http://127.0.0.1:{port}"})
    line, other = Application(made, node=_node("w1", made)), Application(entry, node=_node("w2", entry))
    line.settings._profiles = other.settings._profiles = made._profiles
    async with beside(line), line:
        await is_open(line)
        async with other:
            await is_open(other)
            assert line.cluster is not None
            assert other.cluster is not None
            await other.cluster.set_state("w2", "draining")
            for each in (line.cluster, other.cluster):
                await until(lambda: {"up", "draining"} == {node.state for node in each.view.nodes}, "the nodes to meet")  # noqa: B023
            yield line, port if nodes == "other" else line.public_at[1]


def _node(name: str, made: Settings) -> NodeConfig:
    """Return the config of a node whose sockets lie in the data folder."""
    folder = Path(made.data_dir) / "c"
    return NodeConfig(
        name=name, address=f"unix:{folder}/{name}.sock", folder=folder, capacity=made.max_concurrent_calls,
        secret=b"s" * 32,
    )  # fmt: skip


def run(main: Coroutine[Any, Any, Result]) -> Result:
    # A listener waits that long for connections kept alive, and the sandbox keeps its own until it closes.
    quick = mock.patch.object(listener, "_CLOSE_SECONDS", 0.05)
    with quick, asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)


async def together(scenes: Mapping[str, Coroutine[Any, Any, None]]) -> None:
    """Plays several scenes at the same time, because most of their time is waiting. Names every one that fails."""
    results = dict(zip(scenes, await asyncio.gather(*scenes.values(), return_exceptions=True), strict=True))
    failed = {name: error for name, error in results.items() if error is not None}
    if failed:
        story = "\n".join(f"{name}: {type(error).__name__}: {error}" for name, error in failed.items())
        raise AssertionError(f"{len(failed)} of {len(scenes)} scenes failed:\n{story}") from next(iter(failed.values()))
