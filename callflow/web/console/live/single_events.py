"""The single events of one call's engine and media stream, while somebody watches this call.

They are not written down: the newest are kept for those who come while another watches, encoded once for all. Pieces of
audio, words and arguments are counted, and told in one line a second; so is what comes faster than anybody could read.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from callflow.call.call import Call
from callflow.contracts.event_tap import EventTap, Way
from callflow.contracts.json_slices import PIECE
from callflow.journal.redaction import Redactor
from callflow.web.console.live.outline import in_words, outline
from callflow.web.console.live.sse import frame


log = logging.getLogger(__name__)

MOST: Final = 500
"""Events that somebody who comes late, or is behind, still gets."""
_COUNT_SECONDS: Final = 1.0
_MOST_A_SECOND: Final = 60
"""Events that are told one by one, on average."""
_COUNTED: Final = (".delta", ".segment", "session.usage.updated")
_MEDIA: Final[tuple[tuple[Way, str, str, int], ...]] = (
    ("from_media", "frames from the caller", "frames_in", 1),
    ("to_media", "frames to the caller", "bytes_out", 160),
)
"""How frames of audio are counted: the relay's own count, and how much of it is a frame."""
_KIND: Final = re.compile(r"[A-Za-z0-9_.]{1,80}")
_INNER: Final = "response.event"
"""Of the full-duplex engine: what is in it is an event of its own."""


class SingleEvents:
    """The events of one call. It watches the call's tap from `attach` to `detach`."""

    def __init__(
        self, redact: Redactor, *, news: Callable[[], None], now: Callable[[], float], began: Callable[[], float | None]
    ) -> None:
        """`news`: wakes the viewers. `now`: Unix time, in seconds; likewise `began`, from when on moments count."""
        self._redact, self._news, self._now, self._began = redact, news, now, began
        self._tap: EventTap | None = None
        self._call: Call | None = None
        self._frames: list[bytes] = []
        self._woken = 0
        """The number behind the last frame of which the viewers know."""
        self._begins = 0
        """The number of the first frame that is kept."""
        self._number = 0
        self._counted: Counter[tuple[Way, str]] = Counter()
        self._relayed: dict[str, int] = {}
        self._count_at = 0.0
        self._left = float(_MOST_A_SECOND)

    @property
    def first(self) -> int:
        """The number of the first frame that a new viewer gets."""
        return max(self._begins, self.end - MOST)

    @property
    def end(self) -> int:
        """The number of the next frame."""
        return self._begins + len(self._frames)

    def piece(self, at: int) -> tuple[bytes, int]:
        """Return frames from a number on, and the number behind them. Before them is told how many are gone already."""
        found: list[bytes] = []
        if at < self._begins:
            found, at = [frame("missed", {"count": self._begins - at})], self._begins
        size = 0
        while at < self.end and size < PIECE:
            found.append(self._frames[at - self._begins])
            size += len(found[-1])
            at += 1
        return b"".join(found), at

    # The call

    def attach(self, call: Call) -> None:
        """Watch this call, from now on; also when its parts were made anew."""
        if call.relay.tap is self._tap:
            return
        self.detach()
        self._call, self._tap, self._count_at = call, call.relay.tap, self._now()
        self._relayed = {name: getattr(call.relay, name) for _, _, name, _ in _MEDIA}
        self._tap.watcher = self

    def detach(self) -> None:
        """Watch the call no more."""
        if self._tap is not None and self._tap.watcher is self:
            self._tap.watcher = None
        self._tap = self._call = None
        self._counted.clear()

    def event(self, way: Way, kind: str, raw: bytes | Mapping[str, Any], safe: Callable[[str], str]) -> None:
        """Take an event: see `EventWatcher`."""
        try:
            self._take(way, kind, raw, safe)
        except Exception:  # the call goes on
            log.exception("a single event cannot be shown")

    def _take(self, way: Way, kind: str, raw: bytes | Mapping[str, Any], safe: Callable[[str], str]) -> None:
        kind = kind if _KIND.fullmatch(kind) else "other"
        if kind.endswith(_COUNTED) or self._left < 1:
            self._counted[way, kind] += 1
            return
        shown = outline(raw, lambda text: self._redact.text(safe(text)))
        if kind == _INNER and isinstance(inner := shown.get("event"), dict) and _KIND.fullmatch(str(inner.get("type"))):
            kind = f"{_INNER} {inner['type']}"
            if kind.endswith(_COUNTED):
                self._counted[way, kind] += 1
                return
        self._left -= 1
        self._tell(way, kind, in_words(shown), {**shown, "type": kind.removeprefix(f"{_INNER} ")})

    def look(self) -> None:
        """Tell what was counted, once a second, and wake the viewers if there is news.

        Called from time to time, so that a burst of events is one piece for each viewer.
        """
        self._count(self._now())
        if self._woken < self.end:
            self._woken = self.end
            self._news()

    def _count(self, now: float) -> None:
        if self._call is None or 0 <= now - self._count_at < _COUNT_SECONDS:
            return
        self._count_at, self._left = now, min(self._left + _MOST_A_SECOND, 2.0 * _MOST_A_SECOND)
        for way, kind, name, share in _MEDIA:
            before, self._relayed[name] = self._relayed[name], getattr(self._call.relay, name)
            if (count := (self._relayed[name] - before) // share) > 0:
                self._counted[way, kind] += count
        if not self._counted:
            return
        counted, self._counted = self._counted, Counter()
        told = {f"{way} {kind}": count for (way, kind), count in counted.most_common(10)}
        line = ", ".join(f"{count} {kind}" for (_, kind), count in counted.most_common(10))
        way = "from_model" if any(way == "from_model" for way, _ in counted) else next(iter(counted))[0]
        self._tell(way, "counted", line, {"type": "counted", "counts": told})

    def _tell(self, way: Way, kind: str, line: str, event: Mapping[str, Any]) -> None:
        assert self._call is not None
        at, began = self._now(), self._began() or self._call.began
        self._number = max(round(at * 1e6), self._number + 1)
        told = {
            "n": self._number, "at": round(at - began, 3), "way": way, "kind": kind, "line": line,
            "event": event,
        }  # fmt: skip
        self._frames.append(frame("single", told))
        if len(self._frames) > 2 * MOST:
            del self._frames[:MOST]
            self._begins += MOST
