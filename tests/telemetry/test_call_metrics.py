"""What calls write down becomes counts and times; each call is counted once, and forgotten when it has ended."""

from __future__ import annotations

import pytest

from callflow.call import machine
from callflow.contracts import events
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.note import schema
from callflow.telemetry import call_metrics
from callflow.telemetry.metrics import CARRIER_ERRORS, NAMED, STATES, Histogram
from tests.telemetry.entries import Written


def stage(written: Written, name: str) -> Histogram:
    return written.snapshot.histograms["callflow_stage_seconds"][(name,)]


def test_a_call_is_counted_and_timed_from_its_ring_to_its_end() -> None:
    written = Written()
    written.talk()
    assert written.value("callflow_calls_answered_total") == 1
    assert (stage(written, "ring_to_answer").count, stage(written, "ring_to_answer").sum) == (1, 1.5)
    assert (stage(written, "answer_to_first_word").count, stage(written, "answer_to_first_word").sum) == (1, 0.4)
    assert written.ended() == {}
    written.end("normal_clearing")
    assert written.ended() == {("success", "normal_clearing"): 1}
    assert not written.metrics._tallies


def test_a_caller_who_goes_before_the_agent_speaks_is_no_success() -> None:
    written = Written()
    written.step(events.CallInitiated(), "ringing")
    written.step(events.CallAnswered(), "ringing", "answered", at=1)
    written.end("normal_clearing")
    written.step(events.CallInitiated(), "ringing", call="d")
    written.end("originator_cancel", call="d")
    assert written.ended() == {("caller", "normal_clearing"): 1, ("caller", "originator_cancel"): 1}


@pytest.mark.parametrize("unanswered", [False, True])
def test_a_call_whose_answer_came_too_late_was_never_answered(unanswered: bool) -> None:
    written = Written()
    written.step(events.CallInitiated(), "ringing")
    written.step(events.CallAnswered(), "ringing", "answered", at=1)
    written.step(events.EngineReady(), "answered", at=2)
    written.step(events.CallHangup(cause="no_answer", unanswered=unanswered), "answered", "hangup", at=3)
    assert written.value("callflow_calls_answered_total") == (0 if unanswered else 1)
    assert stage(written, "ring_to_answer").count == (0 if unanswered else 1)


def test_a_call_that_another_process_began_counts_as_heard() -> None:
    written = Written()
    written.step(events.CallRecovered(), "streaming", "recovering")
    written.end("normal_clearing")
    assert written.ended() == {("success", "normal_clearing"): 1}
    assert stage(written, "ring_to_answer").count == 0


def test_a_call_that_is_found_answered_has_not_been_seen_ringing() -> None:
    written = Written()
    written.step(events.CallAnswered(), "ringing", "answered", at=5)
    written.step(events.MediaStarted(), "answered", "streaming", at=6)
    written.step(events.MediaLost(), "streaming", at=7)
    assert written.value("callflow_calls_answered_total") == 1
    assert stage(written, "ring_to_answer").count == 0


def test_refused_calls_are_counted_by_their_reason() -> None:
    written = Written()
    written.step(events.CallRefused(reason="busy"), "ringing", "hangup")
    written.note(notes.Ended(cause="busy"))
    written.step(events.CallAnswered(), "ringing", "answered", call="d")
    written.step(events.GoodbyeRequested(reason="caller_limit"), "answered", call="d")
    written.step(events.GoodbyeRequested(reason="operator", by="console"), "answered", call="e")
    written.step(events.CallRefused(reason="something new"), "ringing", "hangup", call="f")
    written.step(events.CallTurnedAway(reason="budget"), "ringing", call="g")
    written.step(events.GoodbyeRequested(reason="budget"), "streaming", call="h")
    rejected = written.snapshot.values["callflow_calls_rejected_total"]
    assert rejected == {("busy",): 1, ("caller_busy",): 0, ("caller_limit",): 1, ("budget",): 1, ("closed",): 0,
        ("draining",): 0,
        ("refused",): 0, ("other",): 1,
    }  # fmt: skip
    assert written.ended() == {("ours", "busy"): 1}


def test_a_fault_of_ours_is_counted_although_no_step_tells_of_it() -> None:
    written = Written()
    written.talk()
    written.note(notes.Ended(cause="our_fault"))
    assert written.ended() == {("ours", "our_fault"): 1}


def test_odd_causes_share_one_value() -> None:
    written = Written()
    names = len(written.snapshot.values["callflow_calls_ended_total"])
    for number in range(500):
        written.talk(f"call {number}")
        written.end(f"cause {number} +15550100{number}", call=f"call {number}")
    assert written.ended() == {("carrier", "other"): 500}
    assert len(written.snapshot.values["callflow_calls_ended_total"]) == names


def test_the_parts_of_a_wait_are_stages() -> None:
    written = Written()
    written.note(notes.Reply(ms=700))
    written.note(notes.Latency(detection_ms=500, engine_ms=600, own_ms=2, carrier_ms=98, total_ms=1200))
    told = {name: stage(written, name).sum for name in ("detection", "engine", "own", "carrier", "last_word_to_heard")}
    assert told == {"detection": 0.5, "engine": 0.6, "own": 0.002, "carrier": 0.098, "last_word_to_heard": 1.2}
    assert stage(written, "turn_to_reply").sum == 0.7


