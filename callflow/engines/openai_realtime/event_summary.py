"""Summarises a server event for the log at the level debug. Pure.

Audio is shown as a number of bytes and transcripts as a number of characters. Instructions, tools, their arguments and
results are left out. Texts are not shortened here, because half a secret would not be recognised and hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from callflow.engines.openai_realtime import server_events
from callflow.engines.openai_realtime.server_events import ServerEvent


_MOST_LIMITS: Final = 8
_AUDIO: Final = "response.output_audio.delta"


def in_short(event: ServerEvent) -> str:
    """Return the event in one line: "response.done response resp_1 completed usage 12 30"."""
    return " ".join([event.type, *_details(event)])


def _details(event: ServerEvent) -> Iterator[str]:
    yield from _named(event.response, "response", ("id", "status"))
    if event.type == "response.done":
        if detail := server_events.response_done(event).detail:
            yield f"because {detail}"
        usage = server_events.response_of(event).get("usage")
        yield from _named(usage, "usage", ("input_tokens", "output_tokens"))
    yield from _named(event.session, "session", ("id", "model", "expires_at"))
    yield from _named(event.item, "item", ("id", "type", "role", "name", "status", "server_label"))
    if event.response_id:
        yield f"response {event.response_id}"
    if event.item_id:
        yield f"item {event.item_id}"
    if event.audio_end_ms is not None:
        yield f"at {event.audio_end_ms:.15g} ms"
    if event.error is not None:
        code, message, about = server_events.error_of(event)
        yield f"{code}: {message}" + (f" (about {about})" if about else "")
    piece = event.text if event.type.endswith(".segment") else event.delta
    if piece is not None:
        size = len(piece)
        yield f"{size // 4 * 3} bytes" if event.type == _AUDIO else f"{size} characters"
    for said in (event.transcript, event.text):
        if said is not None and said is not piece:
            yield f"{len(said)} characters"
    if isinstance(event.rate_limits, list):
        for limit in event.rate_limits[:_MOST_LIMITS]:
            yield from _named(limit, "", ("name", "remaining", "limit", "reset_seconds"))


def _named(part: Any, what: str, names: tuple[str, ...]) -> Iterator[str]:
    if isinstance(part, Mapping):
        values = [str(part[name]) for name in names if isinstance(part.get(name), (str, int, float))]
        if values:
            yield " ".join([what, *values]) if what else " ".join(values)
