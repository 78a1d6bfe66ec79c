"""Who may ask the control endpoint: each check that is set up must pass."""

from __future__ import annotations

import itertools

import pytest

from callflow.contracts.control import Checks, read_answer
from callflow.contracts.errors import ControlFailed


SECRET, SIGNING, AT = "test-shared-secret-1", "test-signing-secret", 1750000000
BODY = b'{"type":"session.created"}'
HEX = "cbe5b4c0800a8863f828f9f29b911234d3ff157cf74fb8a3e3b79e1f436049e6"
BASE64 = "y+W0wIAKiGP4KPnym5ESNNP/FXz3T7ij47eeH0NgSeY="
BODY_ONLY = "5a60483e68be31dea3be77d4331b2184bd321f494d80921d0505168b58b711a5"
PAIRS = [
    ("x-openai-signature", "x-openai-signature-timestamp"),
    ("x-openai-signature", "x-openai-timestamp"),
    ("x-openai-signature-256", "x-openai-signature-timestamp"),
    ("x-openai-signature-256", "x-openai-timestamp"),
]
SIGNED = Checks(signing=SIGNING)


def signed(signature: str = HEX, at: str | None = str(AT), pair: tuple[str, str] = PAIRS[0]) -> dict[str, str]:
    return {pair[0]: signature, **({} if at is None else {pair[1]: at})}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("form", [HEX, HEX.upper(), HEX.title(), BASE64])
@pytest.mark.parametrize("prefix", ["", "sha256=", "v1=", "v1,"])
def test_every_form_of_a_right_signature_is_taken(pair: tuple[str, str], form: str, prefix: str) -> None:
    assert SIGNED.allow(signed(prefix + form, pair=pair), BODY, AT)
    assert not SIGNED.allow(signed(prefix + form, pair=pair), BODY + b" ", AT), "of other bytes"
    assert not SIGNED.allow(signed(prefix + form[:-2], pair=pair), BODY, AT), "a part of it"


def test_one_signature_in_two_headers_may_be_spelt_in_two_ways() -> None:
    for other in (f"sha256={HEX.upper()}", BASE64):
        assert SIGNED.allow(signed(f"v1={HEX}") | {"x-openai-signature-256": other}, BODY, AT)
    for other in ("", "sha256=", BASE64[:-4], BODY_ONLY):
        assert not SIGNED.allow(signed(f"v1={HEX}") | {"x-openai-signature-256": other}, BODY, AT)


@pytest.mark.parametrize(
    ("headers", "now"),
    [
        (signed(), AT + 301), (signed(), AT - 301), (signed(at=f"{AT}.0"), AT), (signed(at="now"), AT),
        (signed(at=""), AT), (signed(at="-1"), AT), (signed(at="\u0661\u0667"), AT), (signed(at="1" * 13), AT),
        (signed(at=str(AT + 1)), AT), (signed(BODY_ONLY), AT), (signed(at=None), AT), (signed(BODY_ONLY, at=None), AT),
        (signed(BASE64.rstrip("=")), AT), (signed(HEX + "\n0"), AT), (signed(""), AT), ({}, AT),
        (signed() | {"x-openai-signature-256": "0" * 64}, AT), (signed() | {"x-openai-timestamp": str(AT + 1)}, AT),
    ],
)  # fmt: skip
def test_a_signature_that_is_late_or_wrong_or_ambiguous_is_refused(headers: dict[str, str], now: float) -> None:
    assert not SIGNED.allow(headers, BODY, now)


def test_the_window_ends_where_it_is_said_to_end() -> None:
    for off in (-300, 0, 300):
        assert SIGNED.allow(signed(), BODY, AT + off)
    assert Checks(signing=SIGNING, tolerance=10).allow(signed(), BODY, AT + 10)
    assert not Checks(signing=SIGNING, tolerance=10).allow(signed(), BODY, AT + 11)


def test_a_signature_without_a_time_counts_only_where_that_is_set() -> None:
    loose = Checks(signing=SIGNING, untimed=True)
    assert loose.allow(signed(BODY_ONLY, at=None), BODY, 0)
    assert loose.allow(signed(), BODY, AT)
    assert not loose.allow(signed(BODY_ONLY), BODY, AT), "with a time, this is signed as well"
    assert not loose.allow(signed(HEX, at=None), BODY, AT)
    assert not loose.allow(signed(), BODY, AT + 301)


TOLD = {"none": {}, "right": {"authorization": f"Bearer {SECRET}"}, "wrong": {"authorization": f"Bearer {SECRET}x"}}
IN_OUR_WAY = {"none": {}, "right": {"x-webhook-secret": SECRET}, "wrong": {"x-webhook-secret": SECRET[:-1]}}
PROVED = {"none": {}, "right": signed(), "wrong": signed("0" * 64)}


@pytest.mark.parametrize("way", [TOLD, IN_OUR_WAY])
@pytest.mark.parametrize(("has_secret", "has_signing"), [*itertools.product([False, True], repeat=2)])
@pytest.mark.parametrize(("told", "proved"), [*itertools.product(TOLD, PROVED)])
def test_whatever_is_set_up_must_be_right(
    way: dict[str, dict[str, str]], has_secret: bool, has_signing: bool, told: str, proved: str
) -> None:
    checks = Checks(secret=SECRET if has_secret else "", signing=SIGNING if has_signing else "")
    right = (not has_secret or told == "right") and (not has_signing or proved == "right")
    assert checks.allow(way[told] | PROVED[proved], BODY, AT) is (right and (has_secret or has_signing))


def test_two_secrets_in_one_request_must_both_be_right() -> None:
    checks = Checks(secret=SECRET)
    assert checks.allow(TOLD["right"] | IN_OUR_WAY["right"], BODY, AT)
    assert not checks.allow(TOLD["right"] | IN_OUR_WAY["wrong"], BODY, AT)
    assert not checks.allow({"authorization": f"Basic {SECRET}"}, BODY, AT)
    assert checks.allow({"authorization": f"bearer  {SECRET}"}, BODY, AT)


def test_our_own_requests_are_let_in() -> None:
    for secret, signing in itertools.product(["", SECRET], ["", SIGNING]):
        checks = Checks(secret=secret, signing=signing)
        headers = {name.lower(): value for name, value in checks.headers(BODY, AT + 0.7).items()}
        assert checks.allow(headers, BODY, AT) is bool(secret or signing)
    assert SIGNED.headers(BODY, AT)["x-openai-signature"] == f"sha256={HEX}"
    assert SECRET not in repr(Checks(secret=SECRET, signing=SIGNING))


def test_an_answer_is_read_event_by_event() -> None:
    answer = b'{"events": [{"type": "session.update", "session": {"voice": "ash"}}, {"type": "x\\n"}, 1]}'
    sessions, problems = read_answer(answer)
    assert sessions == [{"voice": "ash"}]
    assert [line.partition(" is left out")[0] for line in problems] == ["x\\n", "an event"]
    assert read_answer(b"") == read_answer(b"{}") == ([], [])
    for broken in (b"{", b"[]", b'{"events": {}}', b'"x"', b" " * (256 << 10) + b"{}"):
        with pytest.raises(ControlFailed):
            read_answer(broken)
