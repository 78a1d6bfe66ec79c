"""Turns the journal entries of one call into the spans of one trace. Pure: times are those of the entries.

The call is the root. Below it are the stages of its beginning (ring, answer, stream, engine connect, first word), what
caller and agent said, tools and recoveries; interruptions and troubles are events. Names are those of OpenTelemetry's
semantic conventions where these have one (`gen_ai.*`, `error.type`), else they begin with `callflow.`.

Only the fields that are named here are taken, and of these none that is marked as holding words of people: see
`contracts.private_fields`. Telephone numbers are not among them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from callflow.telemetry.call_results import known_cause, result_of
from callflow.telemetry.entry import Entry


Attribute = str | bool | int | float
IsPrivate = Callable[[str, str], bool]
"""Whether a field (second) of an event or note (first, its name) may hold words of people."""

_HANGUP: Final = "hangup"
_RINGING: Final = "ringing"
_RECOVERING: Final = "recovering"
_MOST_SPANS: Final = 1000
_MOST_EVENTS: Final = 200
"""Of one span."""
_NAME: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
"""What a name of a tool, a model or a class of error looks like: models write any text."""

EVENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "engine_lost": ("retry",), "engine_expiring": ("ms",), "engine_rotated": ("session", "quiet"),
    "engine_unable": (), "engine_chosen": ("engine",), "engine_complaint": ("code",), "engine_missed_speech": ("end",),
    "response_failed": ("status", "final"), "session_changed": (), "not_transcribed": (),
    "media_lost": (), "media_refused": (), "stream_failed": (), "media_signature": (), "call_resumed": (),
    "command_failed": ("command", "gone"), "deadline_passed": ("deadline",), "call_refused": (), "call_turned_away": (),
    "budget_reached": (),
    "caller_lookup": ("outcome", "ms"),
    "call_recovered": ("found", "handed_over"), "handed_over": ("quiet",), "no_input": ("time", "last", "why"),
    "clip": ("clip",), "filler": ("clip",), "recording": ("announced",), "recording_failed": (),
    "end_requested": ("by",), "goodbye_requested": ("by",), "goodbye_heard": (), "goodbye_interrupted": (),
    "hangup_requested": ("by",), "false_start": (), "interruption_empty": (), "protected": ("heard_ms", "in_full"),
}  # fmt: skip
"""Events and notes that become events of the call's span, and which of their fields go with them."""
_INTERRUPTIONS: Final = ("interrupted", "cut_off")
_OF_CALL: Final = (
    "frames_in", "bytes_out", "late_frames", "reordered_frames", "malformed_frames", "first_word_ms", "interruptions",
    "made_up_silence_ms", "network_ms", "ping_ms", "carrier_lag_ms",
)  # fmt: skip
"""Fields of the `ended` note that become attributes of the call's span."""
_LATENCY: Final = ("detection_ms", "engine_ms", "own_ms", "carrier_ms", "total_ms", "filler_ms")
_OTHERS: Final = frozenset({
    "began", "ended", "first_word", "agent_speaks", "caller_speaks", "caller_pauses", "heard", "latency", "reply",
    "usage", "tool_called", "tool_finished", *_INTERRUPTIONS,
})  # fmt: skip


def is_wanted(entry: Entry) -> bool:
    """Return whether a trace needs this entry: most notes, and steps that change something or set something off."""
    return bool(entry.before) or entry.event.get("event") in _OTHERS or entry.event.get("event") in EVENTS


@dataclass(slots=True)
class SpanEvent:
    """Something that happened at one moment of a span."""

    name: str
    at: float
    """Unix time, seconds."""
    attributes: dict[str, Attribute] = field(default_factory=dict)


@dataclass(slots=True)
class Span:
    """A part of a call's time, in Unix time (seconds)."""

    name: str
    start: float
    end: float = 0.0
    attributes: dict[str, Attribute] = field(default_factory=dict)
    events: list[SpanEvent] = field(default_factory=list)
    error: str = ""
    """What went wrong, in one word; "": nothing did."""

    def add(self, event: SpanEvent) -> None:
        """Add an event, if there is room for it."""
        if len(self.events) < _MOST_EVENTS:
            self.events.append(event)


def trace_id(call: str) -> int:
    """Return the trace's id, 128 bits: the same for the same call, in whichever process."""
    return int.from_bytes(hashlib.sha256(call.encode()).digest()[:16]) or 1


