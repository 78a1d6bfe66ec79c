"""Whom calls may be transferred to: numbers and SIP addresses by name."""

from __future__ import annotations

import pytest

from callflow.config.transfer_targets import read


SALES = "+15550100010"


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("", {}),
        (f"sales = {SALES}", {"sales": SALES}),
        (f" Front  Desk={SALES} ;\n", {"front desk": SALES}),
        (f"a = {SALES}; b = sip:b@pbx.example", {"a": SALES, "b": "sip:b@pbx.example"}),
        (
            f"desk = sip:+15550100011@pbx.example:5061;transport=tls;user=phone; sales = {SALES}",
            {"desk": "sip:+15550100011@pbx.example:5061;transport=tls;user=phone", "sales": SALES},
        ),
        ("x = sips:x@[2001:db8::1]:5061, y = sip:y@b", {"x": "sips:x@[2001:db8::1]:5061", "y": "sip:y@b"}),
        ("z = sip:z@pbx.example?X-Ticket=7%20a", {"z": "sip:z@pbx.example?X-Ticket=7%20a"}),
        ("inside = sip:110@pbx.example", {"inside": "sip:110@pbx.example"}),
    ],
)  # fmt: skip
def test_numbers_and_sip_addresses_are_read(text: str, targets: dict[str, str]) -> None:
    assert read(text) == targets


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sales", "names with numbers"), ("sales = 555", "names with numbers"), (f"= {SALES}", "names with numbers"),
        (f"a = {SALES}, A = {SALES}", "twice"), ("a = sip:pbx.example", "SIP address"),
        ("a = sip:a:secret@pbx.example", "SIP address"), ("a = sip:a@", "SIP address"),
        ("a = sip:a@pbx.example<script>", "SIP address"), (f"a = sip:{'a' * 260}@b", "SIP address"),
        ("a = sip:a b@pbx.example", "names with numbers"), ("help = sip:911@pbx.example", "emergency"),
        ("help = sip:+112@pbx.example", "emergency"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(text)