# Interruptions


def test_a_barge_in_is_timed_and_what_was_not_heard_is_measured() -> None:
    written = Written()
    written.talk()
    cut = notes.Cut(item="i", heard_ms=1000, received_ms=3500)
    written.note(notes.CallerSpeaks(), at=20.0)
    written.note(notes.Interrupted(cuts=(cut,), by_caller=True), at=20.125)
    written.note(notes.InterruptionEmpty(), at=21)
    found = written.snapshot
    stops = found.histograms["callflow_barge_in_stop_seconds"][()]
    assert (stops.count, stops.sum) == (1, 0.125)
    cuts = found.histograms["callflow_truncation_seconds"][()]
    assert (cuts.count, cuts.sum) == (1, 2.5)
    kinds = {("caller",): 1, ("noise",): 1, ("false_start",): 0, ("cut_off",): 0}
    assert found.values["callflow_interruptions_total"] == kinds


def test_what_broke_off_without_the_caller_is_no_barge_in() -> None:
    written = Written()
    written.talk()
    written.note(notes.CallerSpeaks(), at=20.0)
    written.note(notes.FalseStart(), at=20.1)
    written.note(notes.CallerPauses(), at=20.1)
    written.note(notes.Interrupted(cuts=(), by_caller=False), at=21)
    written.note(notes.CutOff(cuts=()), at=21)
    written.note(notes.Interrupted(cuts=(), by_caller=True), at=30)
    assert written.snapshot.histograms["callflow_barge_in_stop_seconds"][()].count == 0
    written.note(notes.AgentSpeaks(), at=31)
    assert written.value("callflow_interruptions_total", "cut_off") == 2
    assert written.value("callflow_interruptions_total", "false_start") == 1


@pytest.mark.parametrize(("cause", "times"), [("normal_clearing", 0), ("operator", 0), ("stream_lost", 1)])
def test_an_agent_that_breaks_off_because_somebody_ends_the_call_is_not_counted(cause: str, times: int) -> None:
    written = Written()
    written.talk()
    # the carrier closes the stream before it says that the caller has hung up
    written.note(notes.Interrupted(cuts=(), by_caller=False), at=20)
    written.step(events.MediaLost(), "streaming", at=20)
    assert written.value("callflow_interruptions_total", "cut_off") == 0
    written.end(cause, at=20.1)
    assert written.value("callflow_interruptions_total", "cut_off") == times


# Errors


def test_errors_of_the_engine_have_classes() -> None:
    written = Written()
    written.step(events.EngineLost(), "streaming")
    written.step(events.EngineLost(retry=False), "streaming")
    written.step(events.DeadlinePassed(deadline="engine"), "answered")
    written.note(notes.EngineUnable(reason="secret words"))
    written.note(notes.EngineComplaint(code="code of the vendor's"))
    written.note(notes.ResponseFailed(status="failed"))
    written.note(notes.NotTranscribed(item="i"))
    written.note(notes.EngineMissedSpeech())
    found = written.snapshot.values["callflow_engine_errors_total"]
    assert found == dict.fromkeys(found, 1.0)


def test_errors_of_the_carrier_have_classes() -> None:
    written = Written()
    for command in ("answer", "reject", "hangup", "speak", "stream", "of next year"):
        written.step(events.CommandFailed(command=command), "answered")
        written.step(events.CommandFailed(command=command, gone=True), "answered")
    written.step(events.StreamFailed(reason="the text of the carrier's"), "answered")
    written.step(events.StreamFailed(reason="refused by us, for it is not wanted any more"), "answered", taken=False)
    written.step(events.StreamFailed(reason="said of a stream whose end we have seen"), "streaming", taken=False)
    written.step(events.MediaRefused(reason="G722"), "answered")
    for deadline in ("ring", "stream", "restream", "grace", "farewell"):
        written.step(events.DeadlinePassed(deadline=deadline), "answered")
        written.step(events.DeadlinePassed(deadline=deadline), "answered", taken=False)
    written.note(notes.Ended(cause="agent", carrier_complaints=3))
    found = {labels[0]: value for labels, value in written.snapshot.values["callflow_carrier_errors_total"].items()}
    others = {"stream_failed": 2, "stream_timeout": 2, "media_complaint": 3}
    assert found == {**dict.fromkeys(CARRIER_ERRORS, 1), **others}


# Calls that should have ended


