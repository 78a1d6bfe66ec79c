"""The state machine of a call: every event from every state that can be reached.

What holds on every edge of the graph (`exploration.py`) holds for every sequence of events, of whatever length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.call import machine
from callflow.call.machine import (
    ANSWERED,
    DEADLINES,
    HANGUP,
    RECOVERING,
    RINGING,
    STATES,
    STREAMING,
    TABLE,
    Model,
    Row,
    Step,
    take,
)
from callflow.contracts import commands as do
from callflow.contracts import events as ev
from callflow.contracts.events import Event
from tests.call.exploration import (
    CALLERS_EVENTS,
    CARRIER_COMMANDS,
    EVENTS,
    FALLBACK,
    INBOUND,
    PERSONS_EVENTS,
    STREAMS,
    TRIES,
    Node,
    done,
    failed,
    follow,
    graph,
    of_another_leg,
    passed,
)
from tests.sample import Sample


pytestmark = pytest.mark.exhaustive


@cache
def farthest_end(key: object) -> int:
    """How many armed deadlines can pass, one after another in the worst order, before this call is over."""
    node = by_key()[key]
    if machine.is_over(node.model):
        return 0
    assert node.model.armed, f"nothing ends this call: {node}"
    return 1 + max(farthest_end(follow(node, passed(name)).target.key()) for name in node.model.armed)


@cache
def by_key() -> dict[object, Node]:
    return {node.key(): node for node in graph().nodes}


def has_begun(node: Node) -> bool:
    """Something has happened to it that makes a call: the switchboard makes none before that."""
    return node.model.answer_sent


def test_every_event_from_every_state(record_property: Callable[[str, object], None]) -> None:
    explored = graph()
    live = [node for node in explored.nodes if has_begun(node) and not machine.is_over(node.model)]
    depth = max(len(node.path) for node in explored.nodes)
    end = max(farthest_end(node.key()) for node in live)
    text = (
        f"{len(explored.nodes)} states ({len(live)} of them live), {explored.steps} steps: "
        f"all {len(CALLERS_EVENTS)} events of the caller's leg and {len(PERSONS_EVENTS)} of a person's from each, so "
        f"every sequence of them; "
        f"{len(explored.taken)} steps taken, {explored.steps - len(explored.taken)} inert; "
        f"the farthest state is {depth} events away, the slowest end {end} deadlines"
    )
    print(f"\n{text}")
    record_property("machine", text)
    assert 50 < len(live) < 6000, "a machine that nobody can survey any more"
    assert len(explored.nodes) < 6500
    assert {node.model.state for node in explored.nodes} == set(STATES)


def test_the_exploration_leaves_nothing_out() -> None:
    kinds = {type(event) for event in EVENTS}
    assert kinds == set(ev.KINDS.values())
    triggers = {event.trigger for event in EVENTS}
    assert set(machine.TRIGGERS) <= triggers | SIGNALS
    assert {f"{name}_{how}" for name in CARRIER_COMMANDS for how in ("done", "failed", "gone")} <= triggers
    assert {f"{name}_deadline" for name in DEADLINES} <= triggers
    assert set(CARRIER_COMMANDS) == {
        "announce", "answer", "brief", "dial", "find_person", "hangup", "join", "lead_to_sip", "listen", "pause_record",
        "record", "refer", "reject", "send_dtmf", "speak", "stream", "suppress_noise", "transfer",
    }  # fmt: skip


SIGNALS = {"human_accepted", "human_refused", "human_gone", "human_joined"}
"""What a step of a person's leg gives the call's machine."""
_ROWS: dict[tuple[str, str], list[Row]] = {}
"""The rows of the call's table, by trigger and state."""
for _row in TABLE:
    for _source in _row.sources:
        _ROWS.setdefault((_row.trigger, _source), []).append(_row)


def leg_row_for(model: Model, event: Event) -> Row | None:
    """The table of a person's leg, read by hand."""
    step = Step(event, model.state)
    for row in machine.LEG_TABLE:
        if row.trigger == event.trigger and model.human in row.sources and all(c(model, step) for c in row.when):
            return None if machine.is_over(model) else row
    return None


