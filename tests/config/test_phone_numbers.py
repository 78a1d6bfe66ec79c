"""One number has one form, in every spelling of it."""

from __future__ import annotations

import pytest

from callflow.config.phone_numbers import Numbers, country_of, is_country


ONE = "+15550100002"
SPELLINGS = [
    "+15550100002", "+1 555 010 0002", "+1 (555) 010-0002", "+1-555-010-0002", "+1.555.010.0002", "0015550100002",
    "00 1 555 010 0002", "011 1 555 010 0002", "15550100002", "1 555 010 0002", "5550100002", "(555) 010-0002",
    "555.010.0002", "555\u2011010\u20110002", "555\u00a0010\u00a00002", " +15550100002 ",
    "tel:+15550100002", "tel:+1-555-010-0002", "TEL:+15550100002", "tel:+15550100002;ext=12",
    "tel:5550100002;phone-context=+1",
    "sip:+15550100002@acme.sip.us1.example.com", "sip:+15550100002@203.0.113.7:5060;transport=tls",
    "sips:+15550100002@acme.example", "sip:15550100002@acme.example:5061", "sip:%2B15550100002@acme.example",
    "sip:+15550100002;npdi=yes@acme.example", "sip:+15550100002:secret@acme.example", "SIP:+15550100002@acme.example",
    '"Ann" <sip:+15550100002@acme.example>;tag=1', "<sip:+15550100002@acme.example:5060>", "<tel:+15550100002>",
    "sip:+1-555-010-0002@acme.example;user=phone", "+15550100002;ext=12", "+1 555 010 0002 ext. 12", "+15550100002 x12",
    "+15550100002x12", "+15550100002,,12#",
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_number_has_one_form(spelling: str) -> None:
    assert Numbers("US").normal(spelling) == ONE


@pytest.mark.parametrize(
    ("country", "spelling", "number"),
    [
        ("DE", "030 901820", "+4930901820"),
        ("DE", "+49 (0)30 901820", "+4930901820"),
        ("DE", "0049 30 901820", "+4930901820"),
        ("DE", "001 555 010 0002", ONE),
        ("GB", "020 7946 0123", "+442079460123"),
        ("GB", "sip:02079460123@trunk.example", "+442079460123"),
        ("FR", "01 99 00 12 34", "+33199001234"),
        ("AU", "0011 1 555 010 0002", ONE),
        ("US", "+49 30 901820", "+4930901820"),
    ],
)
def test_a_national_number_is_one_of_its_country(country: str, spelling: str, number: str) -> None:
    assert Numbers(country).normal(spelling) == number


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("1001", "1001"),
        ("sip:1001@198.51.100.7", "1001"),
        ("sip:1001@198.51.100.7:5060;transport=udp", "1001"),
        ("sip:ann.lee@acme.example", "ann.lee"),
        ("client:joe", "client:joe"),
        ("anonymous", "anonymous"),
        ("+anonymous", "+anonymous"),
        ("911", "911"),
        ("*67", "*67"),
        ("", ""),
        ("+999999999999999999999", "+999999999999999999999"),
        ("\u0665\u0665\u0665", "\u0665\u0665\u0665"),
    ],
)
def test_what_is_no_number_is_only_itself(given: str, kept: str) -> None:
    assert Numbers("US").normal(given) == kept


@pytest.mark.parametrize(
    "given", ["sip:", "sip:@", "tel:", "<", "sip:%ff%fe@x", "+" * 500, "1" * 500, ";ext=1", "\x00", "sip:a@b@c"]
)
def test_odd_texts_do_no_harm(given: str) -> None:
    assert isinstance(Numbers("US").normal(given), str)


def test_the_host_and_the_port_are_no_part_of_the_number() -> None:
    numbers = Numbers("US")
    assert numbers.normal("sip:+15550100002@10.11.12.13:5060") != numbers.normal("sip:+15550100003@10.11.12.13:5060")
    assert numbers.normal("sip:1001@10.0.0.1") == numbers.normal("sip:1001@10.0.0.2:5080")


def test_the_country_of_our_own_numbers() -> None:
    assert country_of(["+4930901820", "+4989123456", "+15550100002"]) == "DE"
    assert country_of(["+15550100002"]) == "US"
    assert country_of(["1001", "sip:x@y", "+", ""]) == ""
    assert is_country("DE")
    assert not is_country("XX")
