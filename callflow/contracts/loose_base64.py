"""Reads base64 that is not written as RFC 4648, section 4, has it. Pure. It is slow, and used only when the strict
decoder has failed."""

from __future__ import annotations

import binascii
from typing import Final


_BLANKS: Final = str.maketrans(dict.fromkeys(" \t\r\n") | {"-": "+", "_": "/"})


def loosely_decoded(payload: str) -> bytes | None:
    """Decode base64 without padding, with line breaks, or in the URL-safe alphabet. Returns None for anything else."""
    plain = payload.translate(_BLANKS).rstrip("=")
    try:
        return binascii.a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)
    except ValueError:
        return None