def rows_of_signals(model: Model, event: Event, row: Row) -> list[Row]:
    """The rows of the call's table that a row of a person's leg leads to."""
    moved, step = model.copy(), Step(event, model.state)
    moved.human = row.dest or model.human
    for action in row.then:
        action(moved, step)
    found = []
    for signal in step.signals:
        for each in _ROWS.get((signal, moved.state), ()):
            if all(c(moved, step) for c in each.when) and not any(c(moved, step) for c in each.unless):
                found.append(each)
                break
    return found


def row_for(model: Model, event: Event) -> Row | None:
    """The table, read by hand."""
    if event.leg == ev.HUMAN:
        return leg_row_for(model, event)
    if event.leg != ev.CALLER or (isinstance(event, ev.DeadlinePassed) and event.deadline not in model.armed):
        return None
    step = Step(event, model.state)
    for row in _ROWS.get((event.trigger, model.state), ()):
        if all(c(model, step) for c in row.when) and not any(c(model, step) for c in row.unless):
            return row
    return None


def test_the_machine_does_what_the_table_says_and_every_row_is_of_use() -> None:
    used = set()
    for node, events in graph().idle:
        assert [event for event in events if row_for(node.model, event) is not None] == [], node
    for edge in graph().edges:
        row = row_for(edge.source.model, edge.event)
        assert edge.step.taken == (row is not None), edge
        assert edge.step.before == edge.source.model.state
        rows = [row]
        if row is not None and edge.event.leg == ev.HUMAN:
            used.add(id(row))
            rows = [*rows_of_signals(edge.source.model, edge.event, row)]
        after = next((each.dest for each in rows if each is not None and each.dest), edge.source.model.state)
        assert edge.step.after == edge.target.model.state == after, edge
        used |= {id(each) for each in rows}
    for edge in (*graph(0, 0).edges, *graph(0, 0, FALLBACK, INBOUND).edges):
        row = row_for(edge.source.model, edge.event)
        if row is not None and edge.event.leg == ev.HUMAN:
            used |= {id(each) for each in rows_of_signals(edge.source.model, edge.event, row)}
        used.add(id(row))
    every = (*TABLE, *machine.LEG_TABLE)
    assert [(row.trigger, row.source, row.when) for row in every if id(row) not in used] == []


# --- What holds on every edge


def test_a_call_is_answered_at_most_once_and_never_after_it_was_found_answered() -> None:
    for node in graph().nodes:
        assert node.answers <= 1, node
        assert not (node.answers and node.adopted), node


def test_the_engine_is_called_only_while_it_is_awaited_and_no_more_often_than_is_worth_trying() -> None:
    for edge in graph().edges:
        model = edge.target.model
        if do.ConnectEngine.name in edge.names:
            assert edge.names.count(do.ConnectEngine.name) == 1, edge
            assert model.engine == "connecting", edge
        assert model.tries <= TRIES, edge
        assert model.stream_restarts <= STREAMS, edge
        grew = model.tries > edge.source.model.tries
        assert grew <= isinstance(edge.event, ev.EngineLost), edge


def test_the_engine_greets_once() -> None:
    for edge in graph().edges:
        became = edge.target.model.greeted and not edge.source.model.greeted
        takes_over = isinstance(edge.event, ev.MuteRequested) and edge.event.for_person
        if do.SilenceAgent.name in edge.names or takes_over:  # a caller who comes back from a person is not greeted
            assert do.Greet.name not in edge.names, edge
        else:
            assert (do.Greet.name in edge.names) == became, edge


def test_the_engine_greets_only_when_it_is_ready_and_somebody_is_there() -> None:
    for edge in graph().edges:
        if do.Greet.name in edge.names:
            assert edge.target.model.engine == "ready", edge
            assert edge.step.after in (ANSWERED, STREAMING, RECOVERING), edge
            assert not edge.target.model.farewell, edge


def test_the_agent_is_prompted_only_when_it_can_speak_and_be_heard() -> None:
    for edge in graph().edges:
        if do.Prompt.name in edge.names:
            model = edge.target.model
            assert (model.engine, edge.step.after) == ("ready", STREAMING), edge
            assert model.farewell in (machine.FAREWELL_NONE, machine.FAREWELL_BY_AGENT), edge


