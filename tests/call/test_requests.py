"""What may be asked of a call: what is wanted is what counts, also while what was asked before still waits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest

from callflow.call import machine
from callflow.call.line_requests import NO_CALLER, NOT_ON_HOLD, TRANSFERRED
from callflow.call.mailbox import Mailbox
from callflow.call.requests import (
    ENDING,
    HELD,
    MOST_SUMMARY,
    PAUSES,
    RESUMES,
    TRANSFERS_CALL,
    Requests,
    referred,
)
from callflow.contracts import events
from callflow.contracts.events import Event
from callflow.contracts.tools import TransferAction
from callflow.journal.notes import EndCall, Note
from callflow.media.audio_gates import AudioGates
from tests.call.offline import config


class Scene:
    """A call that talks, whose mailbox nobody empties but the test."""

    def __init__(self, *can: str, records: bool = False, **settings: Any) -> None:
        self.model = machine.Model()
        self.model.state, self.model.engine, self.model.media = machine.STREAMING, "ready", "open"
        self.mailbox, self.notes, self.learnt = Mailbox(), list[Note](), list[str]()
        self.recordings = SimpleNamespace(
            pause=SimpleNamespace(is_on=False), by_carrier=records, may_begin=True, is_offered=True, is_any=records
        )
        agent = SimpleNamespace(
            protected_greeting=SimpleNamespace(is_open=False),
            prompter=SimpleNamespace(learn=lambda text, speak: self.learnt.append(text)),
        )
        self.requests = Requests(
            config(**settings), lambda: self.model, self.mailbox, cast(Any, self.recordings), post=self.mailbox.put,
            note=self.notes.append, redact=str.upper, can=cast(Any, frozenset(can)), gates=AudioGates(),
            agent=lambda: cast(Any, agent),
        )  # fmt: skip

    def waiting(self) -> list[Event]:
        return [one.event for one in self.mailbox._waiting]

    def take(self) -> None:
        """Carry out what waits for the recordings, in order, as the machine would."""
        for one in self.mailbox.take_rest():
            if isinstance(one.event, events.RecordRequested):
                self.recordings.by_carrier = self.recordings.is_any = one.event.on
            if isinstance(one.event, events.PauseRequested):
                self.recordings.pause.is_on = one.event.on


@pytest.mark.parametrize("wishes", [(True, False), (True, False, True), (False,), (True, True), (False, True, False)])
@pytest.mark.parametrize("records", [True, False])
def test_of_several_wishes_to_record_the_last_one_is_done_although_none_was_carried_out_before_it(
    records: bool, wishes: tuple[bool, ...]
) -> None:
    """Who stopped a recording that had not begun yet was told that it was done, and it began."""
    the = Scene(records=records)
    for on in wishes:
        assert the.requests.record(on=on, by="console")
    the.take()
    assert the.recordings.by_carrier is wishes[-1]


@pytest.mark.parametrize("wishes", [(True, False), (True, False, True), (False,), (True, True), (False, True, False)])
def test_of_several_wishes_to_pause_the_last_one_is_done_although_none_was_carried_out_before_it(
    wishes: tuple[bool, ...],
) -> None:
    the = Scene(records=True)
    for on in wishes:
        assert the.requests.pause(on=on, by="agent")
    the.take()
    assert the.recordings.pause.is_on is wishes[-1]


def test_what_is_asked_for_twice_is_asked_of_the_call_once() -> None:
    the = Scene(records=True)
    for _ in range(2):
        the.requests.record(on=True, by="console")
        the.requests.record(on=False, by="console")
        the.requests.record(on=False, by="console")
        the.requests.pause(on=True, by="console")
        the.take()
    assert the.waiting() == []
    the = Scene(records=True)
    for _ in range(3):
        the.requests.pause(on=True, by="console")
        the.requests.hang_up("goodbye", "console")
    assert [event.name for event in the.waiting()] == ["pause_requested", "goodbye_requested"]


def test_nothing_begins_to_record_while_a_pause_waits_and_a_recording_that_waits_is_paused_at_the_carrier() -> None:
    the = Scene(records=False)
    the.recordings.is_any = True  # our own recording
    assert the.requests.pause(on=True, by="agent")
    assert not the.requests.record(on=True, by="console"), "it would have a card number in it"
    the = Scene(records=False)
    assert the.requests.record(on=True, by="console")
    assert the.requests.pause(on=True, by="agent"), "something is about to record"
    assert [event.carrier for event in the.waiting() if isinstance(event, events.PauseRequested)] == [True]


@pytest.mark.parametrize(
    ("state", "on", "changes", "taken"),
    [
        (machine.RINGING, True, {}, False), (machine.HANGUP, False, {}, False), (machine.STREAMING, True, {}, True),
        (machine.STREAMING, True, {"may_begin": False}, False), (machine.STREAMING, False, {"may_begin": False}, True),
    ],
)  # fmt: skip
def test_when_a_call_can_be_recorded(state: str, on: bool, changes: dict[str, Any], taken: bool) -> None:
    the = Scene()
    the.model.state = state
    vars(the.recordings).update(changes)
    assert not the.requests.pause(on=True, by="console"), "nothing records"
    assert the.requests.record(on=on, by="console") is taken
    assert not Scene("media_is_remote").requests.record(on=on, by="console"), "the audio does not come here"


def test_a_caller_who_is_being_taken_off_hold_can_be_put_on_it_again() -> None:
    """It was answered as done, and the caller was taken off hold."""
    the = Scene()
    assert the.requests.line.resume("console") == NOT_ON_HOLD
    the.model.armed = frozenset({"hold"})
    assert the.requests.line.hold("console") == ""
    assert the.waiting() == [], "they are on hold already"
    assert (the.requests.line.resume("console"), the.requests.line.hold("console")) == ("", "")
    assert [event.name for event in the.waiting()] == ["resume_requested", "hold_requested"]


def test_a_caller_who_is_being_put_on_hold_can_be_taken_off_it_again() -> None:
    """It was refused as nothing to do, and the caller was put on hold."""
    the = Scene()
    assert (the.requests.line.hold("console"), the.requests.line.resume("console")) == ("", "")
    assert [event.name for event in the.waiting()] == ["hold_requested", "resume_requested"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""), ({"farewell": "agent"}, ENDING), ({"state": machine.HANGUP}, ENDING),
        ({"transfer": "warm"}, TRANSFERRED), ({"armed": frozenset({"hold"})}, HELD),
        ({"state": machine.RINGING}, NO_CALLER), ({"engine": "lost"}, NO_CALLER), ({"engine": "connecting"}, ""),
        ({"farewell": "agent", "transfer": "warm"}, ENDING),
    ],
)  # fmt: skip
def test_when_a_caller_can_be_connected_with_a_person(changes: dict[str, Any], why: str) -> None:
    the = Scene("transfers")
    for name, value in changes.items():
        setattr(the.model, name, value)
    assert the.requests.transfer("desk", "+15550100003", by="console", summary="x" * 5000) == why
    for event in the.waiting():
        assert isinstance(event, events.TransferRequested)
        assert len(event.summary) == MOST_SUMMARY


def test_the_end_at_once_is_asked_for_beside_a_goodbye_and_each_once() -> None:
    the, ways = Scene(), cast(list[Literal["goodbye", "now"]], ["goodbye", "goodbye", "now", "now", "goodbye"])
    for way in ways:
        the.requests.hang_up(way, "console")
    assert [event.name for event in the.waiting()] == ["hangup_requested", "goodbye_requested"]


@pytest.mark.parametrize(
    ("number", "can", "shown"),
    [
        ("+15550100003", {"transfers"}, "+15550100003"), ("+15550100003", {"refers"}, "tel:+15550100003"),
        ("sip:desk@pbx.example", {"refers"}, "sip:desk@pbx.example"), ("", {"refers"}, ""),
    ],
)  # fmt: skip
def test_where_a_carrier_only_refers_a_number_becomes_the_address_of_a_telephone(
    number: str, can: set[str], shown: str
) -> None:
    assert referred(number, cast(Any, frozenset(can))) == shown


def test_the_agent_has_the_tools_that_can_be_carried_out() -> None:
    targets = {"front desk": "+15550100003"}
    assert set(Scene().requests.of_tools(outbound=False)) == {"end_call", PAUSES, RESUMES}
    the = Scene(transfer_targets=targets)
    assert TRANSFERS_CALL not in the.requests.of_tools(outbound=False), "the carrier can do neither"
    the = Scene("transfers", transfer_targets=targets, dtmf_tool="outbound")
    assert len(the.requests.of_tools(outbound=True)) == len(the.requests.of_tools(outbound=False)) + 1
    act: Any = the.requests.of_tools(outbound=False)[TRANSFERS_CALL]
    assert isinstance(act, TransferAction)


def test_whom_the_agent_names_is_found_however_it_is_written_and_nobody_else() -> None:
    the = Scene("transfers", transfer_targets={"front desk": "+15550100003"})
    assert the.requests._transfer_by_agent("nobody", "")[1] != ""
    assert the.waiting() == []
    assert the.requests._transfer_by_agent(" Front \n DESK ", "He wants two.") == ("warm", "")
    (event,) = the.waiting()
    assert isinstance(event, events.TransferRequested)
    assert (event.number, event.summary, event.by) == ("+15550100003", "He wants two.", "agent")


def test_why_the_agent_ends_a_call_is_written_down_without_what_is_private_and_in_short() -> None:
    the = Scene()
    the.requests._end_by_agent("x" * 500)
    assert the.notes == [EndCall(reason="X" * 200)]
    assert [event.name for event in the.waiting()] == ["end_requested"]
