"""How Telnyx is asked to listen for answering machines; `webhooks.py` reads what it finds."""

from __future__ import annotations

from typing import Literal


def listening(way: Literal["premium", "standard"], machines: Literal["hang_up", "message"]) -> str:
    """Return the `answering_machine_detection` of a dial. `way`: a setting; `machines`: as of `Dial`.

    The standard way tells of a beep only where it is asked to; premium does by itself. `greeting_end` would also take a
    pause within the greeting for its end. Vendor: developers.telnyx.com, answering machine detection.
    """
    if way == "premium":
        return "premium"
    return "detect_beep" if machines == "message" else "detect"
