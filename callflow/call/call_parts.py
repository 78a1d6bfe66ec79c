"""Makes the parts of a call that its config decides: the audio, the agent with its tools, and the caller's keys."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

from callflow.agent.agent import Agent
from callflow.agent.prompts import typed, typing_lost
from callflow.agent.tool_calls import PERSON_SPEAKS, PendingToolCalls
from callflow.call import machine
from callflow.call.bridged_listening import BridgedListening, WhenBridged
from callflow.call.call_config import CallConfig
from callflow.call.deadlines import Deadlines
from callflow.call.dtmf import MASK, DtmfCollector
from callflow.call.legs import Legs
from callflow.call.local_commands import LocalCommands
from callflow.call.mailbox import Mailbox
from callflow.call.outbound_order import OutboundOrder
from callflow.call.owned_tasks import OwnedTasks
from callflow.call.recordings import Recordings
from callflow.call.requests import Requests
from callflow.call.restore import RestoredCall
from callflow.call.services import CallServices
from callflow.call.stream_lease import StreamLease
from callflow.call.take_over import TakeOver
from callflow.contracts.back_references import to_owner
from callflow.contracts.carrier import Carrier
from callflow.contracts.events import Dtmf, Event, LegIds
from callflow.contracts.tools import Caller, ToolAnswer, ToolCall
from callflow.journal import notes
from callflow.journal.notes import Note, UnknownNote
from callflow.media.relay import Relay
from callflow.media.remote_line import RemoteLine


class Parts(NamedTuple):
    """The parts of one call under one config."""

    relay: Relay
    recordings: Recordings
    requests: Requests
    agent: Agent
    local_commands: LocalCommands
    dtmf: DtmfCollector
    listening: WhenBridged
    take_over: TakeOver


class Owner(Protocol):
    """The call, as far as its parts use it."""

    id: str
    carrier: Carrier
    ids: LegIds
    from_number: str
    to_number: str
    config: CallConfig
    model: machine.Model
    legs: Legs
    part_of: OutboundOrder | None
    relay: Relay
    recordings: Recordings
    agent: Agent

    @property
    def is_outbound(self) -> bool: ...
    @property
    def note(self) -> Callable[[Note | UnknownNote], None]: ...
    def post(self, event: Event) -> None: ...


def make_parts(
    call: Owner,
    services: CallServices,
    mailbox: Mailbox,
    deadlines: Deadlines,
    tasks: OwnedTasks,
    restored: RestoredCall | None,
) -> Parts:
    """Make the parts under the config that the call has now. They do not keep the call alive: see
    `contracts/back_references.py`. `restored`: see `Call`."""
    this, post, note, config = weakref.proxy(call), to_owner(call.post), to_owner(call.note), call.config
    make_line = RemoteLine if "media_is_remote" in call.carrier.can else Relay
    relay = make_line(
        call=call.id, ids=lambda: this.ids, config=config.media, clips=config.clips, post=post, note=call.note,
    )  # fmt: skip
    recordings = Recordings(
        call.id, services.recordings, config, relay, restored, post=post,
        note=note, clock=asyncio.get_running_loop().time, now=services.now, redact=services.redact.text,
    )  # fmt: skip
    requests = Requests(
        config, lambda: this.model, mailbox, recordings, post=post, note=note,
        redact=services.redact.text, can=call.carrier.can, gates=relay.gates,
        agent=lambda: this.agent,
    )  # fmt: skip
    acts: Mapping[str, Callable[..., Any]] = requests.of_tools(outbound=call.is_outbound)
    was_called = call.is_outbound or call.part_of is not None
    caller = Caller(call.id, call.from_number, call.to_number, was_called, config.allowed_tools, config.business)
    tool_calls = PendingToolCalls(
        services.make_toolbox(caller, acts), post=post, note=note,
        seconds=config.tool_timeout_seconds, filler_seconds=config.tool_filler_after_ms / 1000,
    )  # fmt: skip
    agent = Agent(
        call=call.id, config=config.agent, relay=relay, tool_calls=tool_calls, post=post, note=call.note,
        own=tasks.start_session,
    )  # fmt: skip
    agent.greeting_heard = to_owner(recordings.opening_heard)
    local_commands = LocalCommands(
        agent, relay, deadlines, config=config, legs=call.legs, now=services.now,
        preamble_seconds=call.carrier.preamble_seconds, own=tasks.start, note=call.note, words=requests.line.words,
        is_taken=lambda: bool(requests.line.taken_by), may_run=partial(services.may_run, call.id),
    )  # fmt: skip
    dtmf = DtmfCollector(
        call.id, end=config.dtmf_end, pause_seconds=config.dtmf_pause_seconds, sensitive=config.dtmf_sensitive,
        entered=lambda digits: _entered(this, services, digits), pressed=to_owner(agent.no_input.key_pressed),
        dropped=lambda: this.relay.counts.update(keys_dropped=1), waits=lambda: mailbox.has(Dtmf),
    )  # fmt: skip
    listening = WhenBridged(partial(_listening, this, services, tasks))
    take_over = TakeOver(
        call.id, relay, requests.line, make=config.make_listener, learn=to_owner(agent.prompter.learn),
        is_paused=lambda: recordings.pause.is_on, bill=lambda used: this.note(agent.usage.added(used)), note=call.note,
        own=tasks.start, seconds=min(config.agent.transcript_seconds, 1.5),
        before=restored.taken_by if restored is not None else "",
    )  # fmt: skip
    line = requests.line
    lost = restored.lost_tools if restored is not None else None

    def refused(asked: ToolCall) -> ToolAnswer | None:
        if line.taken_by:
            return PERSON_SPEAKS
        if lost is None or asked.name in acts:  # what our own tools do is done once anyway, and may be needed again
            return None
        return lost.refusal(asked._replace(arguments=services.redact.text(asked.arguments)))

    tool_calls.refused = refused
    return Parts(relay, recordings, requests, agent, local_commands, dtmf, listening, take_over)


def _listening(call: Owner, services: CallServices, tasks: OwnedTasks) -> BridgedListening:
    """Make what listens to a call while it is bridged."""
    config, agent, pause = call.config, call.agent, call.recordings.pause
    return BridgedListening(
        call.id, call.carrier, call.legs, StreamLease(call.id, services.stream_tokens, services.address),
        make=config.make_listener, media=config.media, ids=lambda: call.ids, is_ours=call.relay.is_ours,
        is_paused=lambda: pause.is_on, learn=lambda text: agent.prompter.learn(text, speak=False),
        bill=lambda used: call.note(agent.usage.added(used)), note=call.note, own=tasks.start,
        seconds=config.agent.transcript_seconds,
    )  # fmt: skip


def _entered(call: Owner, services: CallServices, digits: str) -> None:
    """Give the agent an entry on the caller's keypad."""
    if machine.is_over(call.model):
        return
    is_lost = MASK in digits
    shown = MASK * len(digits) if is_lost or call.config.dtmf_sensitive else services.redact.text(digits)
    call.note(notes.Digits(digits=shown))
    if is_lost:
        call.agent.respond_to(typing_lost(), shown=typing_lost())
    else:
        call.agent.respond_to(typed(" ".join(digits)), shown=typed(shown))
