"""The metrics of several nodes in one text, as Prometheus reads it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from callflow.telemetry.node_metrics import ANSWERS, merged


def test_metrics_of_several_nodes_stand_together_under_each_metric() -> None:
    texts = {
        "w2": '# HELP calls Live.\n# TYPE calls gauge\ncalls{state="ringing"} 2.0\n# TYPE lag gauge\nlag 0.5\n',
        "w1": '# HELP calls Live.\n# TYPE calls gauge\ncalls{state="ringing"} 1.0\n',
    }
    assert merged(texts).splitlines() == [
        "# HELP calls Live.",
        "# TYPE calls gauge",
        'calls{node="w1",state="ringing"} 1.0',
        'calls{node="w2",state="ringing"} 2.0',
        "# TYPE lag gauge",
        'lag{node="w2"} 0.5',
    ]


def test_of_no_node_and_of_nodes_without_metrics_there_is_nothing() -> None:
    assert merged({}) == merged({"w1": ""}) == merged({"w1": "\n\n", "w2": "# EOF\n"}) == ""


def test_of_a_node_that_does_not_answer_it_is_said_that_its_metrics_are_missing() -> None:
    text = f"# TYPE {ANSWERS} gauge\n{ANSWERS} 1.0\n"
    assert merged({"w2": text}, ["w1"]).splitlines()[1:] == [
        f'{ANSWERS}{{node="w2"}} 1.0', f'{ANSWERS}{{node="w1"}} 0.0',
    ]  # fmt: skip


def test_nodes_of_two_versions_describe_a_metric_once() -> None:
    """A second line of HELP or TYPE is an error of the format, and an upgrade goes through the nodes one by one."""
    texts = {
        "w1": "# HELP calls Live calls.\n# TYPE calls gauge\ncalls 1.0\n",
        "w2": "# HELP calls Calls that are live.\n# TYPE calls gauge\ncalls 2.0\n",
    }
    assert merged(texts).splitlines() == [
        "# HELP calls Live calls.", "# TYPE calls gauge", 'calls{node="w1"} 1.0', 'calls{node="w2"} 2.0',
    ]  # fmt: skip


def test_lines_that_are_no_samples_are_left_out() -> None:
    text = "# HELP a A.\na 1\n# a comment\n<html>\na{x=\n 5\na 2 1700000000\n"
    assert merged({"w1": text}).splitlines() == ["# HELP a A.", 'a{node="w1"} 1', 'a{node="w1"} 2 1700000000']


def text_of(labels: list[str]) -> tuple[str, CollectorRegistry]:
    registry = CollectorRegistry()
    counter = Counter("calls", "Calls so far.", ["of"], registry=registry)
    waits = Histogram("waits", "Seconds.", buckets=(1, 5), registry=registry)
    for label in labels:
        counter.labels(label).inc()
    waits.observe(0.5)
    return generate_latest(registry).decode(), registry


@pytest.mark.parametrize("label", ['"} 5', "a\\b", 'x="y",z', "line\nbreak", "\u2028", "\x85", "\x0c", "{}", ""])
def test_any_label_comes_through(label: str) -> None:
    """Some characters are line ends for Python, and not for Prometheus."""
    _check([label])


@settings(max_examples=15)
@given(st.lists(st.text(max_size=5), max_size=3, unique=True))
def test_no_sample_is_lost_or_changed_but_for_its_node(labels: list[str]) -> None:
    _check(labels)


def _check(labels: list[str]) -> None:
    text, _ = text_of(labels)
    found = [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(merged({"w1": text, "w2": text}))
        for sample in family.samples
    ]
    plain = [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    assert len(found) == 2 * len(plain)
    for name, of, value in plain:
        for node in ("w1", "w2"):
            assert (name, {**of, "node": node}, value) in found