def test_tools_run_and_are_answered_unless_the_agent_has_had_its_last_word() -> None:
    for edge in graph().edges_of(ev.ToolCalled, ev.ToolFinished):
        silenced = edge.source.model.farewell in (
            machine.CLIP, machine.SPEAKING, machine.FAREWELL_PENDING, *machine.TO_MACHINE,
        )  # fmt: skip
        live = not machine.is_over(edge.source.model)
        wanted = do.RunTool.name if isinstance(edge.event, ev.ToolCalled) else do.AnswerTool.name
        assert edge.names == ([wanted] if live and not silenced else []), edge


def test_recovering_is_waiting_for_an_engine_or_a_stream() -> None:
    for node in graph().nodes:
        model = node.model
        if model.state == RECOVERING and model.farewell in (machine.FAREWELL_NONE, machine.FAREWELL_BY_AGENT):
            waits = model.engine == "connecting" or model.media == "lost"
            assert waits or "bridged" in model.armed, node  # a person speaks, and the agent is not needed


def test_an_end_that_the_caller_interrupts_is_called_off_and_the_call_has_its_clock() -> None:
    interrupted = [edge for edge in graph().taken if isinstance(edge.event, ev.GoodbyeInterrupted)]
    assert interrupted
    for edge in interrupted:
        assert edge.step.after == STREAMING, edge
        if edge.source.model.farewell == machine.FAREWELL_BY_AGENT_FINAL:
            continue
        assert not edge.target.model.farewell, edge
        assert edge.target.model.armed & {"warning", "call"}, edge


def test_an_end_that_somebody_else_wants_too_is_not_called_off() -> None:
    final = [
        node
        for node in graph().nodes
        if node.model.farewell == machine.FAREWELL_BY_AGENT_FINAL and not machine.is_over(node.model)
    ]
    assert final
    for node in final:
        assert "farewell" in node.model.armed, node
        assert machine.is_over(follow(node, passed("farewell")).target.model), node
        edge = follow(node, ev.GoodbyeInterrupted())
        if node.model.state == STREAMING:
            assert edge.target.model.farewell in (machine.CLIP, machine.SPEAKING), edge
            assert machine.is_over(follow(node, ev.GoodbyeHeard()).target.model), node


def leaving_messages() -> list[Node]:
    found = [node for node in graph().nodes if node.model.farewell in machine.TO_MACHINE]
    return [node for node in found if not machine.is_over(node.model)]


def test_a_machine_hears_nothing_but_the_message_and_that_at_most_once() -> None:
    said = [edge for edge in graph().edges if do.LeaveMessage.name in edge.names]
    assert said
    for edge in said:
        model = edge.target.model
        assert (model.farewell, model.engine, model.media, edge.step.after) == (
            machine.MESSAGE, "ready", "open", STREAMING,
        ), edge  # fmt: skip
        assert edge.source.model.farewell in (machine.AWAITS_BEEP, machine.MESSAGE_DUE), edge
    voices = {do.Greet.name, do.Prompt.name, do.PlayClip.name, do.Speak.name, do.RotateEngine.name, do.RunTool.name}
    nodes = leaving_messages()
    assert {node.model.farewell for node in nodes} == set(machine.TO_MACHINE)
    for node in nodes:
        for event in CALLERS_EVENTS:
            edge = follow(node, event)
            assert not voices & set(edge.names), edge
            over = machine.is_over(edge.target.model)
            assert over or edge.target.model.farewell in machine.TO_MACHINE, edge
            is_said = node.model.farewell == machine.MESSAGE
            assert not is_said or over or edge.target.model.farewell == machine.MESSAGE, edge


def test_a_message_that_was_played_or_whose_time_is_up_ends_the_call_as_a_machine_s() -> None:
    for node in leaving_messages():
        assert node.model.armed & {"beep", "message"}, node
        assert node.model.cause == "machine", node
        ends: list[Event] = [passed("message")] if "message" in node.model.armed else []
        if node.model.farewell == machine.MESSAGE:
            ends += [ev.MessageLeft(), ev.EngineLost(), ev.MediaLost(), ev.CallRecovered()]
        for event in ends:
            edge = follow(node, event)
            assert machine.is_over(edge.target.model), edge
            assert do.Hangup(quiet=True) in edge.step.commands, edge


