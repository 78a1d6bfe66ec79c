"""The form of a telephone number in E.164: `+`, the country code and the number, 15 digits at most (ITU-T E.164). Pure.

Whether a number can exist, and may be dialled, `config/dial_rules.py` says.
"""

from __future__ import annotations

import re
from typing import Final


_FORM: Final = re.compile(r"\+[1-9][0-9]{1,14}")


def is_e164(text: str) -> bool:
    """Return whether a text has this form, and nothing around it."""
    return _FORM.fullmatch(text) is not None
