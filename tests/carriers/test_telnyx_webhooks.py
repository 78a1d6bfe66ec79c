"""Telnyx's webhooks: whose they are, and what they say."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from callflow.contracts import commands, events
from callflow.contracts.errors import Forged, Malformed
from callflow.contracts.events import LegIds
from tests.carriers.product import NOW, PUBLIC_KEY, order, request, sign, telnyx


ADAPTER = telnyx()
BODY = b'{"data": {"event_type": "call.initiated"}}'
SIGNATURE, TIMESTAMP = "telnyx-signature-ed25519", "telnyx-timestamp"


def envelope(kind: Any, payload: Any, **data: Any) -> bytes:
    return json.dumps({"data": {"event_type": kind, "id": "e-1", "payload": payload, **data}}).encode()


def payload(**fields: Any) -> dict[str, Any]:
    return {"call_control_id": "v3:c", "call_leg_id": "leg", "call_session_id": "session", **fields}


# verify


def test_a_signed_webhook_is_taken() -> None:
    ADAPTER.verify(request(BODY, sign(BODY)))


@pytest.mark.parametrize("seconds", [-300, -1, 0, 1, 300])
def test_a_webhook_within_the_tolerance_is_taken(seconds: int) -> None:
    ADAPTER.verify(request(BODY, sign(BODY, str(NOW + seconds))))


def _changed(signature: str) -> str:
    raw = bytearray(base64.b64decode(signature))
    raw[17] ^= 1
    return base64.b64encode(raw).decode()


GOOD = sign(BODY)
FORGERIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "another body": (BODY + b" ", GOOD),
    "no body": (b"", GOOD),
    "the same JSON written otherwise": (json.dumps(json.loads(BODY), separators=(",", ":")).encode(), GOOD),
    "one bit of the signature changed": (BODY, {**GOOD, SIGNATURE: _changed(GOOD[SIGNATURE])}),
    "another timestamp than was signed": (BODY, {**GOOD, TIMESTAMP: str(NOW + 1)}),
    "another spelling of the timestamp": (BODY, {**GOOD, TIMESTAMP: f" {NOW}"}),
    "too old": (BODY, sign(BODY, str(NOW - 301))),
    "from the future": (BODY, sign(BODY, str(NOW + 301))),
    "no headers": (BODY, {}),
    "no signature": (BODY, {TIMESTAMP: GOOD[TIMESTAMP]}),
    "empty signature": (BODY, {**GOOD, SIGNATURE: ""}),
    "no timestamp": (BODY, {SIGNATURE: GOOD[SIGNATURE]}),
    "empty timestamp": (BODY, {**GOOD, TIMESTAMP: ""}),
    "signed timestamp that is no number": (BODY, sign(BODY, "yesterday")),
    "signed timestamp with a fraction": (BODY, sign(BODY, f"{NOW}.5")),
    "signed timestamp beyond every float": (BODY, sign(BODY, "9" * 400)),
    "signed timestamp of 5000 digits": (BODY, sign(BODY, "9" * 5000)),
    "signature that is not base64": (BODY, {**GOOD, SIGNATURE: "?" * 88}),
    "signature with garbage around it": (BODY, {**GOOD, SIGNATURE: GOOD[SIGNATURE] + "\n!"}),
    "signature outside ASCII": (BODY, {**GOOD, SIGNATURE: "é" * 88}),
    "signature cut short": (BODY, {**GOOD, SIGNATURE: base64.b64encode(bytes(63)).decode()}),
    "signature of nothing but zeros": (BODY, {**GOOD, SIGNATURE: base64.b64encode(bytes(64)).decode()}),
    "headers that no UTF-8 can hold": (BODY, {**GOOD, TIMESTAMP: "\udcff"}),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_forged_webhook_is_refused(what: str) -> None:
    body, headers = FORGERIES[what]
    with pytest.raises(Forged):
        ADAPTER.verify(request(body, headers))


def test_a_wrong_signature_is_refused_also_where_none_is_needed() -> None:
    adapter = telnyx(allow_unsigned=True)
    for body, headers in FORGERIES.values():
        if headers.get(SIGNATURE):
            with pytest.raises(Forged):
                adapter.verify(request(body, headers))


def test_a_signature_by_another_key_is_refused() -> None:
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(Forged):
        telnyx(public_key=other).verify(request(BODY, sign(BODY)))


@pytest.mark.parametrize("headers", [{}, sign(BODY)])
def test_without_a_key_nothing_is_verified(headers: dict[str, str]) -> None:
    with pytest.raises(Forged, match="TELNYX_PUBLIC_KEY"):
        telnyx(public_key=None).verify(request(BODY, headers))


@pytest.mark.parametrize("public_key", [None, PUBLIC_KEY])
def test_unsigned_webhooks_are_taken_only_when_allowed_and_never_silently(
    public_key: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    adapter = telnyx(public_key=public_key, allow_unsigned=True)
    for times in (1, 2):
        adapter.verify(request(BODY))
        warnings = [one for one in caplog.records if one.levelno >= logging.WARNING]
        assert len(warnings) == times, "every unsigned webhook that is taken must warn"


def test_the_message_about_time_says_how_far_off_the_webhook_is() -> None:
    with pytest.raises(Forged, match="1000 s off"):
        ADAPTER.verify(request(BODY, sign(BODY, str(NOW - 1000))))


@contextlib.contextmanager
def _pynacl() -> Iterator[None]:
    """The official package checks with PyNaCl; where that is missing, `cryptography` stands in for it."""
    if importlib.util.find_spec("nacl") is not None:
        yield
        return

    class BadSignatureError(Exception):
        pass

    class VerifyKey:
        def __init__(self, key: bytes) -> None:
            self._key = Ed25519PublicKey.from_public_bytes(key)

        def verify(self, message: bytes, signature: bytes) -> bytes:
            try:
                self._key.verify(signature, message)
            except InvalidSignature:
                raise BadSignatureError from None
            return message

    modules = {name: ModuleType(name) for name in ("nacl", "nacl.signing", "nacl.exceptions")}
    modules["nacl.signing"].__dict__["VerifyKey"] = VerifyKey
    modules["nacl.exceptions"].__dict__["BadSignatureError"] = BadSignatureError
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


@pytest.fixture(scope="module")
def oracle() -> Iterator[Any]:
    """`telnyx.lib.webhook_verification`, by its file: importing the whole package takes seconds."""
    package = importlib.util.find_spec("telnyx")
    if package is None or package.origin is None:
        pytest.skip("the telnyx package is not installed")
    path = Path(package.origin).parent / "lib" / "webhook_verification.py"
    spec = importlib.util.spec_from_file_location("telnyx_oracle", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__dict__["time"] = SimpleNamespace(time=lambda: float(NOW))
    with _pynacl():
        yield module


TEXTS = st.text().map(str.encode)
"""The official package reads no body that is not UTF-8; Telnyx sends none."""


@given(body=TEXTS, changed=TEXTS, seconds=st.sampled_from([-400, -290, -10, 0, 10, 290, 400]))
def test_we_agree_with_the_official_package_about_every_body(
    oracle: Any, body: bytes, changed: bytes, seconds: int
) -> None:
    headers = sign(body, str(NOW + seconds))
    key = base64.b64encode(PUBLIC_KEY).decode()
    for arrived in (body, changed):
        try:
            oracle.verify_webhook_signature(arrived, headers, key)
            theirs = True
        except oracle.WebhookVerificationError:
            theirs = False
        try:
            ADAPTER.verify(request(arrived, headers))
            ours = True
        except Forged:
            ours = False
        assert ours == theirs
        assert ours == (arrived == body and abs(seconds) <= 300)


@given(signature=st.text(), timestamp=st.text(), body=st.binary())
def test_arbitrary_headers_are_forged_and_nothing_else(signature: str, timestamp: str, body: bytes) -> None:
    with pytest.raises(Forged):
        ADAPTER.verify(request(body, {SIGNATURE: signature, TIMESTAMP: timestamp}))


# parse


def test_an_incoming_call_is_read_in_full() -> None:
    body = envelope(
        "call.initiated",
        payload(**{"from": "+15550100001", "to": "+15550100002", "direction": "incoming", "state": "parked"}),
        occurred_at="2026-01-02T03:04:05.076316Z",
    )
    (signal,) = ADAPTER.parse(request(body))
    assert signal == events.WebhookEvent(
        "telnyx",
        "e-1",
        LegIds("v3:c", "leg", "session"),
        events.CallInitiated(direction="incoming", from_number="+15550100001", to_number="+15550100002"),
        "2026-01-02T03:04:05.076316Z",
    )


@pytest.mark.parametrize(
    ("fields", "direction"),
    [
        ({"direction": "incoming", "state": "parked"}, "incoming"),
        ({"direction": "outgoing", "state": "bridging"}, "outgoing"),
        ({"direction": "outgoing"}, "outgoing"),
        ({"state": "bridging"}, "outgoing"),
        ({}, "incoming"),
        ({"direction": None, "state": None}, "incoming"),
    ],
)
def test_the_direction_of_a_call(fields: dict[str, Any], direction: str) -> None:
    (signal,) = ADAPTER.parse(request(envelope("call.initiated", payload(**fields))))
    assert isinstance(signal.event, events.CallInitiated)
    assert signal.event.direction == direction


MEANINGS: dict[str, tuple[dict[str, Any], events.Event]] = {
    "call.answered": ({"from": "+1", "to": "+2"}, events.CallAnswered(from_number="+1", to_number="+2")),
    "call.hangup": (
        {"hangup_cause": "normal_clearing", "hangup_source": "caller", "sip_hangup_cause": "200"},
        events.CallHangup(cause="normal_clearing", source="caller", sip_cause="200"),
    ),
    "streaming.started": ({"stream_url": "wss://x"}, events.StreamAnnounced(what="started")),
    "streaming.stopped": ({"stream_url": "wss://x"}, events.StreamAnnounced(what="stopped")),
    "streaming.failed": ({"failure_reason": "connection_failed"}, events.StreamFailed(reason="connection_failed")),
    "call.speak.ended": ({"status": "completed"}, events.SpeakEnded(status="completed")),
    "call.dtmf.received": ({"digit": "#"}, events.Dtmf(digit="#", delivery="e-1")),
    "call.bridged": ({}, events.CallBridged()),
    "call.refer.started": ({"sip_notify_response": 100}, events.CallReferred(state="started", code="100")),
    "call.refer.completed": ({"sip_notify_response": 200}, events.CallReferred(state="completed", code="200")),
    "call.refer.failed": ({"sip_notify_response": 603}, events.CallReferred(state="failed", code="603")),
    "call.recording.saved": (
        {
            "recording_id": "r1",
            "channels": "dual",
            "recording_urls": {"mp3": "https://s.test/a?X-Amz-Signature=s"},
            "recording_started_at": "2023-11-14T22:13:20.5Z",
            "recording_ended_at": "2023-11-14T22:13:33.500000Z",
        },
        events.CarrierRecording(recording="r1", state="ready", channels=2, seconds=13.0, began=1_700_000_000.5),
    ),
    "call.recording.error": (
        {"reason": "Internal server error"},
        events.CarrierRecording(state="failed", reason="Internal server error"),
    ),
    "call.cost": (
        {
            "total_cost": "0.01400",
            "billed_duration_secs": 120,
            "status": "success",
            "cost_parts": [{"call_part": "sip-trunking", "cost": "0.01400", "currency": "usd", "rate": "0.007"}],
        },
        events.CarrierCost(of="leg", amount=0.014, currency="USD", seconds=120.0),
    ),
    "of.next.year": ({"new": {"field": []}}, events.CarrierNotice(kind="of.next.year")),
}


@pytest.mark.parametrize("kind", MEANINGS)
def test_what_a_webhook_means(kind: str) -> None:
    fields, event = MEANINGS[kind]
    (signal,) = ADAPTER.parse(request(envelope(kind, payload(**fields))))
    assert signal.event == event
    assert signal.ids.known() == ("leg", "v3:c")


def test_a_ready_recording_without_a_name_has_one_by_its_leg_and_its_beginning() -> None:
    leg = "428c31b6-7af4-4bcb-b7f5-5013ef9657c1"
    fields, named = MEANINGS["call.recording.saved"]
    unnamed = {name: value for name, value in fields.items() if name != "recording_id"} | {"call_leg_id": leg}
    (signal,) = ADAPTER.parse(request(envelope("call.recording.saved", unnamed)))
    assert isinstance(named, events.CarrierRecording)
    assert signal.event == replace(named, recording=f"{leg}-1700000000500")
    (other,) = ADAPTER.parse(request(envelope("call.recording.saved", {**unnamed, "call_leg_id": "leg"})))
    assert other.event == events.CarrierNotice(kind="call.recording.saved"), "what nobody can play is called ready"


@pytest.mark.parametrize("cost", [None, "", "x", "NaN", "-1", "1e400", 10**400, True, [], {}])
def test_a_cost_that_is_no_amount_is_not_known(cost: object) -> None:
    (signal,) = ADAPTER.parse(request(envelope("call.cost", payload(total_cost=cost, billed_duration_secs=10**400))))
    assert signal.event == events.CarrierNotice(kind="call.cost")


def test_a_hangup_without_details_still_has_a_cause() -> None:
    (signal,) = ADAPTER.parse(request(envelope("call.hangup", payload(hangup_cause=None, hangup_source=None))))
    assert signal.event == events.CallHangup(cause="unspecified", source="unknown")


@pytest.mark.parametrize(
    ("source", "sip", "cause"), [("unknown", "403", "carrier_limit"), ("callee", "403", "call_rejected"),
                                 ("unknown", "486", "call_rejected"), ("callee", "603", "call_rejected")],
)  # fmt: skip
def test_a_call_that_is_one_too_many_is_not_one_that_was_declined(source: str, sip: str, cause: str) -> None:
    told = payload(hangup_cause="call_rejected", hangup_source=source, sip_hangup_cause=sip)
    (signal,) = ADAPTER.parse(request(envelope("call.hangup", told)))
    assert signal.event == events.CallHangup(cause=cause, source=source, sip_cause=sip)


def test_one_name_of_the_leg_is_enough() -> None:
    for name in ("call_control_id", "call_leg_id"):
        (signal,) = ADAPTER.parse(request(envelope("call.hangup", {name: "x"})))
        assert signal.ids.known() == ("x",)


@pytest.mark.parametrize("kind", ["message.received", "message.finalized", "number_order.complete", "fax.received"])
def test_a_webhook_of_another_product_is_about_no_call(kind: str) -> None:
    assert ADAPTER.parse(request(envelope(kind, {}))) == []
    assert ADAPTER.parse(request(envelope(kind, {"id": "x", "from": "+15550100001", "call_control_id": None}))) == []


@pytest.mark.parametrize("name", ["call_control_id", "call_leg_id", "call_session_id"])
@pytest.mark.parametrize("value", [7, 1.5, True, [], {}, ["v3:x"], {"id": "v3:x"}])
def test_an_id_that_is_no_text_is_refused(name: str, value: object) -> None:
    for kind in ("call.initiated", "call.hangup", "of.next.year"):
        with pytest.raises(Malformed, match=name):
            ADAPTER.parse(request(envelope(kind, payload() | {name: value})))


def test_unknown_kinds_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    adapter = telnyx()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            adapter.parse(request(envelope("of.next.year", {})))
    assert len([one for one in caplog.records if "of.next.year" in one.getMessage()]) == 1


MALFORMED = {
    "nothing": b"",
    "not JSON": b"call.initiated",
    "not UTF-8": b'{"data": "\xff"}',
    "half a surrogate": b'{"data": {"event_type": "call.hangup", "payload": {"call_leg_id": "\\ud800"}}}',
    "too deep": b"[" * 100_000,
    "too deep inside": b'{"data": {"event_type": "x", "payload": ' + b'{"a":' * 5000,
    "a list": b"[]",
    "null": b"null",
    "a number out of range": b'{"data": 1e999}',
    "no data": b"{}",
    "data null": b'{"data": null}',
    "data a list": b'{"data": []}',
    "no event_type": b'{"data": {"payload": {}}}',
    "event_type null": envelope(None, payload()),
    "event_type a number": envelope(7, payload()),
    "no payload": b'{"data": {"event_type": "call.initiated"}}',
    "payload null": envelope("call.initiated", None),
    "payload a list": envelope("call.hangup", [payload()]),
    "a call event without a call": envelope("call.initiated", {"call_session_id": "only the session"}),
    "ids null": envelope("call.hangup", {"call_control_id": None, "call_leg_id": None}),
    "ids that are objects": envelope("call.hangup", {"call_control_id": {}, "call_leg_id": []}),
    "API version 1": json.dumps({"event_type": "call_initiated", "payload": payload()}).encode(),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_webhook_is_refused(what: str) -> None:
    with pytest.raises(Malformed):
        ADAPTER.parse(request(MALFORMED[what]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
KINDS = st.sampled_from([*MEANINGS, "call.initiated", "call.recording.saved", ""]) | st.text() | JSON
FIELDS = st.sampled_from(
    ["call_control_id", "call_leg_id", "call_session_id", "from", "to", "direction", "state", "hangup_cause", "digit"]
)


def _only_malformed(body: bytes) -> None:
    try:
        signals = ADAPTER.parse(request(body))
    except Malformed:
        return
    for signal in signals:
        assert signal.carrier == "telnyx"
        assert all(isinstance(text, str) for text in (signal.id, signal.occurred_at, *signal.ids.known()))
        json.dumps(events.to_json(signal.event)).encode()


@given(st.binary())
def test_arbitrary_bytes_raise_nothing_but_malformed(body: bytes) -> None:
    _only_malformed(body)


@given(JSON)
def test_arbitrary_json_raises_nothing_but_malformed(document: Any) -> None:
    _only_malformed(json.dumps(document).encode())


@given(kind=KINDS, fields=st.dictionaries(FIELDS, JSON) | JSON, id=JSON, occurred_at=JSON)
def test_arbitrary_fields_raise_nothing_but_malformed(kind: Any, fields: Any, id: Any, occurred_at: Any) -> None:  # noqa: A002
    _only_malformed(envelope(kind, fields, id=id, occurred_at=occurred_at))


# reply


def test_the_answer_carries_nothing_so_every_command_is_left() -> None:
    wanted = (order(commands.Answer()), order(commands.Hangup()))
    reply = ADAPTER.reply(events.CallInitiated(), wanted)
    assert json.loads(reply.body) == {"success": True}
    assert reply.content_type == "application/json"
    assert reply.rest == wanted
    assert ADAPTER.reply(None, ()).rest == ()