def test_who_has_answered_matters_only_to_a_call_that_asked_and_has_not_talked() -> None:
    idle = (
        ev.AnsweredBy(who="machine"), ev.AnsweredBy(who="fax"), ev.AnsweredBy(who="human", then="message"),
        ev.AnsweredBy(who="unsure", then="message"), ev.AnsweredBy(who="fax", then="hang_up", exchanges=3),
        ev.AnsweredBy(who="machine", then="hang_up", exchanges=3),
    )  # fmt: skip
    for node in graph().nodes:
        for event in idle:
            assert not follow(node, event).step.taken, (node, event)


BY_AGENT = (machine.FAREWELL_BY_AGENT, machine.FAREWELL_BY_AGENT_FINAL)
ASKED = tuple(ev.GoodbyeRequested(reason="operator", by=by) for by in ("", "console", "operator", "command line"))


def test_whoever_asks_for_a_goodbye_gets_one_or_an_end_and_asking_again_changes_nothing() -> None:
    for node in graph().nodes:
        if machine.is_over(node.model):
            continue
        edges = [follow(node, event) for event in ASKED]
        assert len({(edge.target.model.key(), tuple(edge.names)) for edge in edges}) == 1, "it matters who asks"
        target = edges[0].target
        assert machine.is_over(target.model) or target.model.farewell in (
            machine.CLIP, machine.SPEAKING, machine.FAREWELL_BY_AGENT_FINAL, *machine.TO_MACHINE,
        ), edges[0]  # fmt: skip
        again = follow(target, ASKED[0])
        assert (again.names, again.target.model.key()) == ([], target.model.key()), again
        at_once = follow(target, ev.HangupRequested(reason="operator", by="operator"))
        if not machine.is_over(target.model):
            assert machine.is_over(at_once.target.model), at_once
            assert do.Hangup.name in at_once.names, at_once


def test_last_words_end_by_being_heard_or_by_a_deadline() -> None:
    for node in graph().nodes:
        if node.model.farewell == machine.FAREWELL_BY_AGENT and not machine.is_over(node.model):
            assert node.model.armed & {"last_words", "grace"}, node
            if node.model.state == STREAMING:
                assert machine.is_over(follow(node, ev.GoodbyeHeard()).target.model), node


def test_every_call_that_is_answered_with_a_working_engine_is_greeted() -> None:
    for node in graph().nodes:
        model = node.model
        if model.state in (ANSWERED, STREAMING) and model.engine == "ready" and not model.farewell:
            assert model.greeted, node


def test_hangup_absorbs_everything() -> None:
    for edge in graph().edges:
        if machine.is_over(edge.source.model):
            assert not edge.step.taken, edge
            assert edge.step.commands == [], edge
            assert edge.target.model.key() == edge.source.model.key(), edge


def is_the_carriers_last_word(event: Event) -> bool:
    if event.leg == ev.HUMAN:
        return False
    if isinstance(event, ev.CallRecovered):
        return event.found == "gone"
    return (
        isinstance(event, (ev.CallHangup, ev.NotOurs))
        or event == failed(do.Dial.name)
        or (isinstance(event, ev.CommandFailed) and event.gone)
    )


def test_the_end_releases_once_and_hangs_up_unless_the_carrier_said_that_it_is_over() -> None:
    for edge in graph().edges:
        entering = edge.step.after == HANGUP != edge.step.before
        last = [name for name in edge.names if name in (do.Hangup.name, do.Reject.name)]
        if not entering:
            assert last == [], edge
            assert do.Release.name not in edge.names, edge
            continue
        assert edge.names.count(do.Release.name) == 1, edge
        assert edge.names[-1] == do.Release.name, edge
        assert len(last) == (0 if is_the_carriers_last_word(edge.event) else 1), edge
        assert edge.target.model.armed == frozenset(), edge
        assert edge.target.model.cause, f"the journal does not say why: {edge}"


def test_a_call_is_rejected_only_before_anything_was_done_for_it() -> None:
    for edge in graph().edges:
        if do.Reject.name in edge.names:
            assert not edge.source.model.answer_sent, edge
            assert edge.names == [do.Reject.name, do.Release.name], edge


def test_a_clip_is_played_only_while_the_stream_is_open() -> None:
    for edge in graph().edges:
        if do.PlayClip.name in edge.names:
            assert edge.target.model.media == "open", edge
            assert edge.step.after in (STREAMING, RECOVERING), edge


