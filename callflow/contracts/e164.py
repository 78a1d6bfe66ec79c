"""The form of a telephone number in E.164: `+`, the country code and the number, 15 digits at most (ITU-T E.164). Pure.

Whether a number can exist, and may be dialled, `config/dial_rules.py` says.
"""

from __future__ import annotations

import re
from typing import Final


SHORTEST: Final = 7
"""Digits of the shortest numbers of subscribers, with their country code: those of Niue, Saint Helena and Tokelau."""
SUBSCRIBER: Final = rf"\+[1-9][0-9]{{{SHORTEST - 1},14}}"
"""The pattern of a subscriber's number."""
_FORM: Final = re.compile(r"\+[1-9][0-9]{1,14}")
_SUBSCRIBER: Final = re.compile(SUBSCRIBER)


def is_e164(text: str) -> bool:
    """Return whether a text has this form, and nothing around it."""
    return _FORM.fullmatch(text) is not None


def is_subscriber(text: str) -> bool:
    """Return whether a text has this form and as many digits as a subscriber's number."""
    return _SUBSCRIBER.fullmatch(text) is not None
