"""Whose webhooks these are: the vendor's own library is the oracle, and its documented vectors."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from callflow.contracts.carrier import Request
from callflow.contracts.errors import Forged, Malformed
from carriers.twilio.signature import Verifier, addresses, sign
from tests.carriers.twilio_product import INCOMING, PUBLIC, TOKEN, request, signed, twilio


PARAMS = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+12349013030",
    "Digits": "1234",
    "From": "+12349013030",
    "To": "+18005551212",
}
JSON = b'{"CallSid":"CA1234567890ABCDE","Caller":"+12349013030"}'
HASHED = "https://example.com/myapp?bodySHA256=" + hashlib.sha256(JSON).hexdigest()
SHARED = {"x-twilio-webhooks-signature-settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"}
VERIFIER = Verifier([TOKEN], {"webhooks_sharedkey_1": TOKEN})


def asked(url: str, signature: str, params: dict[str, str] | None = None, **headers: str) -> Request:
    place, _, query = url.partition("?")
    path = "/" + place.split("/", 3)[3]
    body = urlencode(params).encode() if params is not None else b""
    method = "POST" if params is not None else "GET"
    return Request(method, path, {"x-twilio-signature": signature, **headers}, body, url=url, query=query)


@pytest.mark.parametrize(
    ("url", "params", "signature", "headers"),
    [
        ("https://mycompany.com/myapp.php?foo=1&bar=2", PARAMS, "0/KCTR6DLpKmkAf8muzZqo1nDgQ=", {}),
        ("https://mycompany.com/myapp", PARAMS, "3KI2uRuYyAdhZIJXcpU0izDUzWI=", {}),
        ("wss://mycompany.com/media", None, "okykUWKkAOgQseVjzERZh4soLeU=", {}),
        ("wss://mycompany.com/media/", None, "m6zCRgAmr39sY5bRHH3mG0yRr1o=", {}),
        ("https://mycompany.com/myapp", PARAMS, "DZLk0j72SR7j6hrLMtssvUYW5WJtKJ3BRyiR/jalJso=", SHARED),
        (
            "https://mycompany.com/myapp",
            PARAMS | {"ToCity": "", "FromCity": ""},
            "kKc46Mu2/26TioMwg8+CZNVqsEA=",
            {},
        ),
    ],
)
def test_the_documented_vectors(
    url: str, params: dict[str, str] | None, signature: str, headers: dict[str, str]
) -> None:
    VERIFIER.check(asked(url, signature, params, **headers))
    with pytest.raises(Forged):
        VERIFIER.check(asked(url, signature[::-1], params, **headers))


def test_the_vector_with_a_json_body_and_one_whose_body_was_altered() -> None:
    def posted(body: bytes) -> Request:
        headers = {"x-twilio-signature": "hPXmLwIy3Fgqv1i9KPmH/HhQ6zo=", "content-type": "application/json"}
        return Request("POST", "/myapp", headers, body, url=HASHED, query=HASHED.partition("?")[2])

    VERIFIER.check(posted(JSON))
    with pytest.raises(Forged, match="body"):
        VERIFIER.check(posted(JSON.replace(b"9013", b"9014")))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/", "/incoming-call", "/twiml", "/api/twiml", "/twilio/status"])
def test_what_the_vendors_library_signs_is_taken(path: str, method: str) -> None:
    twilio().verify(signed(path, method=method))


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=12))
def test_any_form_at_all_verifies_as_the_vendors_library_signs_it(params: dict[str, str]) -> None:
    try:
        params = {name.encode().decode(): value.encode().decode() for name, value in params.items()}
    except UnicodeEncodeError:
        return
    url = f"{PUBLIC}/"
    signature = RequestValidator(TOKEN).compute_signature(url, params)
    Verifier([TOKEN]).check(asked(url, signature, params))


def test_a_name_that_comes_twice_counts_with_each_distinct_value_once() -> None:
    body = b"A=2&A=1&A=2&B="
    signature = sign(TOKEN.encode(), f"{PUBLIC}/A1A2B".encode())
    headers = {"x-twilio-signature": signature}
    Verifier([TOKEN]).check(Request("POST", "/", headers, body, url=f"{PUBLIC}/"))


def test_bytes_that_are_not_utf8_are_signed_as_they_are() -> None:
    signature = sign(TOKEN.encode(), f"{PUBLIC}/".encode() + b"A\xff")
    Verifier([TOKEN]).check(Request("POST", "/", {"x-twilio-signature": signature}, b"A=%ff", url=f"{PUBLIC}/"))


@pytest.mark.parametrize("port", ["", ":443", ":8443"])
def test_the_port_may_be_signed_or_not(port: str) -> None:
    place = PUBLIC if port != ":8443" else f"{PUBLIC}:8443"
    plain = request()
    wanted = Request("POST", "/", {}, plain.body, url=f"{place}/")
    for signed_as in (f"{PUBLIC}/", f"{PUBLIC}:443/", f"{place}/"):
        signature = sign(TOKEN.encode(), signed_as.encode() + _text(INCOMING))
        Verifier([TOKEN]).check(Request("POST", "/", {"x-twilio-signature": signature}, plain.body, url=wanted.url))
    assert len(set(addresses(f"{PUBLIC}/"))) == 2


def _text(params: dict[str, str]) -> bytes:
    return "".join(f"{name}{params[name]}" for name in sorted(params)).encode()


FORGERIES: dict[str, Any] = {
    "no signature": request(),
    "another token": signed(token="54321"),
    "another host": signed(signed_url="https://evil.example/"),
    "another path": signed(signed_url=f"{PUBLIC}/twiml"),
    "http": signed(signed_url="http://phone.test/"),
    "a query": signed(signed_url=f"{PUBLIC}/?a=1"),
    "no base64": request(headers={"x-twilio-signature": "ü!"}),
    "empty": request(headers={"x-twilio-signature": ""}),
    "an unknown algorithm": signed(x_twilio_webhooks_signature_settings="algorithm=NONE"),
    "an unknown shared key": signed(x_twilio_webhooks_signature_settings="key=k,algorithm=HMAC_SHA256"),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_is_refused(forgery: Request) -> None:
    with pytest.raises(Forged):
        twilio().verify(forgery)


def test_an_altered_added_or_removed_parameter_is_refused() -> None:
    good = signed()
    for params in (
        INCOMING | {"From": "+15550100009"},
        INCOMING | {"Extra": ""},
        {name: value for name, value in INCOMING.items() if value},  # blanks count
    ):
        with pytest.raises(Forged):
            twilio().verify(request(params=params, headers=dict(good.headers)))


def test_while_a_token_is_rotated_both_are_taken() -> None:
    adapter = twilio(auth_tokens=["the new one", TOKEN])
    adapter.verify(signed())
    adapter.verify(signed(token="the new one"))
    with pytest.raises(Forged):
        adapter.verify(signed(token="an older one"))


def test_the_auth_token_does_not_stand_in_for_a_shared_key() -> None:
    with pytest.raises(Forged, match="TWILIO_SHARED_KEYS"):
        twilio().verify(signed(x_twilio_webhooks_signature_settings="key=k"))


def test_unsigned_webhooks_are_taken_in_development_only_and_a_wrong_signature_never() -> None:
    adapter = twilio(allow_unsigned=True)
    adapter.verify(request())
    adapter.verify_stream(request(method="GET"))
    with pytest.raises(Forged):
        adapter.verify(signed(token="54321"))


def test_a_form_with_a_thousand_and_one_parameters_is_malformed() -> None:
    body = "&".join(f"p{n}=" for n in range(1001)).encode()
    with pytest.raises(Malformed):
        Verifier([TOKEN]).check(Request("POST", "/", {"x-twilio-signature": sign(b"k", b"")}, body, url=f"{PUBLIC}/"))


# The handshake of a media socket


def test_a_key_that_is_not_set_signs_nothing() -> None:
    """Anybody can sign with an empty one."""
    for verifier in (Verifier([""]), Verifier(["", TOKEN]), Verifier([TOKEN], {"webhooks_sharedkey_1": "", "": ""})):
        url = f"{PUBLIC}/"
        for algorithm, headers in (("HMAC_SHA1", {}), ("HMAC_SHA256", SHARED)):
            forged = sign(b"", url.encode() + b"CallSidCA1", algorithm)
            with pytest.raises(Forged):
                verifier.check(asked(url, forged, {"CallSid": "CA1"}, **headers))


def handshake(signed_as: str, token: str = TOKEN) -> Request:
    signature = RequestValidator(token).compute_signature(signed_as, {})
    path = "/media-stream/abc"
    return Request("GET", path, {"x-twilio-signature": signature}, b"", url=f"wss://phone.test{path}")


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("port", ["", ":443"])
def test_a_handshake_is_signed_with_or_without_slash_and_port(slash: str, port: str) -> None:
    signed = handshake(f"wss://phone.test{port}/media-stream/abc{slash}")
    assert twilio(media_signature="require").verify_stream(signed) == ""


@pytest.mark.parametrize(
    "signed_as", ["https://phone.test/media-stream/abc", "wss://phone.test/media-stream/abd", "wss://evil.test/media"]
)
def test_a_handshake_signed_for_another_address_is_refused(signed_as: str) -> None:
    with pytest.raises(Forged):
        twilio(media_signature="require").verify_stream(handshake(signed_as))


def test_a_handshake_without_signature_is_refused_unless_the_settings_allow_it() -> None:
    bare = Request("GET", "/media-stream/abc", {}, b"", url="wss://phone.test/media-stream/abc")
    forged = handshake("wss://phone.test/media-stream/abc", token="54321")
    for odd in (bare, forged):
        with pytest.raises(Forged, match="twilio_media_signature"):
            twilio(media_signature="require").verify_stream(odd)
    assert twilio().verify_stream(bare) == "it is not signed"
    told = twilio().verify_stream(forged)
    assert told.startswith("it is signed over none of wss://phone.test/media-stream/…, wss://phone.test:443/media")
    assert "abc" not in told, "the token is a secret"
    assert twilio().verify_stream(handshake("wss://phone.test/media-stream/abc")) == ""


def test_in_development_a_handshake_may_be_unsigned_and_not_wrongly_signed() -> None:
    bare = Request("GET", "/media-stream/abc", {}, b"", url="wss://phone.test/media-stream/abc")
    forged = handshake("wss://phone.test/media-stream/abc", token="54321")
    adapter = twilio(media_signature="require", allow_unsigned=True)
    assert adapter.verify_stream(bare) == ""
    with pytest.raises(Forged):
        adapter.verify_stream(forged)
    assert twilio(allow_unsigned=True).verify_stream(forged).startswith("it is signed over none of")


# Callers with a SIP address, over GET


@pytest.mark.parametrize(
    ("asked", "signed_as"),
    [
        ("From=sip%3A1001%40198.51.100.7&CallSid=CA1", "From=sip%3A1001%40198.51.100.7&CallSid=CA1"),
        ("From=sip%3A1001%40198.51.100.7&CallSid=CA1", "From=sip:1001@198.51.100.7&CallSid=CA1"),
        ("From=sip:1001%40198.51.100.7&CallSid=CA1", "From=sip:1001@198.51.100.7&CallSid=CA1"),
        ("From=sips%3Aann%40x.example%3A5061&To=%2B15550100002", "From=sips:ann@x.example:5061&To=%2B15550100002"),
        ("From=sip%3A1001%40x.example&To=%2B15550100002", "From=sip:1001@x.example&To=+15550100002"),
    ],
)
def test_a_sip_address_in_a_query_may_be_signed_as_it_is_read(asked: str, signed_as: str) -> None:
    signature = RequestValidator(TOKEN).compute_signature(f"{PUBLIC}/?{signed_as}", {})
    Verifier([TOKEN]).check(Request("GET", "/", {"x-twilio-signature": signature}, b"", f"{PUBLIC}/?{asked}", asked))


def test_unescaping_makes_no_forgery_right() -> None:
    query = "From=sip%3A1001%40198.51.100.7&CallSid=CA1"
    signature = RequestValidator(TOKEN).compute_signature(f"{PUBLIC}/?From=sip:1002@198.51.100.7&CallSid=CA1", {})
    with pytest.raises(Forged):
        Verifier([TOKEN]).check(
            Request("GET", "/", {"x-twilio-signature": signature}, b"", f"{PUBLIC}/?{query}", query)
        )
