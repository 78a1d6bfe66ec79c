"""A call made again from its journal: what the next session of the model is told of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pytest

from callflow.agent.prompts import typing_lost
from callflow.agent.usage import UsageTotal
from callflow.call import machine
from callflow.call.command_ids import CommandPlace
from callflow.call.dtmf import MASK
from callflow.call.restore import restore_call
from callflow.contracts import commands, events
from callflow.contracts.engine import Usage
from callflow.journal.journal import BEGAN, JournalEntry


def recorded(*told: Mapping[str, Any]) -> list[JournalEntry]:
    first = {"event": BEGAN, "carrier": "telnyx", "from": "+15550100001", "to": "+15550100002"}
    return [JournalEntry("call", 0, float(number), dict(event)) for number, event in enumerate([first, *told])]


@pytest.mark.parametrize(
    ("digits", "told"), [("42", "4 2"), (MASK * 2, typing_lost()), ("", "")], ids=["typed", "nobody may read", "none"]
)
def test_an_entry_that_nobody_was_told_of_is_told(digits: str, told: str) -> None:
    keys = [{"event": "dtmf", "digit": digit} for digit in digits]
    call = restore_call(recorded(*keys, {"event": "digits", "digits": digits}))
    assert call is not None
    assert not call.keys.is_begun
    assert [turn.who for turn in call.turns] == (["system"] if told else [])
    assert all(told in turn.text for turn in call.turns)


def test_keys_that_were_told_are_not_told_again() -> None:
    typed = ({"event": "dtmf", "digit": "4"}, {"event": "digits", "digits": "4"})
    call = restore_call(recorded(*typed, {"event": "told", "text": "The caller typed 4."}))
    assert call is not None
    assert [turn.text for turn in call.turns] == ["The caller typed 4."]
    assert not call.keys.is_begun


def test_an_entry_that_was_being_typed_is_not_told_before_its_end() -> None:
    told = ({"event": "told", "text": "Something else."}, {"event": "dtmf", "digit": "2"})
    call = restore_call(recorded({"event": "dtmf", "digit": "4"}, *told))
    assert call is not None
    assert [turn.text for turn in call.turns] == ["Something else."]
    assert call.keys.take() == "42"


@pytest.mark.parametrize("told", [0, 1])
def test_a_webhook_about_a_key_that_comes_again_after_a_move_is_known(told: int) -> None:
    notice = {"event": "carrier_notice", "digit": "5", "source": "", "delivery": "w1"}
    press = {"event": "dtmf", "digit": "5", "delivery": "" if told else "w1", "source": "stream" if told else ""}
    call = restore_call(recorded(press, *[notice] * told))
    assert call is not None
    assert not call.keys.press("5", "", 8.0, "w1")
    assert call.keys.take() == "5"


def test_the_keys_of_the_person_to_whom_the_call_went_are_not_the_callers() -> None:
    call = restore_call(recorded({"event": "dtmf", "digit": "1", "leg": "human"}))
    assert call is not None
    assert (call.turns, call.keys.is_begun) == ([], False)


def test_a_persons_key_that_was_told_before_the_move_is_known_and_is_no_report_of_a_callers_key() -> None:
    of_person = {"digit": "1", "leg": "human", "source": "asked", "delivery": "w1"}
    told = ({"event": "dtmf", **of_person}, {"event": "carrier_notice", **of_person})
    call = restore_call(recorded({"event": "dtmf", "digit": "1", "source": "stream"}, *told))
    assert call is not None
    assert not call.keys.is_new("w1")
    assert not call.keys.press("1", "", 4.0), "the person's notice stood for the webhook about the caller's key"
    assert call.keys.take() == "1"


def test_whether_somebody_has_listened_is_known_again_of_the_present_transfer() -> None:
    requested = {"event": "transfer_requested", "leg": "caller", "target": "sales", "notice": "It is written down."}
    steps = [JournalEntry("call", 1, 2.0, requested, machine.STREAMING, machine.STREAMING, taken=True)]
    began = JournalEntry("call", 1, 3.0, {"event": "listening", "state": "began"})
    for entries, listened in (([*steps], False), ([*steps, began], True), ([*steps, began, *steps], False)):
        call = restore_call([*recorded(), *entries])
        assert call is not None
        assert call.was_listened is listened


def test_an_agent_that_is_muted_for_somebody_who_is_gone_is_given_back() -> None:
    """The mute was to be ended behind the note of the end."""
    muted = {"event": "mute_requested", "party": "agent", "on": True, "by": "take-over, token mia", "for_person": True}
    told = [{"event": "take_over", "state": state, "by": "token mia"} for state in ("began", "ended")]
    entries = recorded(told[0], muted, told[1])
    entries[2] = JournalEntry("call", 1, 2.0, muted, machine.STREAMING, machine.STREAMING, taken=True)
    for end, by in ((3, "token mia"), (4, "token mia")):
        call = restore_call(entries[:end])
        assert call is not None
        assert (call.taken_by, call.muted) == (by, {"agent"})
    given = {**muted, "on": False}
    entries.append(JournalEntry("call", 2, 4.0, given, machine.STREAMING, machine.STREAMING, taken=True))
    call = restore_call(entries)
    assert call is not None
    assert (call.taken_by, call.muted) == ("", set())


def test_a_deadline_that_is_over_takes_no_time_from_the_next_one() -> None:
    model, entries = machine.Model(), recorded()
    steps: tuple[events.Event, ...] = (
        events.CallInitiated(), events.CallAnswered(), events.EngineReady(), events.MediaStarted(),
        events.HoldRequested(by="mia"),
    )  # fmt: skip

    def take(event: events.Event) -> None:
        step = machine.take(model, event)
        told = [commands.to_json(command) for command in step.commands]
        number = len(entries)
        entries.append(
            JournalEntry(
                "call", number, float(number), events.to_json(event), step.before, step.after, step.taken, told
            )
        )

    for event in steps:
        take(event)
    held = restore_call(entries)
    assert held is not None
    assert held.armed["hold"] == 5.0
    take(events.ResumeRequested(by="mia"))
    talking = restore_call(entries)
    assert talking is not None
    assert ("hold" in talking.armed, "warning" in talking.armed) == (False, True)
    assert talking.elapsed(16.0) == {"hold": 0.0, "warning": 14.0}


def test_the_time_limit_of_a_call_is_counted_over_transfers_and_processes() -> None:
    model, entries = machine.Model(), recorded()

    def take(event: events.Event, at: float) -> None:
        step = machine.take(model, event)
        told = [commands.to_json(command) for command in step.commands]
        entry = JournalEntry("call", len(entries), at, events.to_json(event), step.before, step.after, step.taken, told)
        entries.append(entry)

    def elapsed(now: float) -> Mapping[str, float]:
        call = restore_call(entries)
        assert call is not None
        return call.elapsed(now)

    for event in (events.CallInitiated(), events.CallAnswered(), events.EngineReady(), events.MediaStarted()):
        take(event, 10.0)
    take(events.TransferRequested(mode="cold", number="+15550100077"), 30.0)
    assert elapsed(500.0) == {"warning": 20.0}, "it is not counted while the carrier rings a person"
    take(events.CallResumed(), 40.0)
    take(events.MediaStarted(), 41.0)
    assert elapsed(50.0) == {"warning": 29.0}
    for at in (60.0, 70.0):  # by two processes, one after the other
        take(events.CallRecovered(), at)
    assert elapsed(80.0) == {"warning": 59.0}
    take(events.DeadlinePassed(deadline="warning"), 80.0)
    assert elapsed(85.0) == {"warning": math.inf, "call": 5.0}


def test_a_command_is_known_by_the_process_that_sent_it() -> None:
    def hung_up(*before: dict[str, str]) -> CommandPlace | None:
        told: list[dict[str, str]] = [*before, {"event": "hangup_requested"}]
        hangup = [commands.to_json(commands.Hangup())]
        steps = [
            JournalEntry(
                "call", number, 2.0, event, "streaming", "streaming", True, hangup if number == len(told) else []
            )
            for number, event in enumerate(told, 1)
        ]
        call = restore_call([*recorded(), *steps])
        assert call is not None
        return call.hangup

    taken = {"event": "call_recovered", "found": "answered"}
    assert hung_up() == CommandPlace(1, 0)
    assert hung_up(taken) == CommandPlace(2, 0), "by a process of an earlier version"
    assert hung_up(taken | {"mark": "one"}, taken | {"mark": "two"}) == CommandPlace(3, 0, "two")


def test_what_was_whispered_is_known_again() -> None:
    call = restore_call(recorded({"event": "whispered", "id": "1", "text": "Offer ten percent.", "by": "console"}))
    assert call is not None
    assert ["Offer ten percent." in turn.text for turn in call.turns] == [True]


def test_what_the_caller_lookup_told_is_known_again() -> None:
    note = {"event": "caller_lookup", "outcome": "answered", "profile": "sales", "variables": {"name": "Ada", "bad": 1}}
    call = restore_call(recorded(note))
    assert call is not None
    assert call.looked_up is not None
    assert (call.looked_up.profile, call.looked_up.variables) == ("sales", {"name": "Ada"})
    nobody = restore_call(recorded())
    assert nobody is not None
    assert nobody.looked_up is None


def test_the_variables_of_an_outbound_call_are_known_again() -> None:
    first = {
        "event": BEGAN, "carrier": "telnyx", "direction": "outbound", "variables": {"name": "Ada"}, "order": "abc",
        "record": True,
    }  # fmt: skip
    call = restore_call([JournalEntry("call", 0, 0.0, first)])
    assert call is not None
    assert call.order is not None
    assert (call.order.variables, call.order.fingerprint()) == ({"name": "Ada"}, "abc")
    assert call.order.record, "it was asked for, and may not have begun yet"


def test_the_moment_of_the_answer_is_known_again() -> None:
    began, *_ = recorded()
    steps = [
        JournalEntry("call", 1, 3.0, {"event": "call_initiated", "direction": "incoming"}, "ringing", "ringing"),
        JournalEntry("call", 2, 5.0, {"event": "call_answered"}, "ringing", "answered"),
        JournalEntry("call", 3, 7.0, {"event": "media_started"}, "answered", "streaming"),
    ]
    call = restore_call([began, *steps])
    assert call is not None
    assert call.answered_at == 5.0
    rings = restore_call([began, *steps[:1]])
    assert rings is not None
    assert rings.answered_at is None


def test_a_call_that_had_used_nothing_goes_on_with_a_known_price() -> None:
    used = UsageTotal()
    used.restore({})
    used.add(Usage(usage={"input": 5}, model="m", usd=0.5))
    assert used.total() == {"models": {"m": {"input": 5}}, "usd": 0.5}


@pytest.mark.parametrize(("encoding", "unheard"), [("pcmu", ["Hello."]), ("remote", [])])
def test_what_was_being_said_is_cut_off_only_where_the_audio_came_here(encoding: str, unheard: list[str]) -> None:
    said = {"event": "turn", "who": "agent", "item": "i1", "text": "Hello.", "whole": True}
    call = restore_call(recorded({"event": "media_started", "encoding": encoding}, said))
    assert call is not None
    assert [turn.text for turn in call.turns] == ["Hello."]
    assert [turn.unheard_text for turn in call.cuts] == unheard


def test_the_newest_stream_is_known_by_the_carriers_id() -> None:
    started = [{"event": "media_started", "encoding": "PCMU", "stream": name} for name in ("one", "two")]
    call = restore_call(recorded(*started))
    assert call is not None
    assert call.stream == "two"


@pytest.mark.parametrize("session", ["call:abc", "v3:x"])
def test_how_the_other_side_of_an_outbound_call_was_ordered_is_known_without_that_call(session: str) -> None:
    """Another node may have that call: the agent was the one of the number, and not the one that was ordered."""
    began, *_ = recorded()
    told = {"session": session, "profile": "pears", "session_settings": {"voice": "ash"}, "variables": {"name": "Ada"}}
    call = restore_call([dataclasses.replace(began, event=began.event | told)])
    assert call is not None
    assert call.order is None
    assert (call.part_of is not None) is session.startswith("call:")
    if call.part_of is not None:
        ordered = call.part_of
        assert (ordered.profile, ordered.session, ordered.variables) == ("pears", {"voice": "ash"}, {"name": "Ada"})


@pytest.mark.parametrize(
    "told",
    [
        {"event": "turn", "who": "caller", "item": "i1~3", "text": "Hello.", "whole": True},
        {"event": "turn", "who": "caller", "item": "i1~3", "text": "", "whole": True},
        {"event": "tool_called", "id": "t1~3", "tool": "look_up", "arguments": "{}"},
        {"event": "hosted_tool", "id": "h1~3", "kind": "web_search"},
    ],
    ids=lambda told: told["event"] + (" with words" if told.get("text") else ""),
)
def test_no_session_of_the_next_process_gets_a_number_that_ids_of_the_call_have(told: Mapping[str, Any]) -> None:
    call = restore_call(
        recorded(told, {"event": "turn", "who": "agent", "item": "i9~2", "text": "Yes.", "whole": True})
    )
    assert call is not None
    assert call.agent_state.last_session == 3


def test_whether_a_person_has_had_the_caller_is_known_again() -> None:
    talk = {"event": "call_bridged", "leg": "caller"}
    bridged = JournalEntry("call", 1, 2.0, talk, machine.TRANSFERRING, machine.BRIDGED, taken=True)
    took = recorded({"event": "take_over", "state": "began", "by": "mia"})
    gave_back = [*took, *recorded({"event": "take_over", "state": "ended", "by": "mia"})[1:]]
    for entries, met in ((recorded(), False), (took, True), (gave_back, True), ([*recorded(), bridged], True)):
        call = restore_call(entries)
        assert call is not None
        assert call.agent_state.met_person is met


@pytest.mark.parametrize("speaks", ["caller_speaks", "agent_speaks"])
def test_a_call_was_left_quietly_unless_somebody_began_to_speak_behind_the_hand_over(speaks: str) -> None:
    left = {"event": "handed_over", "quiet": True}
    quiet, not_quiet = restore_call(recorded(left)), restore_call(recorded(left, {"event": speaks}))
    assert quiet is not None
    assert not_quiet is not None
    assert quiet.agent_state.left_quietly
    assert not not_quiet.agent_state.left_quietly


def test_speech_that_was_cut_off_before_its_words_were_written_counts_for_the_number_of_the_session() -> None:
    cut = {"item": "item_1~2", "heard_ms": 0, "received_ms": 200, "heard_text": "", "unheard_text": ""}
    call = restore_call(recorded({"event": "interrupted", "cuts": [cut]}))
    assert call is not None
    assert call.agent_state.last_session == 2
