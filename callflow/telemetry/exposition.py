"""Writes a snapshot in the format that Prometheus asks for.

It is imported with the first request, on a thread, because `prometheus_client` is not needed before.
Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from callflow.telemetry.metrics import METRICS, Metric, Snapshot


class _Collected(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            yield _family(metric, self._snapshot)


def write(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """Return the body and its content type. `accept`: the header of the request, which may ask for OpenMetrics."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(snapshot))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _family(metric: Metric, snapshot: Snapshot) -> Family:
    names = list(metric.labels)
    if metric.kind == "histogram":
        histograms = HistogramMetricFamily(metric.name, metric.help, labels=names)
        for labels, histogram in snapshot.histograms[metric.name].items():
            histograms.add_metric(labels, buckets=histogram.buckets(), sum_value=histogram.sum)
        return histograms
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    values = kind(metric.name, metric.help, labels=names)
    for labels, value in snapshot.values[metric.name].items():
        values.add_metric(labels, value)
    return values
