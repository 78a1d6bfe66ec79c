"""Ids that no two sessions of a call share: a model may count its responses, items and tool calls anew in each. Pure.

Those of the first session stay as they are. Those of a later one get a mark where its events come in, `item_1~2`, which
is taken off where they go out. Without it, audio of a new response counts as that of one that was cut off, words take
the place of earlier ones, and a tool call is taken for one that was answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    ContextPart,
    EngineEvent,
    HostedTool,
    ItemAdded,
    PlayoutBegan,
    PlayoutEnded,
    ResponseDone,
    ResponseStarted,
    ToolCalls,
    Transcript,
    TranscriptFailed,
)
from callflow.contracts.tools import ToolCall


_MARK: Final = "~"
_MOST_DIGITS: Final = 6


class SessionIds:
    """The ids of one session."""

    __slots__ = ("_mark",)

    def __init__(self, number: int) -> None:
        """`number`: of the session within its call, from 1."""
        self._mark = f"{_MARK}{number}" if number > 1 else ""

    @property
    def are_plain(self) -> bool:
        """Whether the ids stay as the model gives them."""
        return not self._mark

    def marked(self, event: EngineEvent) -> EngineEvent:
        """Return an event of the session with the ids that they have in the call."""
        mark = self._mark
        if type(event) is AudioDelta:  # the most frequent, in the quickest way
            response = event.response and event.response + mark
            return AudioDelta(response, event.item + mark, event.content, event.audio)
        changed = _CHANGED.get(type(event))
        return event if changed is None else changed(event, lambda name: name and name + mark)

    def of_session(self, name: str) -> str:
        """Return an id of the call as the session knows it."""
        return name.removesuffix(self._mark)

    def of_items(self, items: Sequence[ContextPart]) -> list[ContextPart]:
        """Return items of the conversation with the ids that the session knows."""
        return [item._replace(id=self.of_session(item.id)) if isinstance(item, ToolCall) else item for item in items]


def last_number(names: Iterable[str]) -> int:
    """Return the highest number of a session that these ids tell of; at least 1."""
    marks = (name.rpartition(_MARK) for name in names)
    numbers = (int(number) for _, mark, number in marks if mark and number.isdecimal() and len(number) <= _MOST_DIGITS)
    return max(numbers, default=1)


Name = Callable[[str], str]


def _one(event: Any, name: Name) -> Any:
    return event._replace(response=name(event.response))


def _item(event: Any, name: Name) -> Any:
    return event._replace(item=name(event.item))


def _tool(event: HostedTool, name: Name) -> HostedTool:
    return event._replace(id=name(event.id))


def _done(event: AudioDone, name: Name) -> AudioDone:
    return event._replace(response=name(event.response), item=name(event.item))


def _response_done(event: ResponseDone, name: Name) -> ResponseDone:
    return event._replace(response=name(event.response), items=tuple(map(name, event.items)))


def _tool_calls(event: ToolCalls, name: Name) -> ToolCalls:
    calls = tuple(call._replace(id=name(call.id)) for call in event.calls)
    return event._replace(response=name(event.response), calls=calls)


def _playout_ended(event: PlayoutEnded, name: Name) -> PlayoutEnded:
    cut = None if event.cut is None else {name(item): ms for item, ms in event.cut.items()}
    return event._replace(response=name(event.response), items=tuple(map(name, event.items)), cut=cut)


_CHANGED: Final[Mapping[type, Callable[[Any, Name], Any]]] = {
    ResponseStarted: _one,
    PlayoutBegan: _one,
    ItemAdded: _item,
    Transcript: _item,
    TranscriptFailed: _item,
    AudioDone: _done,
    ResponseDone: _response_done,
    ToolCalls: _tool_calls,
    HostedTool: _tool,
    PlayoutEnded: _playout_ended,
}
"""Every event that has ids, but for `AudioDelta`."""