def test_a_call_that_is_not_let_go_of_within_five_seconds_has_failed_to_end() -> None:
    written = Written()
    live = {"c", "d"}
    for call, at in (("c", 100.0), ("d", 101.0)):
        written.talk(call)
        written.step(events.CallHangup(), "streaming", "hangup", at=at, call=call)
    for now, overdue in ((104.9, 0), (105.0, 1), (105.1, 1), (107.0, 2)):
        written.metrics.look(now, live.__contains__)
        assert written.value("callflow_calls_overdue") == overdue, now
    assert written.value("callflow_termination_failures_total", "not_released") == 2, "each counts once"
    written.note(notes.Ended(cause="normal_clearing"), call="c")
    live.clear()
    written.metrics.look(108.0, live.__contains__)
    assert written.value("callflow_calls_overdue") == 0
    assert written.value("callflow_termination_failures_total", "not_released") == 2


def test_a_call_that_only_waits_for_its_transcripts_has_ended() -> None:
    written = Written()
    written.talk()
    written.step(events.CallHangup(), "streaming", "hangup", at=100)
    written.metrics.look(200.0, lambda call: False)
    assert written.value("callflow_termination_failures_total", "not_released") == 0
    written.note(notes.Ended(cause="normal_clearing"))
    assert written.ended() == {("success", "normal_clearing"): 1}


def test_a_hangup_that_the_carrier_does_not_obey_is_a_failure_although_it_is_told_late() -> None:
    written = Written()
    written.talk()
    written.end("agent")
    written.step(events.CommandFailed(command="hangup", reason="500"), "hangup", taken=False)
    written.step(events.CommandFailed(command="hangup", gone=True), "hangup", taken=False)
    assert written.value("callflow_termination_failures_total", "hangup_failed") == 1
    assert written.value("callflow_carrier_errors_total", "hangup_failed") == 1
    assert not written.metrics._tallies, "what comes late opens no call"


# Media


def test_media_of_live_and_of_ended_calls_add_up_and_never_fall() -> None:
    written = Written()
    written.talk()
    written.talk("d")
    written.metrics.media("c", {"frames_in": 50, "bytes_out": 1600, "stale_marks": 1})
    written.metrics.media("d", {"frames_in": 7})
    written.metrics.media("nobody", {"frames_in": 1000})
    assert written.value("callflow_frames_in_total") == 57
    assert written.value("callflow_frames_out_total") == 10
    # It leaves the switchboard before its last note is written: until then the last figures hold.
    written.step(events.CallHangup(), "streaming", "hangup", at=9)
    assert written.value("callflow_frames_in_total") == 57
    written.end(
        "agent", frames_in=60, bytes_out=3200, late_frames=2, malformed_frames=3, reordered_frames=4,
        made_up_silence_ms=500, late_bytes=4000, stale_marks=1,
    )  # fmt: skip
    assert written.value("callflow_frames_in_total") == 67
    assert written.value("callflow_frames_out_total") == 20
    assert written.value("callflow_frames_dropped_total", "late") == 2
    assert written.value("callflow_frames_dropped_total", "malformed") == 3
    assert written.value("callflow_frames_reordered_total") == 4
    assert written.value("callflow_silence_made_up_seconds_total") == 0.5
    assert written.value("callflow_late_audio_seconds_total") == 0.5
    assert written.value("callflow_stale_marks_total") == 1


def test_a_call_that_is_handed_over_is_forgotten_and_its_frames_are_kept() -> None:
    written = Written()
    written.talk()
    written.metrics.media("c", {"frames_in": 50})
    written.note(notes.HandedOver())
    assert not written.metrics._tallies
    assert written.value("callflow_frames_in_total") == 50
    assert written.ended() == {}


def test_what_is_kept_of_calls_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_metrics, "_MOST_CALLS", 10)
    written = Written()
    for number in range(50):
        written.talk(f"call {number}")
        written.metrics.media(f"call {number}", {"frames_in": 1})
    assert len(written.metrics._tallies) == 10
    assert written.value("callflow_frames_in_total") == 50


def test_events_of_no_call_are_not_counted() -> None:
    written = Written()
    before = written.snapshot.values
    written.step(events.CallHangup(cause="odd"), "", call="stray")
    written.note(notes.Heard(item="i"), call="stray")
    written.metrics.take(JournalEntry("c", 0, 0.0, {}))
    assert not written.metrics._tallies
    assert written.snapshot.values == before


# Its names are those of the journal


def test_every_name_that_it_reads_is_one_of_the_journal() -> None:
    assert set(Written().metrics._notes) | set(call_metrics._NOTED_ENGINE_ERRORS) <= set(notes.KINDS)
    assert set(call_metrics._STREAM_ERRORS) <= set(events.KINDS)
    assert set(call_metrics._MISSED_DEADLINES) <= set(machine.DEADLINES)
    assert set(call_metrics._MEDIA) <= {each.name for each in schema(notes.Ended)}
    assert set(call_metrics._PARTS) <= {each.name for each in schema(notes.Latency)}
    assert set(machine.STATES) < set(STATES)
    assert call_metrics._HANGUP == machine.HANGUP
    assert call_metrics._RINGING == machine.RINGING
    assert set(call_metrics._NOTED_ENGINE_ERRORS.values()) <= set(NAMED["callflow_engine_errors_total"].labels["class"])
    assert set(call_metrics._MISSED_DEADLINES.values()) <= set(CARRIER_ERRORS)
