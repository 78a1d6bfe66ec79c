"""Telephone numbers in the answers for those who may only view."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callflow.journal.redaction import Redactor
from callflow.web.console import masking
from callflow.web.console.masking import Pieces, masked, masked_growing
from tests.web.asgi import Answer, ask


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("+15550100001", "+1555•••0001"), ("+491701234567", "+4917•••4567"), ("+12345", "+•••45"),
        ("+1 (555) 010-0001.", "+1555•••0001."), ("%2B15550100001&", "%2B1555•••0001&"),
        ('{"from":"15550100001"}', '{"from":"1555•••0001"}'), ("sip:15550100001@pbx", "sip:1555•••0001@pbx"),
        ('"{\\"from\\": \\"5550100\\"}"', '"{\\"from\\": \\"•••0100\\"}"'),
        ("tel:+15550100001;x", "tel:+1555•••0001;x"), ("+1\u2011555–010—0001", "+1555•••0001"),
        ("+1\u00a0555\u202f010\u00a00001", "+1555•••0001"), ("+1\u2009(555)\u2007010\u20120001", "+1555•••0001"),
        ('"+1\\u2011555\\u00a0010\\u22120001"', '"+1555•••0001"'), ('"+1\\\\u2011555 0100001"', '"+1555•••0001"'),
    ],
)  # fmt: skip
def test_a_number_keeps_its_beginning_and_its_end(text: str, shown: str) -> None:
    assert masked(text.encode()).decode() == shown


@pytest.mark.parametrize(
    "text",
    [
        '{"at":1700000000.123,"id":12345678,"seq":1234567}', '"7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc"', "1e+10", "+0100",
        '"2026-01-31T10:00:00+00:00"', "in 1234567 ms", '"1494404757140276705"', "CA00000000000000000000000000000001",
        "+1 — 555 €", "+12…345",
    ],
)  # fmt: skip
def test_what_is_no_number_stays(text: str) -> None:
    assert masked(text.encode()).decode() == text


PARTS = st.sampled_from(
    ['"', "+15550100001", '"15550100002"', "%2B15550100003", "sip:15550100004@x", "tel:", " ", ",", '{"at":17000000}',
     "+1 555-010 0005", "é", "data: ", "\n\n", "7", "+", "-", "–",
     "+1\u2011555\u00a0010\u22120006", "+1\\u2011555\\u00a0010\\u22120007", "\\u2011", "\\", "€", "\u00a0"]
)  # fmt: skip


@example(['"15550100002"', '"'], [13])  # the quotation mark that ends the number is kept back
@given(st.lists(PARTS, max_size=12), st.lists(st.integers(0, 200), max_size=20))
def test_a_number_that_comes_in_pieces_is_masked_as_a_whole_one_is(parts: list[str], cuts: list[int]) -> None:
    # What belongs together in two ways is not told apart: nothing of a number is next to another one.
    text = ";".join(parts).encode()
    at = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[begin:end] for begin, end in pairwise(at)] or [b""]
    taking = Pieces()
    told = [taking.take(piece, is_last=number == len(pieces)) for number, piece in enumerate(pieces, start=1)]
    assert b"".join(told) == masked(text)


@pytest.mark.parametrize(
    "number", ["+1 555 010 0001", "+1 (555) 010-0001", "+1\u2011555\u2011010\u20110001", "15550100001", "sip:5550100"]
)
@pytest.mark.parametrize("redact", [Redactor(), Redactor(cards=False)])
def test_a_number_that_grows_shows_none_of_its_parts(redact: Redactor, number: str) -> None:
    before = "" if number.isdigit() else "You are "
    whole = before + number
    for length in range(len(whole)):
        shown = masked_growing(redact.unfinished(whole[:length]))
        assert not any(each.isdigit() for each in shown), f"of {whole[:length]!r}"
    assert masked_growing("You are +15550100001, right? It is 10") == "You are +1555•••0001, right? It is 10"
    assert masked_growing("The boat leaves at 10:30, or") == "The boat leaves at 10:30, or"


@pytest.mark.parametrize(
    ("heard", "unheard", "shown"),
    [
        ("You call from +1 555", "010 0001. Right?", ("You call from +•••", "•••. Right?")),
        ("from +1555010", "0001", ("from +•••", "•••")),
        ("from +15550100001.", "2 boats", ("from +•••", "••• boats")),  # which nobody can tell apart
        ("It is 3", "boats", ("It is 3", "boats")),
        ("Call", "+15550100001 now", ("Call", "+1555•••0001 now")),
        ("", "", ("", "")),
    ],
)  # fmt: skip
def test_a_number_that_an_interruption_divides_is_shown_in_neither_part(
    heard: str, unheard: str, shown: tuple[str, str]
) -> None:
    assert masking.masked_cut(heard, unheard) == shown


def test_an_event_is_not_kept_back() -> None:
    event = b'data: {"from":"+15550100001"}\n\n'
    assert Pieces().take(event, is_last=False) == masked(event)


def answered(kind: str, *pieces: bytes, path: str = "/x", **given: str) -> tuple[Answer, dict[str, Any]]:
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def inner(scope: Any, receive: Any, send: Any) -> None:
            seen.update(scope)
            headers = [(b"Content-Type", kind.encode()), (b"Content-Length", b"%d" % sum(map(len, pieces)))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        scope, send = masking.masking(scope, send)
        await inner(scope, receive, send)

    return asyncio.run(ask(app, "GET", path, body=b"", **given)), seen


@pytest.mark.parametrize("kind", ["application/json", "text/csv", "text/event-stream", "text/html; charset=utf-8", ""])
def test_every_text_is_masked_and_has_no_length_of_before(kind: str) -> None:
    answer, _ = answered(kind, b'"+1555', b'0100001"')
    assert answer.body.decode() == '"+1555•••0001"'
    assert "content-length" not in answer.headers


def test_a_large_text_is_looked_through_in_slices() -> None:
    answer, _ = answered("application/json", b'"+15550100001",' * 20_000)
    assert answer.body.decode() == '"+1555•••0001",' * 20_000


def test_sound_and_what_everybody_gets_stays_as_it_is() -> None:
    for kind, path in (("audio/wav", "/x"), ("image/png", "/x"), ("text/html", "/static/x.html")):
        answer, _ = answered(kind, b'"+15550100001"', path=path)
        assert answer.body == b'"+15550100001"'
        assert answer.headers["Content-Length"] == "14"


def test_nothing_is_compressed_before_it_is_masked() -> None:
    _, seen = answered("text/html", accept_encoding="gzip")
    assert b"accept-encoding" not in dict(seen["headers"])


def test_the_texts_of_a_socket_are_masked() -> None:
    sent: list[Any] = []

    async def main() -> None:
        async def send(message: Any) -> None:
            sent.append(message)

        _, sending = masking.masking({"path": "/x", "headers": []}, send)
        await sending({"type": "websocket.send", "text": '"+15550100001"'})
        await sending({"type": "websocket.send", "bytes": b"+15550100001"})

    asyncio.run(main())
    assert [sent[0]["text"], sent[1]["bytes"]] == ['"+1555•••0001"', b"+15550100001"]
