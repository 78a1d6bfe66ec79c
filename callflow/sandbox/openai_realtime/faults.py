"""The faults that the emulated OpenAI Realtime server can show, and choices where the documentation is silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self


@dataclass(slots=True)
class Faults:
    """All faults are off by default. Every field may be changed while the server runs and counts from then on.

    Counters ("the next n") go down as they are used; -1 means without end.
    """

    only_connections: list[int] | None = None
    """Numbers of the connections that the faults apply to (1 = the first attempt since the start); None = all."""

    # -- the opening handshake
    refuse_next: int = 0
    """The next n handshakes are answered with HTTP `refuse_status`."""
    refuse_status: int = 503
    """401 bad key, 403 no access, 429 limit, 500 and 503 theirs."""
    refuse_code: str | None = None
    """The code of the error in the body; None = the one that goes with the status."""
    retry_after: str | None = None
    """The `Retry-After` header, with any status; None = "1" with 429 and 503; "" = none."""
    hang_next: int = 0
    """The next n handshakes get no answer at all."""

    # -- the session's beginning
    no_session_created: bool = False
    """`session.created` is not sent."""
    no_session_updated: bool = False
    """A valid `session.update` is applied but never confirmed."""
    refuse_session_update: int = 0
    """The next n valid `session.update` are refused with an error and nothing is applied."""
    refuse_transcription: bool = False
    """A `session.update` that turns transcription on is refused: the project has no access to its model."""
    odd_defaults: bool = False
    """`session.created` shows other defaults than documented: another voice, silence, no turn detection, new keys."""

    # -- the connection's end
    drop_after_s: float | None = None
    """The connection ends so many seconds after it opened (read when it opens)."""
    drop_after_events: int | None = None
    """The connection ends when n frames were sent on it."""
    close_code: int | None = None
    """The close code with which the two above end it; None = the TCP connection is reset without a close frame."""
    close_reason: str = ""
    """The reason that goes with `close_code`."""
    freeze_after_s: float | None = None
    """The server hangs so many seconds after the connection opened (read when it opens): the socket stays open, and
    nothing is read or sent on it any more, not even a pong."""
    stop_reading_after: int | None = None
    """After n client events nothing more is read from the socket (0 = from the start)."""

    # -- replies
    mute: bool = False
    """`response.create` and the caller's turns are never answered."""
    rate_limit_next: int = 0
    """The next n responses fail with `inference_rate_limit_exceeded`, seen only in `response.done`."""
    fatal_error: str = ""
    """Code (insufficient_quota, invalid_api_key, …): the first response gets this `error`, then the socket closes."""
    skip_response_created: int = 0
    """The next n responses come without `response.created` (seen around interruptions)."""
    messages_per_response: int = 1
    """Every spoken answer comes as n assistant message items (2.x models do that)."""
    first_byte_ms: float | None = None
    """Replaces `Pace.first_byte_ms`."""
    transcription_fails: bool = False
    """The caller's turns end with `…transcription.failed` instead of a transcript."""
    late_deltas: int = 0
    """After `speech_started` or a cancel n more audio deltas are sent before the response ends."""

    # -- audio
    oversized_deltas: bool = False
    """The whole answer in one delta."""
    odd_deltas: bool = False
    """Deltas are no multiple of 160 bytes, nor of one 16-bit sample."""
    wrong_output_format: bool = False
    """PCM16 at 24 kHz is sent although the session confirmed a telephone format."""
    wrong_formats_echoed: bool = False
    """The session confirms and uses PCM16 at 24 kHz in both directions, whatever was asked for."""

    # -- frames
    error_event_id_null: bool = False
    """The `event_id` of every `error` is null, so it does not say which client event it answers."""
    unknown_events: bool = False
    """Before every event comes one of an unknown type, and every event has an unknown field."""
    invalid_json: bool = False
    """Before every event comes a text frame that is not JSON."""
    binary_frames: bool = False
    """Before every event comes a binary frame."""
    null_fields: bool = False
    """Strings that have a meaning are null: transcripts, text deltas, messages, `previous_item_id`, voices, …"""
    beta_names: bool = False
    """Output events carry the names of the retired beta interface (`response.audio.delta`, …)."""

    def hits(self, connection: int) -> bool:
        """Return whether the faults apply to the connection of that number."""
        return self.only_connections is None or connection in self.only_connections

    def take(self, counter: str) -> bool:
        """Count a counter ("the next n") down. Returns whether it was not 0."""
        left = int(getattr(self, counter))
        if left > 0:
            setattr(self, counter, left - 1)
        return left != 0

    def set(self, values: Mapping[str, Any]) -> None:
        """Set the named fields. Raises ValueError for an unknown name or a wrong type, and then sets nothing."""
        kinds = {field.name: str(field.type) for field in fields(self)}
        for name, value in values.items():
            if name not in kinds:
                raise ValueError(f"unknown fault {name!r}; there are {', '.join(kinds)}")
            if not _fits(value, kinds[name]):
                raise ValueError(f"{name} expects {kinds[name]}, not {value!r}")
        for name, value in values.items():
            setattr(self, name, value)

    def reset(self) -> None:
        """Turn all faults off."""
        self.set(asdict(Faults()))

    def to_json(self) -> dict[str, Any]:
        """Return all faults by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Make faults from their names and values. Raises ValueError as `set` does."""
        faults = cls()
        faults.set(values)
        return faults


def _fits(value: object, kind: str) -> bool:
    if value is None:
        return kind.endswith("| None")
    match kind.removesuffix(" | None"):
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "str":
            return isinstance(value, str)
        case _:
            return isinstance(value, list) and all(isinstance(n, int) for n in value)


NO_FAULTS = Faults()
"""The faults of a connection that is not among `only_connections`. Not to be changed."""


@dataclass(slots=True)
class Quirks:
    """Choices where OpenAI's documentation is silent, contradicts captures of real sessions, or models differ."""

    truncate_overrun: Literal["reject", "reject_then_clamp"] = "reject"
    """`audio_end_ms` beyond the audio: only the error, or the error and then a truncation at the real end."""
    conversation_created: bool = False
    """`conversation.created` after `session.created`: in the typed models, absent from captures."""
    rate_limits: Literal["start", "before_done", "after_done", "never"] = "before_done"
    """Where `rate_limits.updated` stands within a response."""
    obfuscation: bool = True
    """The `obfuscation` string on transcript deltas: in captures, absent from the models."""
    turn_while_active: Literal["drop", "queue"] = "drop"
    """What becomes of a caller's turn that ends while a response runs and `interrupt_response` is false."""
    default_voice: str = "alloy"
    """The voice of a session that chose none."""
    default_silence_ms: int = 200
    """`silence_duration_ms` of a new session: 200 in captures of `session.created`, 500 in the documentation."""
    session_seconds: float = 3600.0
    """The longest that a session lasts: 60 minutes at OpenAI, 30 at Azure."""
    idle_speed: float = 1.0
    """Divides the idle timeout: a client cannot ask for less than 5 s, and tests should not wait that long."""
    expires_at_in: float | None = None
    """`expires_at`, in seconds from the session's beginning; None = the real end."""
    prompts: bool | None = None
    """Whether `prompt` is taken; None = until 2026-11-30, the last day of reusable prompts."""
    expiry: Literal["error_and_close", "error", "close"] = "error_and_close"
    """What announces the end of a session: a `session_expired` error, close code 1001, or both."""