def span_id(call: str, number: int) -> int:
    """Return the id of the call's span of this number (the root is 0), 64 bits."""
    return int.from_bytes(hashlib.sha256(f"{call}/{number}".encode()).digest()[:8]) or 1


def spans_of(entries: Iterable[Entry], is_private: IsPrivate) -> list[Span]:
    """Return the spans of one call, the root first; all others are its children. Empty if there are no entries."""
    maker = _Maker(is_private)
    for entry in entries:
        maker.take(entry)
    return maker.finish()


class _Maker:
    def __init__(self, is_private: IsPrivate) -> None:
        self._is_private = is_private
        self._root: Span | None = None
        self._spans: list[Span] = []
        self._open: dict[str, Span] = {}
        """Stages and turns that have begun and not ended, by what they are."""
        self._tools: dict[str, Span] = {}
        self._over_at: float | None = None
        self._last_at = 0.0
        self._heard_agent = False
        self._tokens: dict[str, int] = {}

    def take(self, entry: Entry) -> None:
        name, at = str(entry.event.get("event", "")), entry.at
        if self._root is None:
            self._root = Span("call", at, attributes={"gen_ai.conversation.id": entry.call})
            self._begin("ring", at)
        self._last_at = max(self._last_at, at)
        if entry.before:
            self._step(self._root, name, entry)
        elif name in _INTERRUPTIONS:
            self._interrupted(self._root, name, entry)
        elif (handle := getattr(self, f"_note_{name}", None)) is not None:
            handle(self._root, entry)
        if name in EVENTS and (entry.taken or not entry.before or name == "command_failed"):
            self._root.add(SpanEvent(name, at, self._fields(entry, EVENTS[name])))

    def finish(self) -> list[Span]:
        root = self._root
        if root is None:
            return []
        root.end = max(self._over_at if self._over_at is not None else self._last_at, root.start)
        for span in self._tools.values():
            span.attributes["callflow.tool.result"] = "unfinished"
            self._close(span, root.end)
        for what in list(self._open):
            self._end(what, root.end)
        for kind, count in self._tokens.items():
            root.attributes[f"gen_ai.usage.{kind}_tokens"] = count
        return [root, *sorted(self._spans, key=lambda span: span.start)[: _MOST_SPANS - 1]]

    # Steps

    def _step(self, root: Span, name: str, entry: Entry) -> None:
        if entry.before == _HANGUP:  # it came when the call was over
            return
        self._stages(name, entry)
        if name == "tool_called":
            self._tool_called(entry)
        elif name == "tool_finished":
            self._tool_finished(entry)
        if entry.after == _HANGUP:
            self._over_at = entry.at
        if entry.before != entry.after and _RECOVERING in (entry.before, entry.after):
            if entry.after == _RECOVERING:
                self._begin("recovery", entry.at).attributes["callflow.recovery.after"] = name
                self._end("agent turn", entry.at)
            else:
                self._end("recovery", entry.at, "not_recovered" if entry.after == _HANGUP else "")

    def _stages(self, name: str, entry: Entry) -> None:
        at = entry.at
        if entry.before == _RINGING and entry.after != _RINGING:
            is_answered = entry.after != _HANGUP
            for stage in ("ring", "answer"):
                self._end(stage, at)
            if is_answered:
                self._begin("stream", at)
                self._begin("first word", at)
        if name == "engine_ready":
            self._end("engine connect", at)
        elif name == "engine_lost":
            self._end("engine connect", at, "engine_lost")
        elif name == "media_started":
            self._end("stream", at)
        commands = {each.get("command") for each in entry.commands}
        if "answer" in commands:
            self._begin("answer", at)
        if "connect_engine" in commands:
            self._begin("engine connect", at)

    def _tool_called(self, entry: Entry) -> None:
        tool, key = _named(entry.event.get("tool")), str(entry.event.get("id"))
        span = Span(f"execute_tool {tool}", entry.at, attributes={"gen_ai.operation.name": "execute_tool"})
        span.attributes["gen_ai.tool.name"] = tool
        if _NAME.fullmatch(key):
            span.attributes["gen_ai.tool.call.id"] = key
        self._tools[key] = span

    def _tool_finished(self, entry: Entry) -> None:
        span = self._tools.pop(str(entry.event.get("id")), None)
        if span is None:
            return
        is_ok = entry.event.get("ok") is not False
        span.attributes["callflow.tool.result"] = "ok" if is_ok else "error"
        span.attributes |= self._fields(entry, ("ms",), "callflow.tool.")
        self._close(span, entry.at, "" if is_ok else "tool_error")

    # Notes

    def _note_began(self, root: Span, entry: Entry) -> None:
        root.attributes |= self._fields(entry, ("carrier", "direction", "profile"))

    def _note_ended(self, root: Span, entry: Entry) -> None:
        cause = known_cause(str(entry.event.get("cause") or ""))
        result = result_of(cause, heard_agent=self._heard_agent)
        root.attributes |= {"callflow.cause": cause, "callflow.result": result}
        root.attributes |= self._fields(entry, _OF_CALL)
        if result in ("carrier", "engine", "ours"):
            self._fail(root, cause)
        until = entry.event.get("until")
        if self._over_at is None:
            self._over_at = float(until) if isinstance(until, int | float) else entry.at

    def _note_first_word(self, root: Span, entry: Entry) -> None:
        self._heard_agent = True
        self._end("first word", entry.at)

    def _note_agent_speaks(self, root: Span, entry: Entry) -> None:
        self._heard_agent = True
        self._end("agent turn", entry.at)
        self._begin("agent turn", entry.at)

    def _note_heard(self, root: Span, entry: Entry) -> None:
        span = self._open.get("agent turn")
        if span is not None:
            span.attributes |= self._fields(entry, ("ms", "of_ms"), "callflow.heard.")
            if entry.event.get("done") is True:
                self._end("agent turn", entry.at)

    def _note_latency(self, root: Span, entry: Entry) -> None:
        span = self._open.get("agent turn")
        if span is not None:
            span.attributes |= self._fields(entry, _LATENCY, "callflow.latency.")

    def _note_reply(self, root: Span, entry: Entry) -> None:
        span = self._open.get("agent turn") or root
        span.add(SpanEvent("reply", entry.at, self._fields(entry, ("ms",))))

    def _note_caller_speaks(self, root: Span, entry: Entry) -> None:
        self._end("caller turn", entry.at)
        self._begin("caller turn", entry.at)

    def _note_caller_pauses(self, root: Span, entry: Entry) -> None:
        self._end("caller turn", entry.at)

    def _note_usage(self, root: Span, entry: Entry) -> None:
        root.attributes |= self._fields(entry, ("usd",))
        root.attributes["gen_ai.response.model"] = _named(entry.event.get("model"))
        used = entry.event.get("used")
        for kind, count in used.items() if isinstance(used, Mapping) else ():
            for ends, direction in (("_in", "input"), ("_out", "output")):
                if str(kind).endswith(ends) and isinstance(count, int):
                    self._tokens[direction] = self._tokens.get(direction, 0) + count

    def _interrupted(self, root: Span, name: str, entry: Entry) -> None:
        span = self._open.get("agent turn") or root
        cuts = entry.event.get("cuts")
        heard = {
            f"callflow.{each}": sum(_whole(cut.get(each)) for cut in cuts if isinstance(cut, Mapping))
            for each in ("heard_ms", "received_ms")
        } if isinstance(cuts, list | tuple) else {}  # fmt: skip
        more = self._fields(entry, ("by_caller", "network_ms", "carrier_lag_ms"))
        span.add(SpanEvent(name, entry.at, {**heard, **more}))
        self._end("agent turn", entry.at)

    # Inside

    def _fields(self, entry: Entry, names: Iterable[str], prefix: str = "callflow.") -> dict[str, Attribute]:
        event = str(entry.event.get("event", ""))
        found: dict[str, Attribute] = {}
        for name in names:
            value = entry.event.get(name)
            if self._is_private(event, name) or not isinstance(value, Attribute) or value == "":
                continue
            found[prefix + name] = _named(value) if isinstance(value, str) else value
        return found

    def _begin(self, what: str, at: float) -> Span:
        span = self._open.get(what)
        if span is None:
            span = self._open[what] = Span(what, at)
        return span

    def _end(self, what: str, at: float, error: str = "") -> None:
        span = self._open.pop(what, None)
        if span is not None:
            self._close(span, at, error)

    def _close(self, span: Span, at: float, error: str = "") -> None:
        span.end = max(at, span.start)
        if error:
            self._fail(span, error)
        if len(self._spans) < _MOST_SPANS:
            self._spans.append(span)

    @staticmethod
    def _fail(span: Span, error: str) -> None:
        span.error = span.attributes["error.type"] = error


def _named(value: object) -> str:
    """A name, or `other`: it may be any text that somebody outside has written."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else "other"


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
