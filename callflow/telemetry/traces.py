"""One OpenTelemetry trace a call, sent to a collector when the call has ended: an optional extra, `otel`.

The event loop only keeps the entries of live calls and puts those of an ended one into a bounded queue. A thread makes
the spans (`spans.py`) and sends them over OTLP/HTTP, within a deadline. A collector that is away costs a dropped trace,
which is counted, and one line in the log.

OpenTelemetry's packages are imported by `Traces` only, so nowhere where no collector is set. What else its
environment variables say (`OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_CERTIFICATE` …) holds.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from callflow.telemetry import spans
from callflow.telemetry.entry import Entry
from callflow.telemetry.spans import IsPrivate, Span


if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

log = logging.getLogger(__name__)

MISSING: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry's packages are not installed, so there are no traces:"
    " install them with `scripts/setup otel`"
)
_MOST_CALLS: Final = 20_000
_MOST_ENTRIES: Final = 2000
"""Of one call; of further ones only its end is kept."""
_MOST_WAITING: Final = 200
"""Ended calls."""
_SEND_SECONDS: Final = 5.0
"""For one trace, all tries together."""
_CLOSE_SECONDS: Final = 2.0
"""For what is left at the end of the process."""
_HANGUP: Final = "hangup"

Waiting = tuple[str, Sequence[Entry]]


def refused(error: Exception) -> str:
    """Return a line for what OpenTelemetry's packages say against their own variables: with the names of those that may
    be meant, but without a value, which may be a key."""
    said = str(error)
    own = {name: value for name, value in os.environ.items() if name.startswith("OTEL_") and value}
    meant = [name for name in own if name in said] or [name for name, value in own.items() if f"'{value}'" in said]
    which = " or ".join(sorted(meant)) or "a variable that begins with OTEL_"
    kind = type(error).__name__
    return f"THERE ARE NO TRACES: OpenTelemetry cannot use {which} ({kind}): correct it, or take it away"


class Traces:
    """The traces of one process."""

    def __init__(
        self, endpoint: str, headers: str, service: str, *, is_private: IsPrivate,
        send_seconds: float = _SEND_SECONDS, most_waiting: int = _MOST_WAITING,
    ) -> None:  # fmt: skip
        """Import and set up what sends; nothing is sent yet. `endpoint`: the collector's address, without `/v1/traces`.
        `headers`: as in OTEL_EXPORTER_OTLP_HEADERS. `send_seconds`: for one trace.

        Raises ImportError if OpenTelemetry's packages are not installed, and what they raise for a variable of theirs
        that they cannot use.
        """
        self.counts: Counter[str] = Counter()
        """Traces: `sent`, `dropped`."""
        self._is_private = is_private
        self._read: Callable[[str], Sequence[Entry]] = lambda call: ()
        self._calls: dict[str, list[Entry]] = {}
        self._waiting: queue.Queue[Waiting | None] = queue.Queue(most_waiting)
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._is_away = False
        self._has_failed = False
        self._ids, self._made, self._provider = _provider(service)
        self._exporter = _exporter(endpoint, headers, send_seconds)

    def start(self, read: Callable[[str], Sequence[Entry]]) -> None:
        """Begin to take entries. `read`: returns what the journal has of a call of this id, in order."""
        self._read = read
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def take(self, entry: Entry) -> None:
        """Take one journal entry, after it was written. Never raises, never waits."""
        try:
            self._take(entry)
        except Exception as error:
            self._failed(error)

    def close(self) -> None:
        """Send what waits, within two seconds. Waits for that: call it on a thread."""
        self._closing.set()
        if self._thread is not None:
            try:
                self._waiting.put_nowait(None)
            except queue.Full:  # it looks at `_closing` too
                pass
            self._thread.join(_CLOSE_SECONDS)
        self._exporter.shutdown()

    # On the event loop

    def _take(self, entry: Entry) -> None:
        name = entry.event.get("event")
        entries = self._calls.get(entry.call)
        if entries is None:
            if entry.before == _HANGUP or name in ("ended", "handed_over"):  # it came when the call was over
                return
            # Of a call that was taken over, the journal has what another process has written.
            entries = [each for each in self._read(entry.call) if spans.is_wanted(each)] or [entry]
            if len(self._calls) >= _MOST_CALLS:
                del self._calls[next(iter(self._calls))]
            self._calls[entry.call] = entries[:_MOST_ENTRIES]
            return
        has_room = len(entries) < _MOST_ENTRIES or name == "ended" or entry.after == _HANGUP
        if has_room and spans.is_wanted(entry):
            entries.append(entry)
        if name == "ended":
            self._put((entry.call, self._calls.pop(entry.call)))
        elif name == "handed_over":  # the trace is made by the process that goes on with it
            del self._calls[entry.call]

    def _put(self, waiting: Waiting | None) -> None:
        try:
            self._waiting.put_nowait(waiting)
        except queue.Full:
            self._dropped("too many ended calls wait")

    # On the thread

    def _run(self) -> None:
        while True:
            try:
                waiting = self._waiting.get(timeout=1.0)
            except queue.Empty:
                if self._closing.is_set():
                    return
                continue
            if waiting is None:
                return
            try:
                self._send(*waiting)
            except Exception as error:
                self.counts["dropped"] += 1
                self._failed(error)

    def _send(self, call: str, entries: Sequence[Entry]) -> None:
        made = self._make(call, spans.spans_of(entries, self._is_private))
        if not made:  # a sampler has left it out
            return
        from opentelemetry.sdk.trace.export import SpanExportResult

        if self._exporter.export(made) is SpanExportResult.SUCCESS:
            self.counts["sent"] += 1
            if self._is_away:
                self._is_away = False
                log.info("traces are sent again; %d were dropped", self.counts["dropped"])
        else:
            self._dropped("the collector does not take them in time")

    def _make(self, call: str, found: Sequence[Span]) -> list[ReadableSpan]:
        from opentelemetry import trace

        self._made.clear()
        tracer = self._provider.get_tracer("callflow")
        context: Any = None
        root: Any = None
        for number, each in enumerate(found):
            self._ids.trace, self._ids.span = spans.trace_id(call), spans.span_id(call, number)
            kind = trace.SpanKind.SERVER if root is None else trace.SpanKind.INTERNAL
            span = tracer.start_span(each.name, context, kind, attributes=each.attributes, start_time=_ns(each.start))
            for event in each.events:
                span.add_event(event.name, event.attributes, timestamp=_ns(event.at))
            if each.error:
                span.set_status(trace.StatusCode.ERROR, each.error)
            if root is None:
                root, context = span, trace.set_span_in_context(span)
            else:
                span.end(_ns(each.end))
        if root is not None:
            root.end(_ns(found[0].end))
        return list(self._made)

    # Anywhere

    def _dropped(self, why: str) -> None:
        self.counts["dropped"] += 1
        if not self._is_away:
            self._is_away = True
            log.warning("TRACES ARE DROPPED: %s; this is not logged again until one is sent", why)

    def _failed(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            log.error("a trace is lost because of an internal error; it is not logged again", exc_info=error)


def _ns(seconds: float) -> int:
    return round(seconds * 1_000_000) * 1000


def _provider(service: str) -> tuple[Any, list[ReadableSpan], TracerProvider]:
    """Return what gives the ids of the next span, the list of ended spans, and what makes spans."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    made: list[ReadableSpan] = []

    class Ids(IdGenerator):
        trace = span = 1

        def generate_trace_id(self) -> int:
            return self.trace

        def generate_span_id(self) -> int:
            return self.span

    class Keep(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            if span.context is not None and span.context.trace_flags.sampled:
                made.append(span)

    ids = Ids()
    resource = Resource.create({"service.name": service})
    provider = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(Keep())
    return ids, made, provider


def _exporter(endpoint: str, headers: str, seconds: float) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.util.re import parse_env_headers

    for name in ("opentelemetry.exporter", "opentelemetry.sdk", "opentelemetry.attributes", "opentelemetry.util"):
        # What they say of a collector that is away, we say; and a line of theirs may hold an address, or a header that
        # they could not read, key and all.
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    of_traces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" in os.environ
    return OTLPSpanExporter(
        endpoint=None if of_traces else f"{endpoint}/v1/traces",
        headers=parse_env_headers(headers, liberal=True) or None,
        timeout=seconds,
    )
