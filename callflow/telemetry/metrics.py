"""Every metric of `/metrics`: its name, its kind, its meaning, and the only values that its labels may have. Pure.

`docs/operations.md` says what each one means and what to do about it; a test compares the two lists. A label never
holds a telephone number, an id or a text: what is not one of its values is counted as `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, product
from typing import Final, Literal

from callflow.contracts import hangup_causes
from callflow.contracts.hangup_causes import REFUSED_BY_US


OTHER: Final = "other"
"""The value of a label for everything that has no value of its own."""

RESULTS: Final = ("success", "caller", "carrier", "engine", "ours")
"""How a call ended: as it should; because of the caller; through a fault of the carrier, of the engine, or of ours."""
COMMAND_FAILED: Final = "command_failed"
CAUSES: Final = (*sorted(hangup_causes.KNOWN), COMMAND_FAILED, OTHER)
REFUSALS: Final = (*REFUSED_BY_US, OTHER)
STATES: Final = ("ringing", "answered", "streaming", "recovering", "transferring", "bridged", "hangup", OTHER)
STAGES: Final = (
    "ring_to_answer", "answer_to_first_word", "turn_to_reply", "detection", "engine", "own", "carrier",
    "last_word_to_heard",
)  # fmt: skip
"""The four stages between `turn_to_reply` and `last_word_to_heard` are the parts of the last one, in order."""
ENGINE_ERRORS: Final = (
    "lost", "lost_for_good", "timeout", "unable", "complaint", "response_failed", "not_transcribed", "missed_speech",
)  # fmt: skip
CARRIER_ERRORS: Final = (
    "answer_failed", "reject_failed", "hangup_failed", "stream_failed", "speak_failed", "answer_timeout",
    "stream_refused", "stream_timeout", "stream_lost", "media_complaint", OTHER,
)  # fmt: skip
INTERRUPTIONS: Final = ("caller", "noise", "false_start", "cut_off")
DROPS: Final = ("late", "malformed")
BREAKER_STATES: Final = ("closed", "open", "probing")
TERMINATION_FAILURES: Final = ("not_released", "hangup_failed")
ENTRIES: Final = ("written", "lost", "dropped", "unwritable")
EVENTS: Final = ("delivered", "failed", "dead")
TRACES: Final = ("sent", "dropped")

_STAGE_BUCKETS: Final = (
    0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0,
)  # fmt: skip
_LAG_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
_STOP_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
_AUDIO_BUCKETS: Final = (0.02, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. Its samples have a value for each combination of its labels' values that has occurred or `starts`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The values that each label may have."""
    buckets: Sequence[float] = ()
    """The upper bounds of a histogram's buckets, in seconds, without infinity."""
    is_dense: bool = True
    """Every combination of labels is shown from the start, with 0, so that the first event is seen as an increase."""

    def starts(self) -> list[tuple[str, ...]]:
        """Return the combinations of labels that are shown before anything has happened."""
        return list(product(*self.labels.values())) if self.is_dense else []


