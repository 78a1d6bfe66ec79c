"""What nodes say to each other is signed: with the time, the method, the target and the body, and for no other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.cluster import signing
from callflow.contracts.errors import Forged


SECRET = b"0123456789abcdef0123456789abcdef"


def signed_text() -> str:
    return signing.sign(SECRET, 1000.0, "POST", "/public/webhooks?a=1", b"{}")


def signed(**changed: object) -> tuple[str, float, str, str, bytes]:
    given = {"now": 1000.0, "method": "POST", "target": "/public/webhooks?a=1", "body": b"{}", **changed}
    return (
        str(changed.get("text", signed_text())),
        float(str(given["now"])),
        str(given["method"]),
        str(given["target"]),
        bytes(given["body"]),  # type: ignore[call-overload]
    )


def verify(text: str, now: float, method: str, target: str, body: bytes) -> None:
    signing.verify(SECRET, text, now, method, target).check(body)


def test_a_signed_request_is_taken() -> None:
    verify(*signed())
    verify(*signed(now=1029.0))
    assert signing.verify(SECRET, *signed()[:4]).length == 2, "known before the body is read"


@pytest.mark.parametrize(
    "changed",
    [
        {"now": 1031.0}, {"now": 969.0}, {"method": "GET"}, {"target": "/public/webhooks?a=2"},
        {"target": "/console/webhooks?a=1"}, {"body": b"{ }"}, {"text": ""},
        {"text": f"t=1000,n=2,b={'0' * 64},v1={'0' * 64}"},
        {"text": signed_text().replace("n=2", "n=9")}, {"text": signed_text().replace("t=1000", "t=1001")},
    ],
)  # fmt: skip
def test_anything_else_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(Forged):
        verify(*signed(**changed))


def test_another_cluster_has_another_secret() -> None:
    for secret in (b"", SECRET[:-1], SECRET + b"x", SECRET.upper()):
        with pytest.raises(Forged, match="secret"):
            signing.verify(secret, *signed()[:4])


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda odd: odd.decode("latin-1")))
def test_whatever_stands_in_the_header_is_forged_and_no_fault_of_ours(text: str) -> None:
    for given_ in (text, signed_text() + text if text else "", f"t={text},n=2,b={'0' * 64},v1={'0' * 64}"):
        with pytest.raises(Forged):
            signing.verify(SECRET, given_, 1000.0, "POST", "/public/webhooks?a=1")


@pytest.mark.parametrize("digits", ["\u0661\u0660\u0660\u0660", "\uff11\uff10\uff10\uff10"])
def test_digits_of_other_scripts_are_none(digits: str) -> None:
    with pytest.raises(Forged, match="no signature"):
        signing.verify(SECRET, signed_text().replace("t=1000", f"t={digits}"), 1000.0, "POST", "/public/webhooks?a=1")


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_a_promise_is_kept_by_one_body_alone(body: bytes, other: bytes) -> None:
    signed = signing.verify(SECRET, signing.sign(SECRET, 5.9, "GET", "/a", body), 5.9, "GET", "/a")
    signed.check(body)
    if other != body:
        with pytest.raises(Forged, match="not the one that a node has signed"):
            signed.check(other)


def test_method_and_target_are_signed_apart() -> None:
    one = signing.sign(SECRET, 1.0, "GET", "/a", b"")
    with pytest.raises(Forged):
        signing.verify(SECRET, one, 1.0, "GET\n/a", "")
    with pytest.raises(Forged):
        signing.verify(SECRET, one, 1.0, "GE", "T/a")
