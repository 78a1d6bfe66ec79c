"""What a list tells of a call: the same whether it is live, on record, or known from its journal only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from callflow.history.call_list import ListedCall, newest, of_entries, of_live, of_row
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Began, Ended, Ids, Note


CALL, SID = "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc", "CA00000000000000000000000000000001"
OURS, THEIRS = "+15550100002", "+15550100001"
BEGAN = 1_700_000_000.0
AT = [f"2023-11-14T22:13:{20 + seconds}.000Z" for seconds in range(30)]
"""The moments from the beginning on, in seconds."""


def row(**more: Any) -> dict[str, Any]:
    return {
        "stream_sid": "MZ1", "phone_number": OURS, "caller_number": THEIRS, "started_at": AT[0], "ended_at": AT[9],
        "duration_seconds": 9, "call_id": CALL, "carrier": "twilio", "carrier_call_id": SID, "direction": "inbound",
        "state": "hangup", "hangup_cause": "completed", "hangup_source": "caller", "answered_at": AT[2],
        "hung_up_at": AT[8], "business": None, **more,
    }  # fmt: skip


def test_a_call_on_record() -> None:
    assert of_row(row()).to_json() == {
        "sid": SID, "id": CALL, "carrier": "twilio", "to": OURS, "from": THEIRS, "status": "completed",
        "direction": "inbound", "startTime": AT[0], "endTime": AT[9], "duration": 7, "cause": "completed",
        "causeText": "it was hung up in the ordinary way, by the caller",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"direction": "outbound"}, {"from": OURS, "to": THEIRS, "direction": "outbound"}),
        ({"direction": "outbound"}, {"causeText": "it was hung up in the ordinary way, by us"}),
        ({"carrier_call_id": ""}, {"sid": CALL, "id": CALL}),
        ({"carrier_call_id": None}, {"sid": CALL}),
        (
            {"answered_at": None, "hangup_cause": "user_busy", "direction": "outbound"},
            {"status": "busy", "duration": None, "endTime": AT[9], "causeText": "the line was busy"},
        ),
        (
            {"ended_at": None, "hangup_cause": None, "hangup_source": None},
            {"status": "completed", "endTime": AT[8], "duration": 6, "cause": None,
             "causeText": "it is over, and its last words are still to come"},
        ),
        (
            {"ended_at": None, "hung_up_at": None, "state": "streaming", "hangup_cause": None},
            {"status": "in-progress", "endTime": None, "duration": None, "cause": None, "causeText": None},
        ),
        (
            {"ended_at": None, "hung_up_at": None, "state": "ringing", "hangup_cause": None, "answered_at": None,
             "direction": "outbound", "carrier_call_id": ""},
            {"status": "queued"},
        ),
        (
            {"call_id": None, "carrier": None, "carrier_call_id": None, "direction": None, "state": None,
             "hangup_cause": None, "hangup_source": None, "answered_at": None, "hung_up_at": None},
            {"sid": "MZ1", "id": "MZ1", "status": "completed", "direction": "inbound", "duration": 9,
             "causeText": "why is not in the history"},
        ),
        (
            {"call_id": None, "carrier": None, "carrier_call_id": None, "direction": None, "state": None,
             "ended_at": None, "hangup_cause": None, "answered_at": None, "hung_up_at": None},
            {"status": "completed", "endTime": None, "duration": None, "causeText": "no end is in the history"},
        ),
        ({"ended_at": "some time"}, {"endTime": "some time", "duration": None}),
        ({"phone_number": "", "caller_number": None}, {"to": None, "from": None}),
    ],
)  # fmt: skip
def test_rows_of_every_kind(about: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    found = of_row(row(**about)).to_json()
    assert {name: found[name] for name in told} == told


def described(**more: Any) -> dict[str, Any]:
    return {
        "id": CALL, "carrier": "telnyx", "carrier_id": "v3:x", "direction": "inbound", "state": "streaming",
        "conversation": "listening", "from": THEIRS, "to": OURS, "began": BEGAN, "cause": "",
        "business": "", **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({}, {"sid": "v3:x", "id": CALL, "status": "in-progress", "from": THEIRS, "to": OURS, "startTime": AT[0],
              "endTime": None, "duration": None, "cause": None, "causeText": None}),
        ({"state": "ringing"}, {"status": "ringing"}),
        ({"state": "ringing", "direction": "outbound", "carrier_id": ""}, {"status": "queued", "sid": CALL}),
        ({"state": "ringing", "direction": "outbound"}, {"status": "ringing", "direction": "outbound"}),
        ({"from": ""}, {"from": None}),
    ],
)  # fmt: skip
def test_a_live_call(about: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    call = of_live(described(**about))
    assert call is not None
    assert {name: call.to_json()[name] for name in told} == told


def test_a_call_that_is_only_being_let_go_of_is_not_live() -> None:
    assert of_live(described(state="hangup")) is None


def note(note: Note, seconds: float = 0.0) -> JournalEntry:
    return JournalEntry.of(note, call=CALL, at=BEGAN + seconds)


def step(seconds: float, before: str, after: str, **event: Any) -> JournalEntry:
    return JournalEntry(CALL, 1, BEGAN + seconds, {"event": "media_started", **event}, before, after, taken=True)


BEGINNING = note(Began(carrier="twilio", from_number=OURS, to_number=THEIRS, direction="outbound"))


def test_the_leg_of_a_person_does_not_give_the_call_its_id() -> None:
    call = of_entries(CALL, [BEGINNING, note(Ids(control=SID), 1), note(Ids(control="of a person", of="human"), 2)])
    assert call is not None
    assert call.to_json()["sid"] == SID


def test_a_person_who_hangs_up_has_not_ended_the_call() -> None:
    persons = step(4, "transferring", "streaming", event="call_hangup", source="callee", leg="human")
    call = of_entries(CALL, [BEGINNING, step(3, "answered", "streaming"), persons, note(Ended(cause="completed"), 9)])
    assert call is not None
    assert "by the person" not in call.to_json()["causeText"]


def test_a_call_that_is_known_from_its_journal_only() -> None:
    entries = [
        BEGINNING,
        step(0, "ringing", "ringing"),
        note(Ids(control=SID), 1),
        step(2, "ringing", "answered"),
        step(3, "answered", "streaming"),
        step(8, "streaming", "hangup", event="call_hangup", cause="completed", source="callee"),
        note(Ended(cause="completed"), 9),
    ]
    call = of_entries(CALL, entries)
    assert call is not None
    assert call.to_json() == {
        "sid": SID, "id": CALL, "carrier": "twilio", "to": THEIRS, "from": OURS, "status": "completed",
        "direction": "outbound", "startTime": AT[0], "endTime": AT[9], "duration": 7, "cause": "completed",
        "causeText": "it was hung up in the ordinary way, by the person who was called",
    }  # fmt: skip
    statuses = [found.to_json()["status"] for n in range(1, 8) if (found := of_entries(CALL, entries[:n])) is not None]
    assert statuses == ["queued", "queued", "ringing", "in-progress", "in-progress", "completed", "completed"]


def test_an_end_before_its_note_counts_from_then() -> None:
    entries = [BEGINNING, step(2, "ringing", "streaming"), note(Ended(cause="agent", until=BEGAN + 5), 7)]
    call = of_entries(CALL, entries)
    assert call is not None
    assert (call.over, call.seconds) == (AT[5], 3)


def test_a_call_that_did_not_begin_is_none() -> None:
    assert of_entries(CALL, []) is None
    assert of_entries(CALL, [step(0, "", "", event="call_hangup")]) is None


def test_the_newest_come_first_and_each_once() -> None:
    def call(name: str, second: int, state: str = "hangup") -> ListedCall:
        return ListedCall(
            id=name, carrier_id="", carrier=None, direction="inbound", caller=None, called=None, state=state,
            began=AT[second],
        )  # fmt: skip

    calls = [call("b", 2, "streaming"), call("a", 1), call("b", 2), call("d", 4), call("c", 3)]
    assert [(each.id, each.state) for each in newest(calls, 3)] == [
        ("d", "hangup"), ("c", "hangup"), ("b", "streaming"),
    ]  # fmt: skip
