"""What a call writes down of its beginning and its end, and how it describes itself."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.call import call_notes
from callflow.call.machine import Fallback, Model
from callflow.call.outbound_order import OutboundOrder
from callflow.contracts.events import CallInitiated, CallRefused, CallTurnedAway, Event, LegIds
from callflow.journal import notes
from tests.agent.offline import Scene
from tests.call.offline import config
from tests.in_loop import in_loop


def call(**changes: Any) -> call_notes.Call:
    scene = Scene()
    made: dict[str, Any] = {
        "id": "call_1", "carrier": SimpleNamespace(name="fake"), "ids": LegIds("control", "leg", "session"),
        "from_number": "+15550100001", "to_number": "+15550100002", "began": 7.0, "direction": "inbound",
        "config": config(profile="sales", profile_version=3, business="acme", overrides={"voice": "cedar"}),
        "model": Model(engine_tries=5, stream_tries=2, suppress_noise=True), "agent": scene.agent,
        "relay": scene.relay, "requests": SimpleNamespace(line=SimpleNamespace(is_on_hold=True, muted=["agent"])),
        **changes,
    }  # fmt: skip
    return cast(call_notes.Call, SimpleNamespace(**made))


AWAY = CallTurnedAway(reason="budget", why="too much", from_number="+15550100001", to_number="+15550100002")


@pytest.mark.parametrize(
    ("event", "can", "found"),
    [
        (AWAY, ["speaks"], AWAY),
        (AWAY, [], CallRefused(reason="budget", why="too much", from_number="+15550100001", to_number="+15550100002")),
        (CallInitiated(), [], CallInitiated()),
        (CallRefused(), [], CallRefused()),
    ],
)
def test_who_cannot_hear_a_sentence_hears_that_the_line_is_busy(event: Event, can: list[Any], found: Event) -> None:
    assert call_notes.without_voice(event, frozenset(can)) == found


@in_loop
async def test_the_first_note_has_all_that_a_restore_needs_and_can_be_read_again() -> None:
    note = call_notes.began_note(call(), None, "https://phone.example")
    assert isinstance(note, notes.Began)
    assert notes.read(json.loads(json.dumps(notes.to_json(note)))) == note
    assert (note.carrier, note.control, note.leg, note.session) == ("fake", "control", "leg", "session")
    assert (note.profile, note.profile_version, note.business, note.kept) == ("sales", 3, "acme", {"voice": "cedar"})
    assert (note.engine_tries, note.stream_tries, note.suppress_noise) == (5, 2, True)
    assert (note.order, note.record, note.session_settings, note.variables) == ("", False, {}, {})
    assert (note.fallback_number, note.fallback_seconds, note.fallback_spoken) == ("", 0, False)
    assert note.address == "https://phone.example"


@in_loop
async def test_an_outbound_call_writes_down_its_order_and_a_fallback_what_it_is() -> None:
    order = OutboundOrder(
        to_number="+15550100001", from_number="+15550100002", carrier="fake", session={"voice": "cedar"},
        variables={"name": "Ada"}, record=True,
    )  # fmt: skip
    model = Model(fallback=Fallback("+15550100009", 12, spoken=True))
    note = call_notes.began_note(call(model=model), order, "")
    assert isinstance(note, notes.Began)
    assert note.order == order.fingerprint()
    assert (note.record, note.session_settings, note.variables) == (True, {"voice": "cedar"}, {"name": "Ada"})
    assert (note.fallback_number, note.fallback_seconds, note.fallback_spoken) == ("+15550100009", 12, True)


@pytest.mark.parametrize("until", [None, 1795648515.5])
@in_loop
async def test_the_last_note_has_the_figures_of_media_and_turns(until: float | None) -> None:
    made = call()
    made.model.cause = "completed"
    made.relay.frames_in = 50
    made.relay.counts["malformed_frames"] = 2
    note = call_notes.ended_note(made, until=until, notes_dropped=3)
    assert isinstance(note, notes.Ended)
    assert (note.cause, note.until, note.notes_dropped, note.frames_in) == ("completed", until, 3, 50)
    assert notes.to_json(note)["malformed_frames"] == 2
    assert note.interruptions == 0


@in_loop
async def test_operators_see_who_calls_and_how_it_stands() -> None:
    found = call_notes.describe(call())
    assert json.loads(json.dumps(found)) == {
        "id": "call_1", "carrier": "fake", "carrier_id": "control", "direction": "inbound", "business": "acme",
        "state": "ringing", "conversation": "listening", "on_hold": True, "muted": ["agent"],
        "from": "+15550100001", "to": "+15550100002", "began": 7.0, "cause": "",
    }  # fmt: skip
