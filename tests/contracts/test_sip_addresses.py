"""SIP addresses to which calls are referred: which are some, which call for help, and whose region they are of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.sip_addresses import is_sip_address, of_other_region, reaches_emergency


@pytest.mark.parametrize(
    "address",
    [
        "sip:desk@example.com", "sips:desk@example.com:5061", "sip:+15550100001@10.0.0.1", "sip:a@[2001:db8::1]:5060",
        "sip:a@example.com;transport=tls?Subject=x", "sip:a%20b@h", f"sip:{'a' * 100}@example.com",
    ],
)  # fmt: skip
def test_an_address_of_a_user_is_one(address: str) -> None:
    assert is_sip_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "", "desk@example.com", "sip:example.com", "sip:@example.com", "sip:a:secret@example.com", "sip:a@", "sip:a@-x",
        "sip:a@x-", "sip:a@example.com:123456", "sip:a b@example.com", "sip:a@example.com\n", "\nsip:a@example.com",
        "sip:a@example.com\r\nVia: x", "tel:+15550100001", "SIP:a@example.com", "sip:a@b@c", "sip:ä@example.com",
        f"sip:{'a' * 101}@example.com", f"sip:a@{'b' * 250}", "sip:a@<b>", 'sip:a@b"',
    ],
    ids=range(21),
)  # fmt: skip
def test_what_is_no_address_or_holds_a_password_is_none(address: str) -> None:
    assert not is_sip_address(address)


def test_the_longest_address_has_250_characters() -> None:
    assert is_sip_address(f"sip:a@{'b' * 244}")
    assert not is_sip_address(f"sip:a@{'b' * 245}")


@pytest.mark.parametrize(
    ("user", "helps"),
    [
        ("911", True), ("112", True), ("+911", True), ("%39%31%31", True), ("9-1-1", True), ("(911)", True),
        ("9.1.1", True), ("%2B112", True), ("0911", False), ("9110", False), ("110", False), ("desk911", False),
        ("100", False),
    ],
)  # fmt: skip
def test_an_address_that_calls_for_help_is_known_however_it_is_written(user: str, helps: bool) -> None:
    """Escapes and separators passed for an extension."""
    for address in (f"sip:{user}@example.com", f"sips:{user}@10.0.0.1:5061;user=phone"):
        assert is_sip_address(address)
        assert reaches_emergency(address) is helps


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_none(text: str) -> None:
    for address in (text, f"sip:{text}", f"sip:{text}@example.com"):
        assert not (reaches_emergency(address) and not is_sip_address(address))


@pytest.mark.parametrize(
    ("host", "api", "is_wrong"),
    [
        ("sip.api.openai.com", "wss://api.openai.com/v1/realtime", False),
        ("sip.api.openai.com", "wss://eu.api.openai.com/v1/realtime", True),
        ("sip-eu.api.openai.com", "wss://eu.api.openai.com/v1/realtime", False),
        ("sip-eu.api.openai.com", "https://api.openai.com", True),
        ("sip.example.com", "wss://eu.api.openai.com", False),
        ("sip.api.openai.com", "ws://127.0.0.1:6000", False),
        ("sip.api.openai.com", "", False),
        ("", "", False),
        ("sip.api.openai.com", "eu.api.openai.com", False),
    ],
)
def test_calls_are_accepted_in_the_region_in_which_they_come_in(host: str, api: str, is_wrong: bool) -> None:
    found = of_other_region(host, api)
    assert bool(found) is is_wrong
    assert not found or host in found
