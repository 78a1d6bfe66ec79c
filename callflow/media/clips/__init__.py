"""Short spoken sentences that come with the product: raw µ-law, one folder per language, texts in `clips.toml`. Beside
them is the tune of hold, which is the same in all languages (scripts/music makes it)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final


HOLD_MUSIC: Final = "hold-music"
"""The clip for callers on hold."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One spoken sentence."""

    name: str
    text: str
    audio: bytes
    """µ-law, 8 kHz."""


def languages() -> list[str]:
    """Return the languages that have clips, such as `en`."""
    return sorted(each.name for each in resources.files(__name__).iterdir() if (each / "clips.toml").is_file())


def load(language: str = "en") -> Mapping[str, Clip]:
    """Load the clips of one language, by name, and the tune of hold.

    Raises FileNotFoundError for a language that there is no folder for.
    """
    folder = resources.files(__name__) / language
    texts = tomllib.loads((folder / "clips.toml").read_text("utf-8"))
    spoken = {name: Clip(name, str(text), (folder / f"{name}.ulaw").read_bytes()) for name, text in texts.items()}
    return {**spoken, HOLD_MUSIC: _hold_music()}


@cache
def _hold_music() -> Clip:
    return Clip(HOLD_MUSIC, "", (resources.files(__name__) / f"{HOLD_MUSIC}.ulaw").read_bytes())
