"""Turns what calls write into their journal into counts and histograms. Pure: times are those of the entries.

Steps and notes come a few times a second at most, frames never: those are counted by the media itself, and read when
somebody asks (`media`). What is kept of a call is small, and is dropped with its `ended` note.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from callflow.telemetry.call_results import known_cause, result_of
from callflow.telemetry.entry import Entry
from callflow.telemetry.last_hour import LastHour
from callflow.telemetry.metrics import CAUSES, NAMED, REFUSALS, STAGES, Histogram, Snapshot, bounded


OVERDUE_SECONDS: Final = 5.0
"""A call that is still here so long after its end has failed to terminate."""
_MOST_CALLS: Final = 20_000
_HANGUP: Final = "hangup"
"""The state in which a call is over."""
_RINGING: Final = "ringing"
_ANSWERED: Final = "answered"
_FRAME_BYTES: Final = 160
"""Of 20 ms of µ-law."""
_BYTES_PER_SECOND: Final = 8000
_PARTS: Final = {
    "detection_ms": "detection", "engine_ms": "engine", "own_ms": "own", "carrier_ms": "carrier",
    "total_ms": "last_word_to_heard",
}  # fmt: skip
"""The fields of a `latency` note, and their stages."""
_NOTED_ENGINE_ERRORS: Final = {
    "engine_unable": "unable", "engine_complaint": "complaint", "response_failed": "response_failed",
    "not_transcribed": "not_transcribed", "engine_missed_speech": "missed_speech",
}  # fmt: skip
_MISSED_DEADLINES: Final = {
    "stream": "stream_timeout", "restream": "stream_timeout", "grace": "stream_lost", "ring": "answer_timeout",
}  # fmt: skip
"""Deadlines that pass through a fault of the carrier's, and its class."""
_TURNED_AWAY: Final = ("call_refused", "call_turned_away")
_ANSWERED_REFUSALS: Final = frozenset(REFUSALS) - {"budget"}
"""Reasons of a goodbye to a call that was answered before it could be refused. A budget ends calls that were taken."""
_ORDERLY: Final = ("success", "caller")
"""Results of a call that somebody ended: where the agent broke off then, nothing was lost."""
_STREAM_ERRORS: Final = {"stream_failed": "stream_failed", "media_refused": "stream_refused"}
_MEDIA: Final = (
    "frames_in", "bytes_out", "late_frames", "reordered_frames", "malformed_frames", "made_up_silence_ms", "late_bytes",
    "stale_marks", "carrier_complaints",
)  # fmt: skip
"""The figures of a call's media, as in its `ended` note."""


class _Tally:
    """What is known of one call that has not ended."""

    __slots__ = ("began_at", "caller_began_at", "cut_off", "heard_agent", "is_answered", "is_counted", "media", "rang")

    def __init__(self, at: float) -> None:
        self.began_at = at
        self.is_answered = False
        self.rang: float | None = None
        """For how long, in seconds, until the answer; None: it was not seen ringing."""
        self.is_counted = False
        """It is counted as answered."""
        self.caller_began_at: float | None = None
        """When the engine reported that the caller began to speak, until the agent was stopped for it."""
        self.cut_off = 0
        """How often the agent broke off without the caller, and it is still open whether that was the call's end."""
        self.heard_agent = False
        self.media: Mapping[str, Any] = {}
        """The figures of its media when somebody asked last."""


