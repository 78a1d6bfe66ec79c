"""The exploration of the machine: every event from every state that a call can reach.

It goes breadth-first over the models, each taken once, and lets every event happen to each of them. What holds on every
edge of that graph holds for every sequence of events, of whatever length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from msgspec import structs

from callflow.call.machine import DEADLINES, Fallback, Model, Step, take
from callflow.contracts import commands as do
from callflow.contracts import events as ev
from callflow.contracts.events import Event


CARRIER_COMMANDS = sorted(
    {kind.name for kind in vars(do).values() if isinstance(kind, type) and issubclass(kind, do.CarrierCommand)}
    - {do.Command.name}
)


def passed(deadline: str) -> ev.DeadlinePassed:
    return ev.DeadlinePassed(deadline=deadline)


def done(command: str) -> ev.CommandDone:
    return ev.CommandDone(command=command)


def failed(command: str) -> ev.CommandFailed:
    return ev.CommandFailed(command=command)


def gone(command: str) -> ev.CommandFailed:
    return ev.CommandFailed(command=command, gone=True)


CALLERS_EVENTS: tuple[Event, ...] = (
    ev.CallInitiated(direction="incoming"),
    ev.CallInitiated(direction="outgoing"),
    ev.CallInitiated(record=True),
    ev.RecordRequested(on=True),
    ev.RecordRequested(on=False),
    ev.PauseRequested(on=True, carrier=True),
    ev.PauseRequested(on=False),
    ev.CarrierRecording(recording="r", state="ready"),
    ev.CarrierCost(of="leg", amount=0.01),
    ev.CallRefused(reason="busy"),
    ev.CallRefused(reason="draining"),
    ev.CallRefused(reason="refused"),
    ev.CallTurnedAway(),
    ev.CallTurnedAway(fall_back=True),
    ev.BudgetReached(),
    ev.DialRequested(),
    ev.DialRequested(streams="on_answer"),
    ev.DialRequested(streams="on_answer", queues=True),
    ev.DialRequested(streams="sip"),
    ev.CallInitiated(led="over"),
    ev.CallInitiated(led="failed"),
    ev.CommandFailed(command="dial", effect="unknown"),
    ev.CommandFailed(command="send_dtmf", by="agent"),
    ev.TransferRequested(),
    ev.TransferRequested(takes_back=False),
    ev.TransferRequested(mode="cold"),
    ev.TransferRequested(mode="refer"),
    ev.CallReferred(state="started"),
    ev.CallReferred(state="completed"),
    ev.CallReferred(state="failed"),
    ev.CallBridged(),
    ev.CallRecovered(human="answered"),
    ev.CallRecovered(human="gone"),
    ev.CallRecovered(handed_over=True, given=True),
    ev.CallAnswered(),
    ev.AnsweredBy(who="human", then="message"),
    ev.AnsweredBy(who="unsure", then="message"),
    ev.AnsweredBy(who="fax", then="message"),
    ev.AnsweredBy(who="machine"),
    ev.AnsweredBy(who="machine", then="hang_up"),
    ev.AnsweredBy(who="machine", then="message"),
    ev.AnsweredBy(who="machine", then="message", ready=True),
    ev.AnsweredBy(who="machine", then="message", exchanges=3),
    ev.CallResumed(),
    ev.CallResumed(talked=True),
    ev.CallResumed(unanswered=True, record=True),
    ev.CallHangup(),
    ev.CallHangup(cause="normal_clearing"),
    ev.NotOurs(),
    ev.StreamAnnounced(what="started"),
    ev.StreamAnnounced(what="stopped"),
    ev.StreamFailed(),
    ev.SpeakEnded(),
    ev.SpeakEnded(status="call_hangup"),
    ev.Dtmf(digit="1"),
    ev.CarrierNotice(kind="a type of next year"),
    ev.MediaStarted(),
    ev.MediaStarted(encoding="PCMA"),
    ev.MediaRefused(),
    ev.MediaLost(),
    ev.ClipPlayed(),
    ev.ClipPlayed(clip="sorry"),
    ev.EngineReady(),
    ev.EngineLost(),
    ev.EngineLost(retry=False),
    ev.EngineExpiring(ms=60_000),
    ev.AgentHeard(),
    ev.ToolCalled(id="call_1", tool="look", arguments="{}"),
    ev.ToolFinished(id="call_1", tool="look", output="{}"),
    ev.EndRequested(),
    ev.GoodbyeHeard(),
    ev.GoodbyeInterrupted(),
    ev.MessageLeft(),
    ev.NoInput(),
    ev.NoInput(time=3, last=True),
    ev.GoodbyeRequested(),
    ev.GoodbyeRequested(reason="busy"),
    ev.GoodbyeRequested(reason="budget", fall_back=True),
    ev.HangupRequested(),
    ev.HoldRequested(by="operator"),
    ev.ResumeRequested(by="operator"),
    ev.MuteRequested(),
    ev.MuteRequested(party="agent", on=False),
    ev.MuteRequested(party="agent", for_person=True),
    ev.MuteRequested(party="agent", on=False, for_person=True),
    ev.SayRequested(id="1", text="a text"),
    ev.SayRequested(id="1", text="a text", otherwise="carrier"),
    ev.DtmfRequested(id="2", digits="12#"),
    ev.DtmfRequested(id="2", digits="12#", way="carrier"),
    ev.CallRecovered(found="ringing"),
    ev.CallRecovered(found="answered"),
    ev.CallRecovered(found="asking"),
    ev.CallRecovered(found="gone"),
    Event(),
    *(passed(deadline) for deadline in (*DEADLINES, "", "unheard_of")),
    *(say(command) for command in (*CARRIER_COMMANDS, "", "unheard_of") for say in (done, failed, gone)),
)


def of_another_leg(event: Event) -> Event:
    return structs.replace(event, leg="transfer")


def of_the_person(event: Event) -> Event:
    return structs.replace(event, leg=ev.HUMAN)


PERSONS_EVENTS: tuple[Event, ...] = tuple(
    of_the_person(event)
    for event in (
        ev.CallInitiated(direction="outgoing"), ev.CallAnswered(), ev.CallResumed(), ev.CallBridged(),
        ev.CallHangup(cause="user_busy"),
        ev.Dtmf(digit="1"), ev.Dtmf(digit="2"), ev.SpeakEnded(), ev.MediaStarted(), ev.EngineLost(),
        *(say(command) for command in ("dial", "brief", "join", "hangup") for say in (done, failed, gone)),
    )
)  # fmt: skip
"""What may happen to the leg of the person to whom a call is transferred."""
EVENTS = (*CALLERS_EVENTS, *map(of_another_leg, CALLERS_EVENTS), *PERSONS_EVENTS)
TRIES, STREAMS = 2, 2
"""New sessions and streams that the explored calls may try: enough for every row to be of use."""
FALLBACK = Fallback("+15550100010", 20)
"""What the calls have that are explored by `test_machine_fallback.py`."""
_BESIDE = (
    ev.DialRequested, ev.AnsweredBy, ev.MessageLeft, ev.HoldRequested, ev.ResumeRequested, ev.MuteRequested,
    ev.SayRequested, ev.DtmfRequested, ev.RecordRequested, ev.PauseRequested, ev.CarrierRecording, ev.ToolCalled,
    ev.ToolFinished, ev.StreamAnnounced, ev.CarrierNotice,
)  # fmt: skip
_SENT = {"answer", "speak", "stream", "transfer", "find_person", "join", "hangup"}
INBOUND = tuple(
    event
    for event in (*CALLERS_EVENTS, *PERSONS_EVENTS)
    if not isinstance(event, _BESIDE) and getattr(event, "command", "speak") in _SENT
)
"""What may happen to a call that comes in, without what is done beside it."""


# --- The exploration


@dataclass(frozen=True, slots=True)
class Node:
    """A state that a call can be in, with what the machine itself does not remember of how it got there."""

    model: Model
    answers: int
    """Answer commands, and dials: what makes a call ours."""
    adopted: bool
    path: tuple[Event, ...]
    """A shortest sequence of events that leads here."""

    def key(self) -> object:
        return self.model.key(), self.answers, self.adopted

    def __str__(self) -> str:
        return " > ".join(event.trigger for event in self.path) or "(nothing yet)"


class Edge(NamedTuple):
    source: Node
    event: Event
    step: Step
    target: Node
    """The source itself, if the event has changed nothing."""

    @property
    def names(self) -> list[str]:
        """The commands for the caller's leg and for the call itself."""
        return [command.name for command in self.step.commands if command.leg == ev.CALLER]

    def __str__(self) -> str:
        return f"{self.source} > {self.event} gives {self.step.commands}"


