"""The form of a telephone number."""

from __future__ import annotations

import pytest

from callflow.contracts.e164 import is_e164, is_subscriber


@pytest.mark.parametrize("text", ["+12", "+15550100001", "+123456789012345"])
def test_a_number_in_international_form_is_one(text: str) -> None:
    assert is_e164(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "+", "+1", "15550100001", "+05550100001", "+1234567890123456", "+1 555 0100001", " +15550100001",
        "+15550100001\n", "+15550100001,,1", "++15550100001", "+1555010000a", "+\u0661\u0662\u0663",
        "+\uff11\uff15\uff15",
        "anonymous", "sip:+15550100001@example.com",
    ],
)  # fmt: skip
def test_anything_around_it_or_other_digits_make_it_none(text: str) -> None:
    assert not is_e164(text)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("+6834002", True), ("+683400", False), ("+123456789012345", True), ("+1234567890123456", False), ("112", False)],
)
def test_a_subscribers_number_has_seven_digits_at_least(text: str, *, is_one: bool) -> None:
    assert is_subscriber(text) is is_one