def test_the_carrier_speaks_only_to_somebody_who_listens_and_only_once() -> None:
    for edge in graph().edges:
        if do.Speak.name in edge.names:
            assert edge.step.after in (ANSWERED, STREAMING, RECOVERING), edge
            assert edge.target.model.media != "open", edge
            assert edge.source.model.farewell != machine.SPEAKING, edge


def test_a_stream_is_asked_for_only_where_none_is_and_the_answer_does_not_bring_one() -> None:
    for edge in graph().edges:
        if do.StartStream.name in edge.names:
            again = edge.step.after == RECOVERING and edge.target.model.media == "lost"
            # the carrier itself says that there is none, and waits for the answer
            again |= isinstance(edge.event, (ev.CallResumed, ev.CallRecovered)) and edge.target.model.media != "open"
            again |= edge.source.model.dialled == "on_answer"
            assert again or (edge.target.adopted and edge.step.after == ANSWERED), edge


def test_media_is_open_only_while_streaming() -> None:
    for node in graph().nodes:
        if node.model.media == "open":
            assert node.model.state in (STREAMING, RECOVERING, HANGUP), node


def test_a_last_sentence_is_due_silently_only_while_it_rings() -> None:
    for node in graph().nodes:
        model = node.model
        if machine.is_over(model):
            continue
        assert (model.farewell == machine.FAREWELL_PENDING) <= (model.state == RINGING), node
        without = (machine.FAREWELL_NONE, *BY_AGENT, *machine.TO_MACHINE)
        assert (model.farewell not in without) == bool(model.sentence), node
        assert bool(model.farewell) <= bool(model.cause), node


def test_every_live_call_has_a_deadline() -> None:
    for node in graph().nodes:
        if has_begun(node) and not machine.is_over(node.model):
            assert node.model.armed, node
            assert node.model.armed <= set(DEADLINES), node


def test_a_deadline_that_is_armed_does_something_when_it_passes() -> None:
    for edge in graph().edges_of(ev.DeadlinePassed):
        assert isinstance(edge.event, ev.DeadlinePassed)
        assert edge.step.taken == (edge.event.deadline in edge.source.model.armed), edge


def test_deadlines_alone_end_every_call_in_a_few_steps() -> None:
    """In whatever order the armed deadlines pass: no caller is left for ever."""
    for node in graph().nodes:
        if has_begun(node):
            assert farthest_end(node.key()) <= 8, node


def test_arm_and_disarm_agree_with_what_the_model_believes() -> None:
    for edge in graph().edges:
        armed = set(edge.source.model.armed)
        if isinstance(edge.event, ev.DeadlinePassed) and edge.event.leg == ev.CALLER:
            armed.discard(edge.event.deadline)
        for command in edge.step.commands:
            if isinstance(command, do.Arm):
                armed.add(command.deadline)
            elif isinstance(command, do.Disarm):
                assert command.deadline in armed, edge
                armed.remove(command.deadline)
            elif isinstance(command, do.Release):
                armed.clear()
        assert armed == edge.target.model.armed, edge


def test_there_is_a_way_to_hangup_from_everywhere_and_the_carriers_word_is_one() -> None:
    for node in graph().nodes:
        for event in (ev.CallHangup(cause="normal_clearing"), ev.HangupRequested()):
            assert machine.is_over(follow(node, event).target.model), node


TRYING_AGAIN = (
    ev.EngineLost, ev.DeadlinePassed, ev.NoInput, ev.ToolCalled, ev.ToolFinished, ev.EngineExpiring, ev.CallResumed,
    ev.CallRecovered, ev.RecordRequested, ev.PauseRequested, ev.MuteRequested, ev.SayRequested, ev.DtmfRequested,
    ev.BudgetReached,
)  # fmt: skip
"""News of which a repeat is other news: it failed again, it is silent once more, somebody has looked and wants
it, another text is to be said. The rest is known by its id."""


def test_a_repeat_makes_no_further_command_to_anybody() -> None:
    """The same news under a new id, at once: clocks may be wound again, nothing else."""
    for edge in graph().edges:
        if not isinstance(edge.event, TRYING_AGAIN):
            if isinstance(edge.event, ev.CommandFailed) and edge.event.command == do.SendDtmf.name:
                continue  # of other keys
            again = follow(edge.target, edge.event)
            assert set(again.names) <= {do.Arm.name, do.Disarm.name}, again


