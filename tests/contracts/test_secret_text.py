"""A text that holds a secret, however it is written there, is not shown; any other is."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callflow.call.stream_tokens import StreamTokens
from callflow.contracts import addresses, secret_text
from callflow.contracts.secret_text import NOT_SHOWN, Secrets


SECRET = "p/ä\"s+s w'ö&rd-12<3>"
KNOWN = Secrets([SECRET])
WRITTEN = {
    "as it is": SECRET,
    "in a header": f"Authorization: Bearer {SECRET}",
    "in a path": f"https://h/{quote(SECRET)}/x",
    "in a query": f"https://h/?{urlencode({'password': SECRET})}",
    "with %20": quote(SECRET, safe=""),
    "with lower case digits": quote(SECRET, safe="").replace("%C3%A4", "%c3%a4").lower().replace("12%3c3", "12%3c3"),
    "as Python shows it": repr({"key": SECRET}),
    "as Python shows bytes of it": quote_plus(SECRET),
    "as JSON": json.dumps({"key": SECRET}),
    "as JSON with letters": json.dumps({"key": SECRET}, ensure_ascii=False),
    "as a user's password": "Basic " + base64.b64encode(f"AC123:{SECRET}".encode()).decode(),
    "as another user's": "Basic " + base64.b64encode(f"AC12:{SECRET}".encode()).decode(),
    "as a third one's": "Basic " + base64.b64encode(f"AC1:{SECRET}!".encode()).decode(),
    "as base64 that is safe in a URL": base64.urlsafe_b64encode(f"x{SECRET}yz".encode()).decode(),
    "in HTML": "<p>p/ä&quot;s+s w&#x27;ö&amp;rd-12&lt;3&gt;</p>",
}


@pytest.mark.parametrize("way", WRITTEN)
def test_a_secret_is_found_however_it_is_written(way: str) -> None:
    assert KNOWN.within(f"before {WRITTEN[way]} after"), WRITTEN[way]
    assert KNOWN.safe_text(WRITTEN[way]) == NOT_SHOWN


@given(st.binary(max_size=7), st.text(min_size=9, max_size=40), st.binary(max_size=7))
@example(b"", "???>>>~~~???", b"")  # with both of the characters that differ
def test_base64_is_found_wherever_it_begins(before: bytes, secret: str, after: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert Secrets([secret]).within(encode(before + secret.encode() + after).decode())


def test_what_is_percent_encoded_in_a_setting_is_found_decoded() -> None:
    assert Secrets(["a%2Fsecret"]).within("password a/secret is wrong")


def test_other_texts_are_shown_as_they_are() -> None:
    for text in ("", "HTTP 401", "p/ä", SECRET[1:], base64.b64encode(b"something else entirely").decode()):
        assert KNOWN.safe_text(text) == text
        assert KNOWN.lines(text) == text


def test_of_a_line_that_holds_it_only_what_was_said_before_is_left() -> None:
    assert KNOWN.lines(f"one\n  two {SECRET}\nthree") == f"one\n{NOT_SHOWN}\nthree"
    assert KNOWN.lines(f"call 7: a: b {SECRET}: c: {SECRET}") == f"call 7: a: {NOT_SHOWN}"
    assert KNOWN.lines(f"{SECRET}: c") == NOT_SHOWN


@given(st.text(": ab\n", max_size=20), st.sampled_from(sorted(WRITTEN)), st.text(": ab\n", max_size=20))
def test_no_line_holds_it(before: str, way: str, after: str) -> None:
    assert not KNOWN.within(KNOWN.lines(before + WRITTEN[way] + after))


def test_nothing_is_secret_where_no_secret_is_set() -> None:
    assert not Secrets(["", ""]).within("anything")


def test_the_token_of_a_stream_is_always_secret() -> None:
    token = StreamTokens(bytes(32)).path_token("7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc", 3)
    assert secret_text.NONE.within(f"no connection to wss://phone.example/media-stream/{token}")
    assert not secret_text.NONE.within("call 7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc, stream 3")


@pytest.mark.parametrize("text", ["sk-proj-0123456789", "KEY0123456789ABCDEF_x", "KEY_sandbox", "KEYabc12"])
def test_the_keys_of_vendors_are_known(text: str) -> None:
    assert secret_text.is_key(text)
    assert secret_text.may_be_secret(f"x {text}")


@pytest.mark.parametrize("text", ["sk-SK", "marin", "KEYNOTE", "gpt-realtime-2.1", "", "sk- is how keys begin"])
def test_other_words_are_none(text: str) -> None:
    assert not secret_text.is_key(text)


@pytest.mark.parametrize(
    "text", ["2abcDEF0123456789xyz_ABC", "0123456789abcdef0123456789abcdef", "https://u:p@h", "x: AAAABBBBCCCC1111="]
)
def test_what_looks_like_a_token_may_be_secret(text: str) -> None:
    assert secret_text.may_be_secret(text)


@pytest.mark.parametrize("text", ["six", "1.5", "near_field", "loud and clear", "99999999999999999999"])
def test_what_people_mistype_is_not(text: str) -> None:
    assert not secret_text.may_be_secret(text)


@pytest.mark.alone
@pytest.mark.parametrize("text", ["KEY.", "sk-", "a" * 32 + ".9", "0", "https", "=+/-", "KEYKEY ", "://"])
def test_looking_for_secrets_takes_time_in_proportion_to_the_text(text: str) -> None:
    def seconds(size: int) -> float:
        long = text * (size // len(text))
        began = time.perf_counter()
        secret_text.may_be_secret(long)
        secret_text.is_key(long)
        KNOWN.lines(long)
        addresses.shown(f"https://{long}")
        return time.perf_counter() - began

    short, longer = (min(seconds(size) for _ in range(5)) for size in (10_000, 40_000))
    assert longer < short * 12, f"four times the text took {longer / short:.0f} times as long"


@pytest.mark.parametrize("name", ["OPENAI_APIKEY", "openai_api_key", "console_token", "DB_PASSWORD", "MyPasswd",
                                  "client_secret", "sslpassword", "NGROK_AUTHTOKEN", "twilio_shared_keys"])  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert secret_text.names_secret(name)


@pytest.mark.parametrize("name", ["max_output_tokens", "keypad", "monkey", "voice", "port", "host"])
def test_names_of_other_things(name: str) -> None:
    assert not secret_text.names_secret(name)


@pytest.mark.parametrize(
    ("value", "is_distinctive"),
    [
        ("", False), ("7", False), ("S3cret!", False), ("S3cret!!", True), ("callflow", False), ("c" * 15, False),
        ("c" * 16, True), ("Callflow", True),
    ],
)  # fmt: skip
def test_what_is_short_or_a_plain_word_is_not_looked_for(value: str, is_distinctive: bool) -> None:
    """Any text might hold it, and would not be shown."""
    assert secret_text.is_distinctive(value) is is_distinctive