def follow(node: Node, event: Event) -> Edge:
    model = node.model.copy()
    return _edge(node, event, take(model, event), model)


def _edge(node: Node, event: Event, step: Step, model: Model) -> Edge:
    """The step, and where it has led to: `model` is what the machine has made of a copy of the node's."""
    if not step.commands and model.key() == node.model.key():
        return Edge(node, event, step, node)
    names = [command.name for command in step.commands if command.leg == ev.CALLER]
    again = sum(isinstance(command, do.Answer) and command.again for command in step.commands)
    answers = node.answers + names.count(do.Answer.name) + names.count(do.Dial.name) - again
    adopted = node.adopted or (model.answer_sent and not answers)
    return Edge(node, event, step, Node(model, answers, adopted, (*node.path, event)))


@dataclass(frozen=True)
class Graph:
    nodes: list[Node]
    edges: list[Edge]
    """All steps but those of an inert event that has changed nothing and was answered by no command."""
    idle: list[tuple[Node, list[Event]]]
    """Of each node, the events that are not among the edges."""

    @property
    def steps(self) -> int:
        return len(self.edges) + sum(len(events) for _, events in self.idle)

    def edges_of(self, *kinds: type[Event]) -> Iterator[Edge]:
        """All steps of events of these kinds, those without any effect among them."""
        yield from (edge for edge in self.edges if isinstance(edge.event, kinds))
        for node, events in self.idle:
            step = (node.model.state, node.model.state)
            yield from (Edge(node, one, Step(one, *step), node) for one in events if isinstance(one, kinds))

    @property
    def taken(self) -> list[Edge]:
        return [edge for edge in self.edges if edge.step.taken]


@cache
def graph(
    tries: int = TRIES,
    streams: int = STREAMS,
    fallback: Fallback | None = None,
    events: tuple[Event, ...] = (*CALLERS_EVENTS, *PERSONS_EVENTS),
) -> Graph:
    start = Node(Model(engine_tries=tries, stream_tries=streams, fallback=fallback), 0, False, ())
    nodes = {start.key(): start}
    edges: list[Edge] = []
    idle: list[tuple[Node, list[Event]]] = []
    waiting = deque([start])
    while waiting:
        node = waiting.popleft()
        idle.append((node, without := []))
        key, model = node.model.key(), node.model.copy()
        for event in events:
            # Most events are inert, and leave the copy as it was: the next one may have it.
            step = take(model, event)
            if not step.taken and not step.commands and model.key() == key:
                without.append(event)
                continue
            edge = _edge(node, event, step, model)
            model = node.model.copy()
            target = nodes.setdefault(edge.target.key(), edge.target)
            if target is edge.target and target is not node:
                waiting.append(target)
            edges.append(edge._replace(target=target))
    return Graph(list(nodes.values()), edges, idle)