class CallMetrics:
    """The counts of all calls since the start of the process, and a tally for each call that has not ended."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}
        self._ending: dict[str, float] = {}
        """When each call ended that has not been let go of, oldest first."""
        self._overdue: set[str] = set()
        self.hour = LastHour()
        self._counts: Counter[tuple[str, ...]] = Counter({
            ("callflow_calls_ended_total", result_of(cause, heard_agent=heard), cause): 0
            for cause in CAUSES
            for heard in (True, False)
        })  # fmt: skip
        """By the name of the metric and the values of its labels."""
        self._media: Counter[str] = Counter()
        """The figures of the media of all calls that have ended."""
        bounds = NAMED["callflow_stage_seconds"].buckets
        self._stages = {stage: Histogram(bounds) for stage in STAGES}
        self._stops = Histogram(NAMED["callflow_barge_in_stop_seconds"].buckets)
        self._truncations = Histogram(NAMED["callflow_truncation_seconds"].buckets)
        self._notes: dict[str, Callable[[_Tally | None, Entry], None]] = {
            "began": lambda tally, entry: self.hour.began(entry.at),
            "ended": self._ended,
            "handed_over": self._handed_over,
            "first_word": self._first_word,
            "agent_speaks": self._agent_speaks,
            "reply": self._reply,
            "latency": self._latency,
            "caller_speaks": self._caller_speaks,
            "caller_pauses": self._caller_pauses,
            "interrupted": self._interrupted,
            "cut_off": self._cut_off,
            "false_start": lambda tally, entry: self._count("callflow_interruptions_total", "false_start"),
            "interruption_empty": lambda tally, entry: self._count("callflow_interruptions_total", "noise"),
        }

    @property
    def carrier_errors(self) -> int:
        """How many commands and streams have failed with carriers since the start."""
        return sum(count for name, count in self._counts.items() if name[0] == "callflow_carrier_errors_total")

    # Feeding

    def take(self, entry: Entry) -> None:
        """Count one entry of the journal, as it is written: a step, a note, or an event that came too late."""
        name = entry.event.get("event")
        if entry.before:
            self._step(name, entry)
        elif name in self._notes:
            self._notes[name](self._tallies.get(entry.call), entry)
        elif name in _NOTED_ENGINE_ERRORS:
            self._count("callflow_engine_errors_total", _NOTED_ENGINE_ERRORS[name])

    def media(self, call: str, figures: Mapping[str, Any]) -> None:
        """Take the figures of a live call's media, by the names of the `ended` note's fields."""
        tally = self._tallies.get(call)
        if tally is not None:
            tally.media = figures

    def look(self, now: float, is_live: Callable[[str], bool]) -> None:
        """Count the calls that should have ended by now. `now`: Unix time; `is_live`: whether a call is still here.

        Made to be called several times a second: it looks at calls that are ending only.
        """
        for call, at in list(self._ending.items()) if self._ending else ():
            if now - at < OVERDUE_SECONDS:
                break
            if not is_live(call):  # it is let go of, and only its transcripts are awaited
                del self._ending[call]
                self._overdue.discard(call)
            elif call not in self._overdue:
                self._overdue.add(call)
                self._count("callflow_termination_failures_total", "not_released")

    # Reading

    def add_to(self, snapshot: Snapshot) -> None:
        """Set the metrics that are fed by calls."""
        for (name, *labels), count in self._counts.items():
            snapshot.set(name, count, *labels)
        for stage, histogram in self._stages.items():
            snapshot.set_histogram("callflow_stage_seconds", histogram, stage)
        snapshot.set_histogram("callflow_barge_in_stop_seconds", self._stops)
        snapshot.set_histogram("callflow_truncation_seconds", self._truncations)
        snapshot.set("callflow_calls_overdue", len(self._overdue))
        self._add_media(snapshot)

    def _add_media(self, snapshot: Snapshot) -> None:
        total = Counter(self._media)
        for tally in self._tallies.values():
            _add(total, tally.media)
        snapshot.set("callflow_frames_in_total", total["frames_in"])
        snapshot.set("callflow_frames_out_total", total["bytes_out"] // _FRAME_BYTES)
        snapshot.set("callflow_frames_dropped_total", total["late_frames"], "late")
        snapshot.set("callflow_frames_dropped_total", total["malformed_frames"], "malformed")
        snapshot.set("callflow_frames_reordered_total", total["reordered_frames"])
        snapshot.set("callflow_silence_made_up_seconds_total", total["made_up_silence_ms"] / 1000)
        snapshot.set("callflow_late_audio_seconds_total", total["late_bytes"] / _BYTES_PER_SECOND)
        snapshot.set("callflow_stale_marks_total", total["stale_marks"])
        snapshot.set("callflow_carrier_errors_total", total["carrier_complaints"], "media_complaint")

    # Steps

    def _step(self, name: Any, entry: Entry) -> None:
        event = entry.event
        if name == "command_failed" and not event.get("gone"):
            self._command_failed(str(event.get("command", "")))
        if entry.before == _HANGUP:  # it came when the call was over
            return
        tally = self._tally(entry)
        if name == "engine_lost":
            retry = event.get("retry") is not False
            self._count("callflow_engine_errors_total", "lost" if retry else "lost_for_good")
        elif name in _STREAM_ERRORS and entry.taken:
            # else we have refused it, during a goodbye, or have seen its end, and a deadline says what came of that
            self._count("callflow_carrier_errors_total", _STREAM_ERRORS[name])
        elif name == "deadline_passed" and entry.taken:
            self._deadline_passed(event.get("deadline"))
        elif name in _TURNED_AWAY or (name == "goodbye_requested" and event.get("reason") in _ANSWERED_REFUSALS):
            self._count("callflow_calls_rejected_total", str(event.get("reason")))
        elif name == "call_recovered" and entry.before != _RINGING:  # what it has heard before is not known here
            tally.heard_agent = True
        if entry.before == _RINGING and entry.after not in (_RINGING, _HANGUP):
            tally.is_answered = True
            if entry.at > tally.began_at and name != "call_recovered":
                tally.rang = entry.at - tally.began_at
        if entry.after != _ANSWERED and not event.get("unanswered"):
            self._count_answered(tally)
        if entry.after == _HANGUP:
            self._ending[entry.call] = entry.at

    def _count_answered(self, tally: _Tally) -> None:
        """Count a call that was answered, once. While its stream is awaited the carrier may still say that the caller
        gave up before our answer came, and a count cannot be taken back."""
        if not tally.is_answered or tally.is_counted:
            return
        tally.is_counted = True
        self._count("callflow_calls_answered_total")
        if tally.rang is not None:
            self._stages["ring_to_answer"].observe(tally.rang)

    def _command_failed(self, command: str) -> None:
        self._count("callflow_carrier_errors_total", f"{command}_failed")
        if command == "hangup":
            self._count("callflow_termination_failures_total", "hangup_failed")

    def _deadline_passed(self, deadline: Any) -> None:
        if deadline == "engine":
            self._count("callflow_engine_errors_total", "timeout")
        elif deadline in _MISSED_DEADLINES:
            self._count("callflow_carrier_errors_total", _MISSED_DEADLINES[deadline])

    def _tally(self, entry: Entry) -> _Tally:
        tally = self._tallies.get(entry.call)
        if tally is None:
            while len(self._tallies) >= _MOST_CALLS:
                self._evict(next(iter(self._tallies)))
            tally = self._tallies[entry.call] = _Tally(entry.at)
        return tally

    def _evict(self, call: str) -> None:
        """Drop the tally of a call whose end was never written."""
        _add(self._media, self._tallies[call].media)
        self._forget(call)

    def _forget(self, call: str) -> None:
        self._tallies.pop(call, None)
        self._ending.pop(call, None)
        self._overdue.discard(call)

    # Notes

    def _ended(self, tally: _Tally | None, entry: Entry) -> None:
        cause = known_cause(str(entry.event.get("cause") or ""))
        result = result_of(cause, heard_agent=tally is not None and tally.heard_agent)
        if tally is not None and result not in _ORDERLY:
            self._count_cut_off(tally)
        self._count("callflow_calls_ended_total", result, cause)
        self.hour.ended(entry.at, entry.call, result)
        _add(self._media, entry.event)
        self._forget(entry.call)

    def _handed_over(self, tally: _Tally | None, entry: Entry) -> None:
        if tally is not None:
            self._count_answered(tally)
            self._count_cut_off(tally)
            self._evict(entry.call)

    def _first_word(self, tally: _Tally | None, entry: Entry) -> None:
        self._observe("answer_to_first_word", entry.event.get("ms"))
        self._agent_speaks(tally, entry)

    def _agent_speaks(self, tally: _Tally | None, entry: Entry) -> None:
        if tally is not None:
            tally.heard_agent = True
            self._count_cut_off(tally)

    def _count_cut_off(self, tally: _Tally) -> None:
        """Count where the agent broke off: the call was not simply ended there."""
        self._count("callflow_interruptions_total", "cut_off", times=tally.cut_off)
        tally.cut_off = 0

    def _reply(self, tally: _Tally | None, entry: Entry) -> None:
        self._observe("turn_to_reply", entry.event.get("ms"))

    def _latency(self, tally: _Tally | None, entry: Entry) -> None:
        for name, stage in _PARTS.items():
            self._observe(stage, entry.event.get(name))
        if isinstance(total := entry.event.get("total_ms"), (int, float)):
            self.hour.answered(entry.at, total)

    def _caller_speaks(self, tally: _Tally | None, entry: Entry) -> None:
        if tally is not None:
            tally.caller_began_at = entry.at

    def _caller_pauses(self, tally: _Tally | None, entry: Entry) -> None:
        if tally is not None:
            tally.caller_began_at = None

    def _interrupted(self, tally: _Tally | None, entry: Entry) -> None:
        if not entry.event.get("by_caller"):
            self._cut_off(tally, entry)
            return
        self._count("callflow_interruptions_total", "caller")
        self._truncated(entry)
        if tally is not None and tally.caller_began_at is not None:
            self._stops.observe(entry.at - tally.caller_began_at)
            tally.caller_began_at = None

    def _cut_off(self, tally: _Tally | None, entry: Entry) -> None:
        if tally is not None:
            tally.cut_off += 1
        self._truncated(entry)

    def _truncated(self, entry: Entry) -> None:
        for cut in entry.event.get("cuts", ()):
            self._truncations.observe((cut.get("received_ms", 0) - cut.get("heard_ms", 0)) / 1000)

    # Inside

    def _observe(self, stage: str, ms: Any) -> None:
        if isinstance(ms, (int, float)):
            self._stages[stage].observe(ms / 1000)

    def _count(self, name: str, *labels: str, times: int = 1) -> None:
        if times:
            self._counts[(name, *bounded(NAMED[name], labels))] += times


def _add(total: Counter[str], figures: Mapping[str, Any]) -> None:
    for name in _MEDIA:
        value = figures.get(name)
        if isinstance(value, (int, float)):
            total[name] += int(value)
