"""The figures of a call's media, for its last note."""

from __future__ import annotations

import json

from callflow.journal import notes
from callflow.media.relay_figures import summary
from tests.in_loop import in_loop
from tests.media.offline import FRAME, PAYLOAD, A, Line, line


@in_loop
async def test_a_call_without_any_audio_has_figures_too() -> None:
    figures = summary(Line().relay)
    assert (figures["frames_in"], figures["bytes_out"], figures["made_up_silence_ms"]) == (0, 0, 0)
    assert figures["ping_ms"] is None, "no ping was sent"
    assert figures["network_ms"] is None, "nothing has shown it"


@in_loop
async def test_they_are_counted_where_they_happen() -> None:
    async with line() as one:
        await one.receive({"media": PAYLOAD, "chunk": 1}, {"media": "A", "chunk": 2}, {"error": "7"}, {"what": 1})
        one.relay.send_at_once(FRAME * 2, one.now)
        one.say(A, 1000, whole=False)
        one.relay.interrupt(one.now)
        one.relay.queue_speech(A, "resp_1", bytes(80))
        one.relay.silence_filler.seconds = 1.2344
        figures = summary(one.relay)
    once = ("frames_in", "malformed_frames", "carrier_complaints", "ignored_frames")
    assert {name: figures[name] for name in once} == dict.fromkeys(once, 1)
    assert figures["bytes_out"] == 320 + 1600, "as far as the lead goes"
    assert figures["late_bytes"] == 80
    assert figures["made_up_silence_ms"] == 1234


@in_loop
async def test_what_is_counted_by_name_never_hides_a_figure() -> None:
    one = Line()
    one.relay.frames_in = 5
    one.relay.counts["frames_in"] = 1
    assert summary(one.relay)["frames_in"] == 5


@in_loop
async def test_all_of_them_are_json_and_the_last_note_takes_them() -> None:
    async with line() as one:
        one.say(A, 100)
        figures = json.loads(json.dumps(summary(one.relay)))
    note = notes.read({"event": notes.Ended.kind, "cause": "completed", "until": None, "notes_dropped": 0, **figures})
    assert isinstance(note, notes.Ended)
    known = set(note.__struct_fields__) & set(figures)
    assert {name: getattr(note, name) for name in known} == {name: figures[name] for name in known}
    assert {"frames_in", "bytes_out", "late_bytes", "stale_marks"} <= known
