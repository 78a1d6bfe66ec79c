"""Webhooks: signatures, redelivery, order, and what they say."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callflow.sandbox.common.http_server import Request
from callflow.sandbox.telnyx import Faults, Telnyx
from tests.sandbox.telnyx_product import product, run


def _verify(request: Request, public_key: str) -> None:
    signature = base64.b64decode(request.headers["telnyx-signature-ed25519"], validate=True)
    signed = request.headers["telnyx-timestamp"].encode() + b"|" + request.body
    Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key)).verify(signature, signed)


def _telnyx_library(path: str) -> Any:
    """One module of the official package: importing all of it takes five seconds."""
    package = importlib.util.find_spec("telnyx")
    if package is None or package.origin is None:
        pytest.skip("the telnyx package is not installed")
    spec = importlib.util.spec_from_file_location("telnyx_oracle", Path(package.origin).parent / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_signatures_hold_for_the_carriers_own_library_and_for_cryptography() -> None:
    requests: list[Request] = []
    keys: list[str] = []

    async def body() -> None:
        async with product() as app:
            call = await app.telnyx.ring()
            await call.hang_up()
            await app.told("call.initiated", "call.hangup")
            requests.extend(app.requests)
            keys.append(app.telnyx.public_key)

    run(body)
    assert len(requests) == 2
    for request in requests:
        _verify(request, keys[0])
        assert abs(int(request.headers["telnyx-timestamp"]) - time.time()) < 5
        assert request.headers["user-agent"] == "telnyx-webhooks"
        assert request.headers["content-type"] == "application/json"
        with pytest.raises(InvalidSignature):
            _verify(request, Telnyx(webhook_url="").public_key)
    pytest.importorskip("nacl", reason="the telnyx package checks signatures with PyNaCl")
    oracle = _telnyx_library("lib/webhook_verification.py")
    for request in requests:
        oracle.verify_webhook_signature(request.body, request.headers, keys[0])
        with pytest.raises(oracle.WebhookVerificationError):
            oracle.verify_webhook_signature(request.body + b" ", request.headers, keys[0])


def test_hostile_webhooks_can_be_sent() -> None:
    async def body() -> None:
        async with product() as app:
            app.answers = [401, 401, 401, 200]
            deliveries = [
                await app.telnyx.send_webhook("call.initiated", {}, headers={}),
                await app.telnyx.send_webhook("call.initiated", {}, headers=app.telnyx.sign(b"another body")),
                await app.telnyx.send_webhook(
                    "x", {}, body=b"{", headers=app.telnyx.sign(b"{", int(time.time()) - 301)
                ),
                await app.telnyx.send_webhook("call.unheard_of", {"a": 1}, event_id="known"),
            ]
            assert [each.status for each in deliveries] == [401, 401, 401, 200]
            assert "telnyx-timestamp" not in app.requests[0].headers
            with pytest.raises(InvalidSignature):
                _verify(app.requests[1], app.telnyx.public_key)
            _verify(app.requests[2], app.telnyx.public_key)
            assert app.webhooks[-1]["data"]["id"] == "known"
            assert app.webhooks[-1]["data"]["payload"] == {"a": 1}

    run(body)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_failures_of_the_application_are_retried_with_the_same_id(status: int) -> None:
    async def body() -> None:
        async with product() as app:
            app.answers = [status, status]
            await app.telnyx.ring()
            await app.telnyx.until(lambda: len(app.telnyx.deliveries) == 3 and app.telnyx.deliveries[-1].ok)
            assert [each["meta"]["attempt"] for each in app.webhooks] == [1, 2, 3]
            assert len({each["data"]["id"] for each in app.webhooks}) == 1
            assert [each.status for each in app.telnyx.deliveries] == [status, status, 200]
            for request in app.requests:
                _verify(request, app.telnyx.public_key)

    run(body)


def test_there_are_three_attempts() -> None:
    async def body() -> None:
        async with product() as app:
            app.answers = [500] * 3
            await app.telnyx.ring()
            await app.telnyx.until(lambda: len(app.telnyx.deliveries) == 3 and app.telnyx.deliveries[-1].status)
            call = await app.telnyx.ring()
            await app.telnyx.until(lambda: app.telnyx.deliveries[-1].ok)
            assert len(app.telnyx.deliveries) == 4
            assert app.telnyx.deliveries[-1].payload["call_control_id"] == call.control_id

    run(body)


@pytest.mark.parametrize("status", [400, 401, 404, 422, 302])
def test_other_failures_are_final_and_redirects_are_not_followed(status: int) -> None:
    async def body() -> None:
        async with product() as app:
            app.answers = [status]
            await app.telnyx.ring()
            await app.telnyx.until(lambda: app.telnyx.deliveries and app.telnyx.deliveries[0].status)
            call = await app.telnyx.ring()  # later, and through
            await app.telnyx.until(lambda: app.telnyx.deliveries[-1].ok)
            assert [each.status for each in app.telnyx.deliveries] == [status, 200]
            assert call.story().startswith("incoming call")

    run(body)


def test_no_answer_in_time_is_retried_and_so_is_no_connection() -> None:
    async def body() -> None:
        async with product() as app:
            app.pause_s = 30
            await app.telnyx.ring()
            await app.telnyx.until(lambda: len(app.telnyx.deliveries) == 2)
            assert app.telnyx.deliveries[0].error == "no answer within 0.8 s"
            app.telnyx.webhook_url = "http://127.0.0.1:9/nobody"
            await app.telnyx.ring()
            await app.telnyx.until(lambda: sum("Connect" in (each.error or "") for each in app.telnyx.deliveries) == 3)

    run(body)


def test_duplicates_drops_and_new_ids() -> None:
    async def body() -> None:
        faults = Faults(
            webhook_duplicates={"call.initiated": 2}, webhook_new_ids={"call.answered": 1}, webhook_drop=["call.hangup"]
        )
        async with product(faults=faults) as app:
            call = await app.telnyx.ring()
            await app.command(call, "answer")
            await app.telnyx.until(lambda: len(app.webhooks) == 5)
            await call.hang_up()
            other = await app.telnyx.ring(faults=Faults())
            await other.hang_up()
            await app.told("call.hangup")
            assert app.payload("call.hangup")["call_control_id"] == other.control_id
            ids = [(each["event_type"], each["id"]) for each in (webhook["data"] for webhook in app.webhooks[:5])]
            counts = sorted(Counter(ids).items(), key=lambda each: each[1])
            assert [(key[0], count) for key, count in counts] == [
                ("call.answered", 1),
                ("call.answered", 1),
                ("call.initiated", 3),
            ]

    run(body)


def test_an_event_can_be_held_back_until_another_has_been_delivered() -> None:
    async def body() -> None:
        async with product(faults=Faults(webhook_hold={"call.initiated": "call.hangup"})) as app:
            call = await app.telnyx.ring()
            await call.hang_up()
            await app.told("call.initiated", "call.hangup")
            assert app.events() == ["call.hangup", "call.initiated"]
            times = [each["data"]["occurred_at"] for each in app.webhooks]
            assert times[1] < times[0]

    run(body)


def test_an_event_can_be_delayed() -> None:
    async def body() -> None:
        async with product(faults=Faults(webhook_delay_s={"call.initiated": 0.2})) as app:
            call = await app.telnyx.ring()
            await call.hang_up()
            await app.told("call.initiated", "call.hangup")
            assert app.events() == ["call.hangup", "call.initiated"]

    run(body)


def test_commands_redirect_later_webhooks() -> None:
    async def body() -> None:
        async with product() as app:
            call = await app.telnyx.ring()
            await app.told("call.initiated")
            base = app.telnyx.webhook_url
            routes = {"webhook_url": f"{base}/call", "webhook_urls": {"call.hangup": f"{base}/end"}}
            await app.command(call, "answer", **routes)
            await app.told("call.answered")
            await app.command(call, "hangup")
            await app.told("call.hangup")
            assert [request.path for request in app.requests] == ["/webhooks", "/webhooks/call", "/webhooks/end"]
            assert app.webhooks[-1]["meta"]["delivered_to"] == f"{base}/end"

    run(body)


def test_the_life_of_a_call_in_webhooks() -> None:
    async def body() -> None:
        async with product() as app:
            call, _ = await app.answered()
            await call.press("5")
            await app.command(call, "hangup")
            events = {"call.initiated", "call.answered", "streaming.started", "call.dtmf.received"}
            events |= {"streaming.stopped", "call.hangup"}
            await app.told(*events)
            assert set(app.events()) == events
            assert app.payload("call.initiated")["direction"] == "incoming"
            assert app.payload("call.initiated")["state"] == "parked"
            assert app.payload("call.answered")["stream_url"] == app.stream_url
            assert app.payload("call.dtmf.received")["digit"] == "5"
            assert "from" not in app.payload("streaming.started")
            hangup = app.payload("call.hangup")
            assert (hangup["hangup_cause"], hangup["hangup_source"], hangup["sip_hangup_cause"]) == (
                "normal_clearing",
                "callee",
                "200",
            )
            assert (call.ended_by, call.hangup_source) == ("product", "callee")

    run(body)


@pytest.mark.parametrize(
    ("reject", "cause", "source", "sip"),
    [
        (None, "originator_cancel", "caller", "487"),
        ("USER_BUSY", "user_busy", "callee", "486"),
        ("CALL_REJECTED", "call_rejected", "callee", "603"),
    ],
)
def test_calls_that_are_never_answered(reject: str | None, cause: str, source: str, sip: str) -> None:
    async def body() -> None:
        async with product() as app:
            call = await app.telnyx.ring()
            if reject is None:
                await call.hang_up()
            else:
                await app.command(call, "reject", cause=reject)
            await app.told("call.hangup")
            hangup = app.payload("call.hangup")
            assert (hangup["hangup_cause"], hangup["hangup_source"], hangup["sip_hangup_cause"]) == (cause, source, sip)
            assert "call_quality_stats" not in hangup
            with pytest.raises(TimeoutError, match=f"ended instead of being answered: .*{cause}"):
                await call.wait_answered()

    run(body)


def test_what_the_carrier_says_is_heard_and_told() -> None:
    async def body() -> None:
        async with product() as app:
            call = await app.telnyx.ring()
            await app.command(call, "answer")
            await call.wait_answered()
            await app.command(call, "speak", payload="Ten chars.", voice="AWS.Polly.Joanna")
            await app.told("call.speak.ended")
            assert app.payload("call.speak.ended")["status"] == "completed"
            assert call.spoken == ["Ten chars."]
            assert [(each.source, each.ms) for each in call.phone.heard] == [("carrier", 100)]
            app.webhooks.clear()
            await app.command(call, "speak", payload="x" * 500, voice="AWS.Polly.Joanna")
            await app.command(call, "speak", payload="never said", voice="AWS.Polly.Joanna")
            await app.told("call.speak.started")
            await call.hang_up()
            await app.told("call.speak.ended", "call.hangup")
            assert app.payload("call.speak.ended")["status"] == "call_hangup"
            assert call.spoken[1:] == ["x" * 500]

    run(body)


def test_playback_and_recording() -> None:
    async def body() -> None:
        async with product() as app:
            call = await app.telnyx.ring()
            await app.command(call, "answer")
            await call.wait_answered()
            await app.command(call, "record_start", format="wav", channels="dual")
            await app.command(call, "playback_start", audio_url="http://127.0.0.1/beep.wav")
            await app.command(call, "playback_stop")
            await app.told("call.playback.ended")
            assert app.payload("call.playback.ended")["status"] == "cancelled"
            await call.hang_up()
            await app.told("call.recording.saved")
            assert list(app.payload("call.recording.saved")["recording_urls"]) == ["wav"]

    run(body)


def test_payloads_have_the_fields_seen_on_real_calls() -> None:
    folder = os.environ.get("CALLFLOW_SCHEMAS")
    if not folder:
        pytest.skip("CALLFLOW_SCHEMAS does not name the folder of the official schemas")
    observed = json.loads((Path(folder) / "telnyx" / "observed-shapes.json").read_text())
    shapes: dict[str, set[str]] = {}
    for event in observed["events"]:
        data: dict[str, Any] = event["data"]
        shapes.setdefault(data["event_type"], set(data["payload"]))

    async def body() -> None:
        async with product() as app:
            call, _ = await app.answered(record="record-from-answer", record_format="wav")
            await app.command(call, "speak", payload="Hi", voice="AWS.Polly.Joanna")
            await app.told("call.speak.ended")
            await call.hang_up()
            await app.told("call.hangup", "call.recording.saved", "streaming.stopped")
            for event_type, fields in shapes.items():
                assert fields - {"flow_destination"} <= set(app.payload(event_type)), event_type

    run(body)
