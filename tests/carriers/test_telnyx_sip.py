"""What a transfer to a SIP address says of who calls."""

from __future__ import annotations

import pytest

from carriers.telnyx.sip import sender


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ("+4930123456", {"from": "+4930123456"}),
        ("sip:mia@pbx.example", {"from": "sip:mia@pbx.example"}),
        ("anonymous", {}),
        ("", {}),
        ("0301234", {}),
        ("+49 30 1", {}),
    ],
)
def test_only_a_number_is_told(number: str, told: dict[str, str]) -> None:
    """What is none is refused, and the caller would not reach the address."""
    assert sender(number) == told
