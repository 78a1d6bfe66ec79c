"""Clips: recorded sentences of the product, played through the same playout as the agent's speech."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callflow.contracts.media import SpeechSegmentId
from callflow.media.clips import Clip
from callflow.media.playout import Playout


_PREFIX: Final = "clip:"


def is_clip(item: str) -> bool:
    """Return whether an item in the playout is a clip, not speech of the engine."""
    return item.startswith(_PREFIX)


class ClipPlayer:
    """Puts clips into the playout of one call, and remembers which clip ends the call."""

    def __init__(self, clips: Mapping[str, Clip], playout: Playout) -> None:
        """`clips`: by name, in the language of the call."""
        self._clips, self._playout = clips, playout
        self._fillers = 0
        self._last = ""

    def clip(self, *names: str) -> Clip | None:
        """Return the first of these clips that exists; None if none does."""
        return next((self._clips[name] for name in names if name in self._clips), None)

    def put_last(self, clip: Clip, name: str) -> None:
        """Queue the clip that ends the call; `ended_by` recognises it by `name`."""
        self._last = name
        self._put(clip, name)

    def put_filler(self, clip: Clip) -> None:
        """Queue a clip that fills a silence, behind the audio queued so far."""
        self._fillers += 1
        self._put(clip, f"{clip.name}:{self._fillers}")

    def ended_by(self, item: str) -> str:
        """Return the name of the clip that ends the call if `item` is that clip; else ""."""
        return self._last if self._last and item == f"{_PREFIX}{self._last}" else ""

    def _put(self, clip: Clip, item: str) -> None:
        key = SpeechSegmentId(_PREFIX + item, session=0)
        self._playout.add(key, _PREFIX, clip.audio)
        self._playout.finish(key)
