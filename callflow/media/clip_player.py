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
        self._put(clip.audio, name)

    def put_next(self, name: str, audio: bytes) -> str:
        """Queue a clip or another sound behind the audio queued so far; the call goes on. Returns its item."""
        self._fillers += 1
        return self._put(audio, f"{name}:{self._fillers}")

    def ended_by(self, item: str) -> str:
        """Return the name of the clip that ends the call if `item` is that clip; else ""."""
        return self._last if self._last and item == f"{_PREFIX}{self._last}" else ""

    def _put(self, audio: bytes, item: str) -> str:
        key = SpeechSegmentId(_PREFIX + item, session=0)
        self._playout.add(key, _PREFIX, audio)
        self._playout.finish(key)
        return key.item
