"""Where carriers reach us: what somebody has said, else how the newest request that was verified was addressed."""

from __future__ import annotations

import pytest

from callflow.web.public.address import PublicAddress


@pytest.mark.parametrize(
    ("host", "proto", "address"),
    [
        ("phone.example", "", "https://phone.example"),
        ("phone.example", "http", "http://phone.example"),
        ("phone.example", "https", "https://phone.example"),
        ("phone.example:8443", "https", "https://phone.example:8443"),
        ("phone.example", "javascript", "https://phone.example"),
        ("phone.example", "wss", "https://phone.example"),
        ("localhost:6000", "", "http://localhost:6000"),
        ("127.0.0.1:6000", "", "http://127.0.0.1:6000"),
        ("[::1]:6000", "", "http://[::1]:6000"),
        ("localhost:6000", "https", "https://localhost:6000"),
        ("localhost.example", "", "https://localhost.example"),
        ("", "https", "http://here"),
    ],
)
def test_where_nothing_is_known_a_request_says_it(host: str, proto: str, address: str) -> None:
    assert PublicAddress("", "http://here").of(host, proto) == address


def test_what_was_said_goes_before_what_a_request_says() -> None:
    address = PublicAddress("", "http://here")
    assert (address(), address.known) == ("http://here", "")
    address.learn("https://learned.example")
    assert (address(), address.known) == ("https://learned.example", "")
    address.tunnel = "https://tunnel.example"
    assert (address(), address.of("evil.example", "https")) == ("https://tunnel.example", "https://tunnel.example")
    said = PublicAddress("https://said.example", "http://here")
    said.tunnel = "https://tunnel.example"
    said.learn("https://learned.example")
    assert (said(), said.of("evil.example", "http"), said.known) == ("https://said.example",) * 3


@pytest.mark.parametrize(
    ("before", "address"),
    [
        ("https://phone.example", "https://phone.example"),
        ("http://127.0.0.1:6000", "http://here"),
        ("http://localhost:6000", "http://here"),
        ("http://[::1]:6000", "http://here"),
    ],
)
def test_what_the_process_before_knew_is_believed_unless_it_is_this_machine(before: str, address: str) -> None:
    found = PublicAddress("", "http://here")
    found.relearn(before)
    assert found() == address
