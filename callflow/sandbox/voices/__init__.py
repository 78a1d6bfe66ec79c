"""Two voices for the sandbox: `agent/…` is what the emulated model says, `caller/…` what an emulated caller says.

Every recording is raw G.711 µ-law, 8 kHz, mono (8 bytes are 1 ms), trimmed to 50 ms of silence at either end, telephone
band, peak -6 dB. They are rendered by `scripts/voices` from the words in the two `lines.toml`.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final


SPEAKERS: Final = ("agent", "caller")


def _texts() -> dict[str, str]:
    lines: dict[str, str] = {}
    for speaker in SPEAKERS:
        table = tomllib.loads(files(__name__).joinpath(speaker, "lines.toml").read_text(encoding="utf-8"))
        lines |= {f"{speaker}/{name}": str(words) for name, words in table.items()}
    return lines


TEXTS: Final = MappingProxyType(_texts())
"""Name of a recording ("agent/greeting", "caller/thanks", …) -> the words spoken in it."""


@cache
def load(name: str) -> bytes:
    """Return the µ-law bytes of a recording, by its name in `TEXTS`. Raises KeyError for an unknown name."""
    if name not in TEXTS:
        raise KeyError(f"no recording {name!r}; there are {', '.join(sorted(TEXTS))}")
    speaker, _, line = name.partition("/")
    return files(__name__).joinpath(speaker, f"{line}.ulaw").read_bytes()
