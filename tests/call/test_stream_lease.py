"""The media streams of a call: which of them a socket may join, how often, and what may be written down about one."""

from __future__ import annotations

import pytest

from callflow.call.stream_lease import StreamLease
from callflow.call.stream_tokens import StreamToken, StreamTokens
from callflow.contracts.errors import Refused
from callflow.contracts.events import CarrierNotice, StreamFailed
from callflow.contracts.secret_text import NOT_SHOWN


CALL = "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc"
TOKENS = StreamTokens(bytes(range(32)))


def lease(address: str = "https://phone.example") -> StreamLease:
    made = StreamLease(CALL, TOKENS, lambda: address)
    made.open()
    return made


@pytest.mark.parametrize(("http", "ws"), [("https://p.example", "wss://p.example"), ("http://h:6000", "ws://h:6000")])
def test_the_address_of_a_stream_has_its_token_in_the_path(http: str, ws: str) -> None:
    stream = lease(http)
    start, token = stream.url.split("/media-stream/")
    assert (start, TOKENS.read(token)) == (ws, StreamToken(CALL, 1))
    assert (stream.name, stream.secret) == ("stream-1", TOKENS.header_token(CALL, 1))


def test_another_stream_replaces_the_one_before() -> None:
    stream = lease()
    first = stream.url
    stream.open()
    assert stream.url != first
    assert (stream.ordinal, stream.name) == (2, "stream-2")
    with pytest.raises(Refused, match="replaced by another"):
        stream.claim(1, has_socket=False)
    stream.claim(2, has_socket=False)


def test_the_same_stream_asked_for_again_has_the_same_address_and_all_its_uses() -> None:
    stream = lease()
    first = stream.url
    for _ in range(2):
        stream.claim(1, has_socket=False)
        stream.join()
    stream.renew()
    assert (stream.url, stream.ordinal) == (first, 1)
    stream.claim(1, has_socket=False)


def test_a_stream_has_one_socket_at_a_time_and_two_in_all() -> None:
    stream = lease()
    stream.claim(1, has_socket=False)
    with pytest.raises(Refused, match="has a socket already"):
        stream.claim(1, has_socket=False)
    assert stream.join() == stream.secret
    with pytest.raises(Refused, match="has a socket already"):
        stream.claim(1, has_socket=True)
    stream.claim(1, has_socket=False)
    stream.join()
    with pytest.raises(Refused, match="used already"):
        stream.claim(1, has_socket=False)


def test_a_socket_that_did_not_open_lets_another_one_try() -> None:
    stream = lease()
    stream.claim(1, has_socket=False)
    stream.unclaim()
    stream.claim(1, has_socket=False)


def test_a_newer_stream_does_not_wait_for_the_end_of_an_older_streams_socket() -> None:
    stream = lease()
    stream.claim(1, has_socket=False)
    stream.join()
    stream.open()
    stream.claim(2, has_socket=True)


def test_a_report_about_this_stream_is_told_without_its_address() -> None:
    stream = lease()
    for address in (stream.url, stream.name):
        assert stream.failed(StreamFailed(reason="no route", address=address)) == StreamFailed(reason="no route")


def test_a_reason_that_repeats_a_secret_is_not_told() -> None:
    stream = lease()
    for reason in (f"cannot reach {stream.url}", f"401 with {stream.secret}"):
        assert stream.failed(StreamFailed(reason=reason, address=stream.url)) == StreamFailed(reason=NOT_SHOWN)


def test_a_report_about_an_older_stream_ends_nothing() -> None:
    stream = lease()
    first = stream.url
    stream.open()
    assert isinstance(stream.failed(StreamFailed(reason="late", address=first)), CarrierNotice)
    unaddressed = StreamFailed(reason="whichever")
    assert stream.failed(unaddressed) is unaddressed
