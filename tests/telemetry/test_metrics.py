"""The list of metrics is that of docs/operations.md and of the dashboard, and what is written can be read by
Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callflow.telemetry import exposition
from callflow.telemetry.metrics import METRICS, NAMED, OTHER, PROCESS, Histogram, Metric, Snapshot


DOCS = Path(__file__).parents[2] / "docs"
SECTION = (DOCS / "operations.md").read_text(encoding="utf-8").split("\n## Metrics\n")[1].split("\n## ")[0]
DASHBOARD: dict[str, Any] = json.loads((DOCS / "grafana.json").read_text(encoding="utf-8"))
EVERY = {*NAMED, *PROCESS}
_PARTS_OF_HISTOGRAMS = ("_bucket", "_sum", "_count")


def written() -> str:
    return exposition.write(Snapshot(), "")[0].decode()


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:callflow|process)_\w+", expression))


def metric_of(series: str) -> str:
    """The metric that a series belongs to."""
    for part in _PARTS_OF_HISTOGRAMS:
        name = series.removesuffix(part)
        if name != series and name in NAMED and NAMED[name].kind == "histogram":
            return name
    return "" if series in NAMED and NAMED[series].kind == "histogram" else series


# docs/operations.md


def rows() -> Iterator[tuple[list[str], list[str]]]:
    """The names in the first cell of each row of the table, and its other cells."""
    for line in SECTION.splitlines():
        names = re.findall(r"`((?:callflow|process)_\w+)`", line.split(" | ")[0])
        if line.startswith("| `") and names:
            yield names, [cell.strip() for cell in line.strip("|").split(" | ")[1:]]


def test_every_metric_is_explained_once_and_every_explained_metric_exists() -> None:
    explained = [name for names, _ in rows() for name in names]
    assert sorted(explained) == sorted(EVERY)


def test_each_explanation_says_what_it_means_and_what_to_do() -> None:
    assert all(len(cells) == 2 and cells[0] for _, cells in rows())
    silent = [names for names, cells in rows() if not cells[1].strip(" |")]
    assert silent == [["callflow_webhooks_total"]]


def test_every_value_of_a_label_that_the_page_names_exists() -> None:
    named = set(re.findall(r'`?(\w+)="(\w+)"', SECTION))
    assert len(named) > 10
    known = {(label, value) for metric in METRICS for label, values in metric.labels.items() for value in values}
    assert named - known == set()


def test_the_expressions_of_the_page_name_series_that_exist() -> None:
    assert {name for name in metrics_in(SECTION) if metric_of(name) not in EVERY and name not in EVERY} == set()


# docs/grafana.json


def expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


def test_each_expression_of_the_dashboard_names_a_series_that_exists() -> None:
    found = expressions()
    assert len(found) > 20
    assert [each for each in found if not metrics_in(each)] == []
    assert [name for each in found for name in metrics_in(each) if metric_of(name) not in EVERY] == []


def test_the_dashboard_groups_by_labels_that_exist() -> None:
    for each in expressions():
        (name,) = {metric_of(one) for one in metrics_in(each)}
        labels = {"le", "instance", *(NAMED[name].labels if name in NAMED else ())}
        grouped = {label for group in re.findall(r"by \(([^)]+)\)", each) for label in group.split(", ")}
        asked = {
            label for matchers in re.findall(r"\{([^}]+)\}", each) for label in re.findall(r"(\w+)(?:=|!)", matchers)
        }
        assert grouped | asked <= labels, each


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    shown = {metric_of(name) for each in expressions() for name in metrics_in(each)}
    assert set(NAMED) - shown == set()


def test_the_panels_have_ids_and_places_of_their_own() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert len(set(places)) == len(places)


# The list itself


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_wants_it_and_bounded(metric: Metric) -> None:
    assert re.fullmatch(r"callflow_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.help.endswith(".")
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert all(re.fullmatch(r"[a-z_]+", value) for values in metric.labels.values() for value in values)


def test_names_are_given_once() -> None:
    assert len(NAMED) == len(METRICS)


def test_a_value_without_a_name_of_its_own_is_other() -> None:
    found = Snapshot()
    names = len(found.values["callflow_calls_rejected_total"])
    for number in range(100):
        found.set("callflow_calls_rejected_total", 3, f"reason {number}")
    assert len(found.values["callflow_calls_rejected_total"]) == names
    assert found.values["callflow_calls_rejected_total"][(OTHER,)] == 3
    with pytest.raises(KeyError):
        found.set("callflow_of_next_year_total", 1)


# Histograms


def test_a_histogram_counts_each_value_in_its_bucket() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (-5.0, 0.1, 0.5, 2.0, 3.0):
        histogram.observe(value)
    assert histogram.buckets() == [("0.1", 2.0), ("1.0", 3.0), ("+Inf", 5.0)]
    assert (histogram.count, histogram.sum) == (5, 5.6)
    copied = histogram.copy()
    histogram.observe(0.0)
    assert copied.count == 5