def test_a_carriers_command_is_never_given_twice_but_the_last_sentence_after_a_clip() -> None:
    for edge in graph().edges:
        given = [(one.leg, one.name) for one in edge.step.commands if isinstance(one, do.CarrierCommand)]
        assert len({leg for leg, _ in given}) == len(given), edge


def test_every_transfer_that_begins_is_told_to_end_once() -> None:
    """Also if the caller hangs up while the person is rung, or a last sentence ends the call."""
    ended = set()
    for edge in graph().edges:
        told = [c.outcome for c in edge.step.commands if isinstance(c, do.TellTransfer) and c.outcome != "rings"]
        was_under_way, is_under_way = bool(edge.source.model.transfer), bool(edge.target.model.transfer)
        assert len(told) == (was_under_way and not is_under_way), edge
        ended |= {(edge.step.before, outcome) for outcome in told}
    assert {(state, "call_ended") for state in ("streaming", "recovering", "transferring", "bridged")} < ended


def test_another_legs_events_change_nothing(some: Sample) -> None:
    for node in some(graph().nodes, 4):
        before = node.model.key()
        for event in map(of_another_leg, CALLERS_EVENTS):
            step = take(node.model, event)
            assert (step.taken, step.commands) == (False, []), (node, event)
        assert node.model.key() == before, node


def test_what_is_inert_has_no_consequence_at_all() -> None:
    for edge in graph().edges:
        if not edge.step.taken:
            assert edge.step.commands == [], edge
            assert edge.target.model.key() == edge.source.model.key(), edge


def test_news_that_decides_nothing_is_inert_everywhere() -> None:
    idle = (ev.StreamAnnounced, ev.CarrierRecording, ev.Dtmf, ev.CarrierNotice, ev.CommandDone)
    for edge in graph().edges:
        if edge.event == done(do.Dial.name) or edge.event.leg == ev.HUMAN:
            continue
        if edge.event in (done(do.Join.name), done(do.Refer.name), done(do.FindPerson.name)):
            continue
        if isinstance(edge.event, idle) or "unheard_of" in edge.event.trigger or type(edge.event) is Event:
            assert not edge.step.taken, edge


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.leg}-{event.trigger}")
def test_any_event_in_any_state_does_no_harm(event: Event) -> None:
    """Also in states that no call can reach: every mix of what a model can hold."""
    for state in STATES:
        for engine in ("none", "connecting", "ready", "lost"):
            for media in ("none", "open", "lost"):
                for farewell in (
                    machine.FAREWELL_NONE,
                    machine.FAREWELL_PENDING,
                    machine.SPEAKING,
                    machine.CLIP,
                    *BY_AGENT,
                    *machine.TO_MACHINE,
                ):
                    model = Model()
                    model.state, model.engine, model.media, model.farewell = state, engine, media, farewell
                    model.answer_sent, model.armed = True, frozenset(DEADLINES)
                    step = take(model, event)
                    if state == HANGUP:
                        assert (step.taken, step.commands, model.state) == (False, [], HANGUP)


# --- Random walks: the same promises, found by another road


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(1, 3)), max_size=40))
def test_a_random_call(story: list[tuple[Event, int]]) -> None:
    model = Model(engine_tries=TRIES, stream_tries=STREAMS)
    given_out: list[do.Command] = []
    for event, times in story:
        for _ in range(times):
            was_over = machine.is_over(model)
            step = take(model, event)
            assert not (was_over and step.commands)
            given_out += step.commands
    names = Counter(command.name for command in given_out if not (isinstance(command, do.Answer) and command.again))
    once: set[type[do.Command]] = {do.Answer, do.Greet, do.Speak, do.Hangup, do.Reject, do.Release}
    if any(isinstance(event, ev.CallRecovered) for event, _ in story):
        once -= {do.Greet}  # the process that had greeted was gone before anybody can have heard it
    assert all(names[kind.name] <= 1 for kind in once), names
    assert names[do.Release.name] == machine.is_over(model)
    for _ in range(10):
        for deadline in sorted(model.armed):
            take(model, passed(deadline))
    assert machine.is_over(model) or not model.answer_sent
