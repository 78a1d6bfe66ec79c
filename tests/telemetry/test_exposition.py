"""What Prometheus is given to read."""

from __future__ import annotations

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from callflow.telemetry import exposition
from callflow.telemetry.metrics import METRICS, NAMED, PROCESS, Snapshot


EVERY = {*NAMED, *PROCESS}


def written(snapshot: Snapshot | None = None) -> str:
    return exposition.write(snapshot or Snapshot(), "")[0].decode()


def samples(snapshot: Snapshot, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(written(snapshot))
        for sample in family.samples
        if sample.name == name
    }


def test_what_is_written_is_the_list() -> None:
    families = {family.name: family for family in text_string_to_metric_families(written())}
    # The parser leaves the end of a counter's name out.
    told = {f"{name}_total" if family.type == "counter" else name for name, family in families.items()}
    assert told | {*PROCESS} == EVERY  # which a system without /proc does not tell of
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert {label for sample in family.samples for label in sample.labels} <= {"le", *metric.labels}


def test_openmetrics_is_written_for_those_who_ask_for_it() -> None:
    body, content_type = exposition.write(Snapshot(), "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_without_a_wish_it_is_the_plain_format() -> None:
    for accept in ("", "text/html", "*/*", "nonsense;;;q=x"):
        body, content_type = exposition.write(Snapshot(), accept)
        assert content_type.startswith("text/plain")
        assert b"# EOF" not in body


@pytest.mark.parametrize("value", [0, 1, -1, 0.5, 10**15, math.inf, -math.inf])
def test_a_value_is_written_as_it_is(value: float) -> None:
    name = next(metric.name for metric in METRICS if metric.kind == "gauge" and not metric.labels)
    snapshot = Snapshot()
    snapshot.values[name][()] = value
    assert samples(snapshot, name) == {(): value}


def test_a_value_that_is_no_number_does_not_keep_the_others_from_being_written() -> None:
    name = next(metric.name for metric in METRICS if metric.kind == "gauge" and not metric.labels)
    snapshot = Snapshot()
    snapshot.values[name][()] = math.nan
    assert math.isnan(samples(snapshot, name)[()])


@pytest.mark.parametrize("label", ["plain", 'with "quotes"', "back\\slash", "two\nlines", "\u00fcber", ""])
def test_any_value_of_a_label_can_be_read_again(label: str) -> None:
    metric = next(metric for metric in METRICS if metric.kind == "counter" and len(metric.labels) == 1)
    snapshot = Snapshot()
    snapshot.values[metric.name][(label,)] = 3
    assert samples(snapshot, metric.name)[(label,)] == 3


def test_a_histogram_is_written_with_its_buckets_sum_and_count() -> None:
    name = next(name for name, found in Snapshot().histograms.items() if found)
    snapshot = Snapshot()
    labels, histogram = next(iter(snapshot.histograms[name].items()))
    histogram = snapshot.histograms[name][labels] = histogram.copy()
    histogram.observe(0.0)
    histogram.observe(1e9)
    assert samples(snapshot, f"{name}_count")[labels] == 2
    assert samples(snapshot, f"{name}_sum")[labels] == 1e9
    buckets = [value for key, value in samples(snapshot, f"{name}_bucket").items() if set(labels) <= set(key)]
    assert (min(buckets), max(buckets)) == (1, 2)
