"""What the caller of a call beside ours hears, as the server tells it. Pure: time is an argument, in seconds.

The server plays its speech itself. It says when it begins to play a response, and when that has ended or was cut off;
of a message that was cut it says how far it was heard. Nothing else is known, and nothing is computed here.

Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/output_audio_buffer
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from callflow.contracts.engine import PlayoutBegan, PlayoutEnded


_MOST_RESPONSES: Final = 32
_MOST_ITEMS: Final = 64


@dataclass(slots=True)
class _Response:
    items: dict[str, None] = field(default_factory=dict)
    """Its spoken messages, in order."""
    began: float | None = None


class RemotePlayout:
    """The responses that are being played, or will be."""

    def __init__(self) -> None:
        self._responses: dict[str, _Response] = {}
        self._cut: dict[str, int] = {}
        """Ms heard of messages that were cut off."""
        self.cleared = ""
        """The response that was cut off a moment ago, and of which it is not told yet."""

    @property
    def playing(self) -> list[str]:
        """The responses that are being played."""
        return [name for name, one in self._responses.items() if one.began is not None]

    def spoke(self, response: str, item: str) -> None:
        """Note that a response has speech in this message."""
        found = self._find(response)
        if len(found.items) < _MOST_ITEMS:
            found.items[item] = None

    def began(self, response: str, now: float) -> PlayoutBegan:
        """Note that a response begins to be played."""
        self._find(response).began = now
        return PlayoutBegan(response)

    def truncated(self, item: str, ms: int) -> None:
        """Note how far a message was heard that was cut off."""
        self._cut[item] = ms
        if len(self._cut) > _MOST_ITEMS:
            del self._cut[next(iter(self._cut))]

    def is_told(self, response: str) -> bool:
        """Return whether it is known how far a response was heard that was cut off."""
        return any(item in self._cut for item in self._find(response).items)

    def ended(self, response: str, now: float, *, cut: bool) -> PlayoutEnded:
        """Note that nothing more of a response is played. Without the server's word on how far it was heard, the time
        since it began is."""
        found = self._responses.pop(response, None) or _Response()
        ms = 0 if found.began is None else max(round((now - found.began) * 1000), 0)
        if not cut:
            return PlayoutEnded(response, ms, tuple(found.items))
        told = {item: self._cut.pop(item) for item in found.items if item in self._cut}
        if not told and found.items:
            told = {next(iter(found.items)): ms}
        return PlayoutEnded(response, ms, tuple(found.items), told)

    def _find(self, response: str) -> _Response:
        found = self._responses.get(response)
        if found is None:
            if len(self._responses) >= _MOST_RESPONSES:  # of a server that does not tell of their ends
                del self._responses[next(iter(self._responses))]
            found = self._responses[response] = _Response()
        return found
