"""Short spoken sentences that come with the product: raw µ-law, one folder per language, texts in `clips.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources


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
    """Load the clips of one language, by name. Raises FileNotFoundError for a language that there is no folder for."""
    folder = resources.files(__name__) / language
    texts = tomllib.loads((folder / "clips.toml").read_text("utf-8"))
    return {name: Clip(name, str(text), (folder / f"{name}.ulaw").read_bytes()) for name, text in texts.items()}