METRICS: Final = (
    # Calls
    Metric("callflow_calls_live", "gauge", "Live calls, by the state of their machine.", {"state": STATES}),
    Metric("callflow_calls_capacity", "gauge", "Calls that may be live at once (MAX_CONCURRENT_CALLS)."),
    Metric("callflow_capacity_used", "gauge", "Live calls, as a part of those that may be live at once; 1: full."),
    Metric(
        "callflow_node_answers", "gauge",
        "1 where a node has told its metrics, 0 where it has not and they are missing here; only where several serve.",
        is_dense=False,
    ),
    Metric("callflow_accepting", "gauge", "1 while new calls are taken, 0 during a drain."),
    Metric("callflow_calls_offered_total", "counter", "Calls that carriers have brought, refused ones included."),
    Metric("callflow_calls_answered_total", "counter", "Calls that were answered."),
    Metric("callflow_calls_rejected_total", "counter", "Calls that were refused.", {"reason": REFUSALS}),
    Metric(
        "callflow_calls_ended_total", "counter", "Calls that have ended, by whose doing it was and by the cause.",
        {"result": RESULTS, "cause": CAUSES}, is_dense=False,
    ),
    Metric("callflow_calls_recovered_total", "counter", "Calls taken over from the process before."),
    Metric(
        "callflow_termination_failures_total", "counter",
        "Calls that should have ended: still here 5 s after their end, or the carrier did not obey the hang-up.",
        {"why": TERMINATION_FAILURES},
    ),
    Metric("callflow_calls_overdue", "gauge", "Calls that ended more than 5 s ago and are still not let go of."),
    Metric("callflow_hangups_lost_total", "counter", "Calls that their carrier had no more, without having said so."),
    Metric("callflow_orphans_total", "counter", "Calls that were over here and that their carrier still had."),
    # What the caller waits for
    Metric(
        "callflow_stage_seconds", "histogram", "How long each stage of a call took.", {"stage": STAGES}, _STAGE_BUCKETS
    ),
    Metric(
        "callflow_barge_in_stop_seconds", "histogram",
        "From the engine's report that the caller speaks until the agent's audio was stopped.", {}, _STOP_BUCKETS,
    ),
    Metric(
        "callflow_interruptions_total", "counter", "What happened while the agent spoke, or was about to.",
        {"kind": INTERRUPTIONS},
    ),
    Metric(
        "callflow_truncation_seconds", "histogram",
        "Audio of the agent that the engine was told was not heard, of each turn that was cut.", {}, _AUDIO_BUCKETS,
    ),
    # Media
    Metric("callflow_frames_in_total", "counter", "Frames of 20 ms from callers."),
    Metric("callflow_frames_out_total", "counter", "Audio sent to callers, in frames of 20 ms."),
    Metric(
        "callflow_frames_dropped_total", "counter",
        "Callers' frames that were dropped: too late for their place or repeated, or unreadable.", {"why": DROPS},
    ),
    Metric("callflow_frames_reordered_total", "counter", "Callers' frames that came ahead of another and were held."),
    Metric("callflow_silence_made_up_seconds_total", "counter", "Silence that stood in for frames that never came."),
    Metric("callflow_late_audio_seconds_total", "counter", "The engine's audio that came for what was cut already."),
    Metric("callflow_stale_marks_total", "counter", "Marks that came back after a clear, or that were never sent."),
    Metric("callflow_odd_media_signatures_total", "counter", "Media sockets let in by their token alone."),
    Metric("callflow_loop_lag_seconds", "histogram", "How late the event loop runs a timer.", {}, _LAG_BUCKETS),
    Metric(
        "callflow_loop_lag_now_seconds", "gauge",
        "How late the event loop was, at the 99th percentile of the last five seconds; new calls are refused by it.",
    ),
    Metric("callflow_traces_total", "counter", "Traces of ended calls, by outcome.", {"outcome": TRACES}),
    # Engine and carriers
    Metric("callflow_engine_errors_total", "counter", "Errors of the engine, by class.", {"class": ENGINE_ERRORS}),
    Metric("callflow_carrier_errors_total", "counter", "Errors of carriers, by class.", {"class": CARRIER_ERRORS}),
    Metric(
        "callflow_breaker_state", "gauge", "1 for the present state of a vendor's breaker, 0 for the others.",
        {"vendor": ("engine",), "state": BREAKER_STATES},
    ),
    Metric("callflow_webhooks_total", "counter", "Webhooks that were genuine and readable."),
    Metric("callflow_webhook_repeats_total", "counter", "Webhooks that had come before."),
    Metric("callflow_webhook_strays_total", "counter", "Webhooks of no live call."),
    Metric("callflow_webhook_late_replies_total", "counter", "Webhooks whose reply was not ready in time."),
    # The journal
    Metric("callflow_journal_writable", "gauge", "1 while the journal can be written, 0 while it cannot."),
    Metric("callflow_journal_waiting", "gauge", "Journal entries that wait to be written."),
    Metric("callflow_journal_entries_total", "counter", "What became of journal entries.", {"outcome": ENTRIES}),
    Metric("callflow_journal_failures_total", "counter", "Tries to write the journal that failed."),
    # Events for EVENTS_URL
    Metric("callflow_events_waiting", "gauge", "Events that wait for their delivery."),
    Metric("callflow_events_dead", "gauge", "Dead letters: events that were given up or refused."),
    Metric(
        "callflow_events_total", "counter", "Events delivered and given up, and tries that failed.",
        {"outcome": EVENTS},
    ),
)  # fmt: skip
NAMED: Final = {metric.name: metric for metric in METRICS}
PROCESS: Final = (
    "process_virtual_memory_bytes", "process_resident_memory_bytes", "process_start_time_seconds",
    "process_cpu_seconds_total", "process_open_fds", "process_max_fds",
)  # fmt: skip
"""What the library tells of the process, where the system has `/proc`."""


class Histogram:
    """Counts of observed values by bucket, and their sum."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds`: the upper bounds of the buckets, rising, without infinity."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value. A negative one, after a step of the clock, counts as 0."""
        value = max(value, 0.0)
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """Return how many values were observed."""
        return sum(self._counts)

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulative buckets as Prometheus has them: upper bound as text, and count; `+Inf` is the last."""
        bounds = [*map(str, self._bounds), "+Inf"]
        return [(bound, float(count)) for bound, count in zip(bounds, accumulate(self._counts), strict=True)]

    def copy(self) -> Histogram:
        """Return an independent copy, for another thread to read."""
        copied = Histogram(self._bounds)
        copied._counts, copied.sum = list(self._counts), self.sum
        return copied


class Snapshot:
    """The values of all metrics at one moment."""

    def __init__(self) -> None:
        self.values: dict[str, dict[tuple[str, ...], float]] = {}
        """Counters and gauges: by name, then by the values of the labels in their order."""
        self.histograms: dict[str, dict[tuple[str, ...], Histogram]] = {}
        for metric in METRICS:
            if metric.kind == "histogram":
                self.histograms[metric.name] = {labels: Histogram(metric.buckets) for labels in metric.starts()}
            else:
                self.values[metric.name] = dict.fromkeys(metric.starts(), 0.0)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a counter or a gauge; a label's value that the metric does not know becomes `other`.

        Raises KeyError for a name that is not in METRICS.
        """
        self.values[name][bounded(NAMED[name], labels)] = value

    def set_histogram(self, name: str, histogram: Histogram, *labels: str) -> None:
        """Set a histogram to a copy of this one. Raises KeyError for a name that is not in METRICS."""
        self.histograms[name][labels] = histogram.copy()


def bounded(metric: Metric, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels with `other` in place of every value that the metric does not know."""
    pairs = zip(labels, metric.labels.values(), strict=True)
    return tuple(label if label in known else OTHER for label, known in pairs)
