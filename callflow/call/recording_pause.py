"""The pause of a call's recordings, such as while a card number is said: no sound and no words of it are kept.

The journal has when it began and ended, and who asked for it. A deadline ends it if nobody does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Final

from callflow.contracts import events
from callflow.journal import notes
from callflow.journal.redaction import Redactor
from callflow.timers import Timers


NOT_WRITTEN: Final = "(not written: the recording was paused)"
_WORDS: Final = frozenset(
    {
        events.ToolCalled.name, events.ToolFinished.name, events.Dtmf.name, notes.Turn.kind, notes.NotTranscribed.kind,
        notes.Fact.kind, notes.Heard.kind, notes.Interrupted.kind, notes.CutOff.kind, notes.Digits.kind,
        notes.EndCall.kind, notes.HostedTool.kind, notes.Whispered.kind, notes.ImageShown.kind,
        events.DtmfRequested.name, events.SayRequested.name, events.TransferRequested.name,
    }
)  # fmt: skip
"""Events and notes with something that was said, typed or handed to a tool."""
_OURS: Final = frozenset(
    {events.DtmfRequested.name, events.SayRequested.name, events.TransferRequested.name, notes.Whispered.kind}
)
"""Those whose `id` is a number of ours, and none of the engine's."""
_MOST = 1000


class RecordingPause:
    """The pauses of one call, past and present. Times are Unix time, in seconds."""

    def __init__(
        self, seconds: float, *, since: float | None, over: Callable[[], object], now: Callable[[], float]
    ) -> None:
        """`seconds`: after which a pause is `over`, unless it was ended. `since`: when one began that a process
        of before has left on; None: it has not. `now`: returns Unix time."""
        self._seconds, self._over, self._now = seconds, over, now
        self._spans: list[tuple[float, float]] = []
        """The newest, `_MOST` of them."""
        self._items: dict[str, None] = {}
        """The engine's ids of turns and tool calls that had a part in a pause."""
        self._timers = Timers()
        if since is not None:
            self._begin(since)

    @property
    def is_on(self) -> bool:
        """Whether nothing is kept at present."""
        return bool(self._spans) and self._spans[-1][1] == inf

    def set(self, *, on: bool) -> None:
        """Begin or end a pause, unless that is so already."""
        if on == self.is_on:
            return
        if on:
            self._begin(self._now())
        else:
            self.close()
            self._spans[-1] = self._spans[-1][0], self._now()

    def _begin(self, since: float) -> None:
        self._spans.append((since, inf))
        del self._spans[:-_MOST]
        left = max(since + self._seconds - self._now(), 0.0)
        self._timers.start("pause", left, self._over)

    def hides(self, told: Mapping[str, Any], at: float) -> bool:
        """Return whether an event or a note has words that were said, at least in part, during a pause. `at`: when it
        is written; what it tells of may have begun earlier."""
        if not self._spans or (told.get("event") not in _WORDS and "digit" not in told):
            return False
        began = at - told.get("ago_ms", 0) / 1000
        names = ("item",) if told["event"] in _OURS else ("item", "id")
        items = {str(told.get(name)) for name in names if told.get(name)}
        items |= {str(cut.get("item")) for cut in told.get("cuts", ())}
        hidden = any(began <= end and at >= begin for begin, end in self._spans)
        hidden = hidden or not items.isdisjoint(self._items)
        if hidden:
            self._items.update(dict.fromkeys(items))
            while len(self._items) > _MOST:
                del self._items[next(iter(self._items))]
        return hidden

    def close(self) -> None:
        """Stop the deadline."""
        self._timers.stop("pause")


class PauseRedactor(Redactor):
    """Takes out every word."""

    def text(self, text: str) -> str:
        """Return a text that says that there was one; "": there was none."""
        return NOT_WRITTEN if text else ""

    def unfinished(self, text: str) -> str:
        """Return what `text` returns, of a text that is still growing."""
        return self.text(text)

    def _cut(self, heard: str, unheard: str) -> dict[str, str]:
        return {"heard_text": self.text(heard), "unheard_text": self.text(unheard)}
