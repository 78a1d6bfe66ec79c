"""Webhooks in, commands out: forged, malformed, repeated, reordered, lost; and an API that is slow, busy or gone."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from callflow.call.dtmf import MASK
from callflow.contracts.events import CallHangup, CarrierNotice, HangupRequested
from callflow.sandbox.telnyx import ApiFault, Faults
from callflow.sandbox.telnyx.parameters import EVENT_TYPES
from callflow.sandbox.telnyx.webhooks import Signer
from tests.e2e.product import Product, run
from tests.e2e.scenes import (
    SHORT,
    cause,
    conversing,
    exchange,
    heard,
    leg,
    over,
    post,
    posted,
    stage,
    taken,
    tell,
    webhook,
)
from tests.e2e.talk import clock


# Who may speak


def _altered(the: Product, body: bytes) -> tuple[bytes, dict[str, str]]:
    return body.replace(b"+15550100001", b"+15550100009"), the.telnyx.sign(body)


def _restamped(headers: dict[str, str]) -> dict[str, str]:
    """A second from the one that was signed, whatever the clock says by now."""
    return headers | {"Telnyx-Timestamp": str(int(headers["Telnyx-Timestamp"]) - 1)}


FORGERIES: dict[str, Any] = {
    "unsigned": lambda the, body: (body, {}),
    "signature without timestamp": lambda the, body: (
        body,
        {"Telnyx-Signature-Ed25519": the.telnyx.sign(body)["Telnyx-Signature-Ed25519"]},
    ),
    "wrong key": lambda the, body: (body, Signer().sign(body)),
    "one number altered": _altered,
    "a space added": lambda the, body: (body + b" ", the.telnyx.sign(body)),
    "too old": lambda the, body: (body, the.telnyx.sign(body, int(time.time()) - 302)),
    "from the future": lambda the, body: (body, the.telnyx.sign(body, int(time.time()) + 330)),
    "another timestamp": lambda the, body: (body, _restamped(the.telnyx.sign(body))),
    "timestamp no number": lambda the, body: (body, the.telnyx.sign(body) | {"Telnyx-Timestamp": "now"}),
    "timestamp of 400 digits": lambda the, body: (body, the.telnyx.sign(body) | {"Telnyx-Timestamp": "9" * 400}),
    "timestamp of 5000 digits": lambda the, body: (body, the.telnyx.sign(body) | {"Telnyx-Timestamp": "9" * 5000}),
    "signature no base64": lambda the, body: (body, the.telnyx.sign(body) | {"Telnyx-Signature-Ed25519": "%%%"}),
    "signature too short": lambda the, body: (
        body,
        the.telnyx.sign(body) | {"Telnyx-Signature-Ed25519": base64.b64encode(b"short").decode()},
    ),
    "signature of Latin-1": lambda the, body: (body, the.telnyx.sign(body) | {"Telnyx-Signature-Ed25519": "é"}),
}


async def test_a_forged_webhook_is_refused_and_no_command_follows() -> None:
    async with stage() as the:
        for name, forge in FORGERIES.items():
            body, headers = forge(the, webhook("call.initiated", leg()))
            headers = {key: value.encode("latin-1") for key, value in headers.items()}
            answer = await post(the, body, headers)
            assert answer.status_code in (401, 403), f"{name}: HTTP {answer.status_code} {answer.text}"
            assert answer.json()["success"] is False, f"{name}: {answer.text}"
        assert the.app.switchboard.calls == []
        assert the.app.switchboard.counts["calls"] == 0
        assert the.telnyx.commands == []


async def test_a_webhook_within_300_seconds_is_taken() -> None:
    async with stage() as the:
        for seconds in (-270, 298):  # on a busy machine it takes a while to arrive
            body = webhook("call.cost", leg())
            taken(await post(the, body, the.telnyx.sign(body, int(time.time()) + seconds)), f"{seconds} s off")


def test_unsigned_webhooks_are_taken_only_with_the_developers_switch_which_warns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with stage(allow_unsigned_webhooks=True, telnyx_public_key="") as the:
            taken(await post(the, webhook("call.cost", leg()), {}), "unsigned, and allowed to be")
        async with stage(allow_unsigned_webhooks=True) as the:
            body = webhook("call.cost", leg())
            answer = await post(the, body, Signer().sign(body))
            assert answer.status_code == 403, "a wrong signature is wrong in development, too"

    with caplog.at_level(logging.WARNING):
        run(main())
    assert "ALLOW_UNSIGNED_WEBHOOKS" in caplog.text


# The answer to a webhook


async def test_a_webhook_is_answered_before_the_api_has_answered() -> None:
    for fault in (ApiFault("answer", hang_s=5.0), ApiFault("answer", slow_s=5.0)):
        async with stage(telnyx=exchange(api=[fault]), command_seconds=6.0) as the, clock() as watched:
            call = await the.telnyx.ring()
            await the.until(lambda: the.telnyx.deliveries and the.telnyx.deliveries[0].latency, "an answer", 4)
            delivery = the.telnyx.deliveries[0]
            assert delivery.status == 200
            await the.until(lambda: the.actions("answer"), "the answer command")
            assert the.actions("answer")[0].status is None, "the API answered before the webhook was answered"
            assert delivery.latency is not None
            waited = delivery.latency - watched.stalled_ms / 1000
            assert waited < 0.2, f"the webhook waited {waited:.3f} s"
            await call.hang_up()
            await the.quiet()


async def test_both_spellings_of_the_webhooks_path_answer_and_none_redirects() -> None:
    async with stage(public_base_url="https://phone.example") as the:
        for path in ("/webhooks", "/webhooks/", "/webhooks?x=1"):
            taken(await post(the, webhook("call.cost", leg()), path=path), path)
        for path in ("/webhooks//", "//webhooks", "/Webhooks", "/webhooks/x", "/webhook", "/%2e%2e/webhooks"):
            answer = await post(the, webhook("call.cost", leg()), path=path)
            assert answer.status_code in (200, 404), f"{path}: HTTP {answer.status_code}"


async def test_other_methods_are_refused_as_json() -> None:
    async with stage() as the:
        for path in ("/webhooks", "/webhooks/"):
            for method in ("GET", "PUT", "DELETE", "PATCH"):
                answer = await post(the, b"", path=path, method=method)
                assert answer.status_code == 405, f"{method} {path}: HTTP {answer.status_code}"
                assert answer.headers["content-type"] == "application/json"
                assert answer.json()["success"] is False
                assert "POST" in answer.headers.get("allow", ""), f"{method}: no Allow header"


async def test_what_cannot_be_read_is_400_and_never_500() -> None:
    bodies = {
        "empty": b"",
        "object without data": b"{}",
        "empty data": b'{"data":{}}',
        "data null": b'{"data":null}',
        "data a list": b'{"data":[]}',
        "not JSON": b"hello",
        "not UTF-8": b'\xff\xfe{"data":{}}',
        "array": b"[]",
        "string": b'"x"',
        "number": b"1e999",
        "null": b"null",
        "cut off": b'{"data":{"event_type":"call.initiated"',
        "no payload": b'{"data":{"event_type":"call.initiated","id":"1"}}',
        "payload a list": b'{"data":{"event_type":"call.initiated","id":"1","payload":[]}}',
        "type a number": b'{"data":{"event_type":1,"id":"1","payload":{}}}',
        "names no call": b'{"data":{"event_type":"call.initiated","id":"1","payload":{"from":"x"}}}',
        "names are objects": (
            b'{"data":{"event_type":"call.initiated","id":{},"payload":{"call_control_id":{},"call_leg_id":[]}}}'
        ),
        "version 1": b'{"record_type":"event","event_type":"call_initiated","id":"1","payload":{}}',
        "100,000 deep": b"[" * 100_000 + b"]" * 100_000,
        "form": b"CallSid=CA1&From=%2B1",
        "lone surrogate": b'{"data":{"event_type":"\\ud800","id":"\\udfff","payload":{"call_leg_id":"\\ud800"}}}',
        "NUL": b'\x00{"data":{}}',
    }
    async with stage() as the:
        for name, body in bodies.items():
            answer = await post(the, body)
            assert answer.status_code == 400, f"{name}: HTTP {answer.status_code} {answer.text[:100]}"
            assert answer.json()["error"], name
            assert len(answer.content) < 500, f"{name}: the answer echoes what came"
        assert the.telnyx.commands == []


async def test_odd_fields_in_a_webhook_that_can_be_read_are_taken() -> None:
    async with stage() as the:
        odd: Any = [None, 7, 1.5, True, [], {}, "x" * 100_000]
        for value in odd:
            payload = leg() | dict.fromkeys(("from", "to", "state", "client_state", "hangup_cause"), value)
            for kind in ("call.initiated", "call.answered", "call.hangup"):
                await tell(the, kind, payload)
        for value in odd[:-1]:
            body = json.loads(webhook("call.hangup", leg()))
            body["data"] |= {"id": value, "occurred_at": value}
            taken(await post(the, json.dumps(body).encode()), f"id {value!r}")
        await the.quiet()


async def test_a_body_of_2_mb_is_413() -> None:
    async with stage() as the:
        body = webhook("call.initiated", leg(note="x" * 2_000_000))
        answer = await post(the, body)
        assert answer.status_code == 413, f"HTTP {answer.status_code} {answer.text[:100]}"
        assert answer.json()["success"] is False
        taken(await post(the, webhook("call.cost", leg())), "the webhook after the large one")


async def test_a_chunked_body_of_2_mb_without_a_length_is_413() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 50_000

    async with stage() as the:
        answer = await post(the, chunks())
        assert answer.status_code == 413, f"HTTP {answer.status_code} {answer.text[:100]}"
        taken(await post(the, webhook("call.cost", leg())), "the webhook after the large one")


async def _raw(the: Product, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", the.app.public_at[1])
    writer.write(request)
    try:
        async with asyncio.timeout(2):
            return await reader.readline()
    finally:
        writer.close()


async def test_bad_http_is_never_500_and_does_not_hurt_others() -> None:
    async with stage() as the:
        requests = [
            b"POST /webhooks HTTP/1.1\r\nHost: \r\nContent-Length: 2\r\n\r\n{}",
            b"POST /webhooks HTTP/1.1\r\nHost: a b<c>\r\nContent-Length: 2\r\n\r\n{}",
            b"POST /webhooks HTTP/1.1\r\nHost: [::1\r\nContent-Length: 2\r\n\r\n{}",
            b"POST /webhooks HTTP/1.1\r\nHost: x:99999999\r\nContent-Length: 2\r\n\r\n{}",
            b"POST /webhooks HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}",
            b"POST /webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
            b"POST /webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n\r\n{}",
            b"POST /webhooks?%ff=%fe&\xff HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
            b"POST /webhooks%ff%00 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
            b"POST http://evil.example/webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        ]
        for request in requests:
            line = await _raw(the, request)
            assert b" 500" not in line, f"{request!r} gave {line!r}"
            assert b" 200" not in line, f"{request!r} gave {line!r}"
            assert b" 30" not in line, f"{request!r} gave {line!r}"
        call = await the.telnyx.ring()
        await conversing(the, call)
        await call.hang_up()
        await the.quiet()


async def test_every_event_type_and_unknown_ones_are_taken_with_and_without_a_call() -> None:
    async with stage() as the:
        others = sorted(EVENT_TYPES - {"call.initiated", "call.answered", "call.hangup", "streaming.failed"})
        others += ["call.of.next.year", "x", "call_initiated", "streaming.failed", "é" * 5000]
        call = await the.telnyx.ring()
        await conversing(the, call)
        known = leg(call_control_id=call.control_id, call_leg_id=call.leg_id, call_session_id=call.session_id)
        for kind in others:
            await tell(the, kind, known)
            await tell(the, kind, leg())
        assert the.happened("carrier_notice"), "notices are not on record"
        assert call.state == "answered"
        assert posted(the) == ["answer"]
        await call.hang_up()
        await the.quiet()
        assert posted(the) == ["answer"]


def test_an_unknown_event_type_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with stage() as the:
            for _ in range(3):
                await tell(the, "call.of.next.year", leg())

    with caplog.at_level(logging.INFO):
        run(main())
    assert sum("call.of.next.year" in record.getMessage() for record in caplog.records) == 1


async def test_a_call_with_too_much_to_do_says_503_and_the_retry_is_no_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage() as the:
        call = await the.telnyx.ring()
        await conversing(the, call)
        ids = {"call_control_id": call.control_id, "call_leg_id": call.leg_id}
        body = webhook("call.dtmf.received", leg(**ids, digit="7"))
        with monkeypatch.context() as patch:
            patch.setattr("callflow.call.mailbox._MOST", 0)
            answer = await post(the, body)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text
        taken(await post(the, body), "the retry")
        assert [one["digit"] for one in the.happened("dtmf")] == ["7"]
        await call.hang_up()
        await the.quiet()


async def test_a_journal_that_hangs_holds_up_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_: object) -> None:
        await asyncio.Event().wait()

    async with stage(journal_seconds=0.02) as the:
        monkeypatch.setattr(the.app.journal, "append", hang)
        call = await the.telnyx.ring()
        await conversing(the, call)
        await call.hang_up()
        await the.quiet()
        assert posted(the) == ["answer"]
        assert all(one.status == 200 for one in the.telnyx.deliveries if one.latency)


# Repeats and orders


async def test_the_same_event_three_times_at_once_is_one_answer() -> None:
    async with stage(telnyx=exchange(Faults(webhook_duplicates={"*": 2}))) as the:
        call = await the.telnyx.ring()
        await conversing(the, call)
        await call.hang_up()
        await the.quiet()
        initiated = [one for one in the.telnyx.deliveries if one.event_type == "call.initiated"]
        assert [one.status for one in initiated] == [200, 200, 200]
        assert posted(the).count("answer") == 1
        assert the.timeline() == ["ringing>answered", "answered>streaming", "streaming>hangup"]


async def test_an_end_goes_before_whatever_waits() -> None:
    async with stage() as the:
        call = await the.telnyx.ring()
        await conversing(the, call)
        name, live = the.call.id, the.call
        for _ in range(200):
            live.post(CarrierNotice(kind="much to do"))
        live.post(CallHangup(cause="enough"))
        await the.until(lambda: the.happened("ended"), "the end")
        records = the.app.journal.read(name)
        (place,) = [number for number, each in enumerate(records) if each.event["event"] == "call_hangup"]
        waited = [each for each in records[:place] if each.event.get("kind") == "much to do"]
        assert len(waited) <= 1, f"{len(waited)} went before it"
        assert cause(the) == "enough"
        await call.hang_up()


async def test_an_earlier_stream_that_failed_says_nothing_of_the_newest() -> None:
    async with stage(telnyx=exchange(Faults(never_connect=True)), stream_seconds=9.0, engine_seconds=9.0) as the:
        call = await the.telnyx.ring()
        await call.wait_answered()
        ids = leg(call_control_id=call.control_id, call_leg_id=call.leg_id, call_session_id=call.session_id)
        url = the.actions("answer")[0].body["stream_url"]
        for address, cause_ in ((url[:-1] + "~", ""), (url, "stream_failed")):
            failed = {"stream_params": {"stream_url": address}, "failure_reason": "connection_failed"}
            await tell(the, "streaming.failed", ids | failed)
            assert the.call.model.cause == cause_
        await over(the, call)


async def test_a_key_that_is_told_again_is_no_other_key() -> None:
    async with stage() as the:
        call = await the.telnyx.ring()
        await conversing(the, call)
        ids = leg(call_control_id=call.control_id, call_leg_id=call.leg_id, call_session_id=call.session_id)
        for event, digit in (("one", "4"), ("one", "4"), ("two", "4"), ("one", "4"), ("end", "#")):
            await tell(the, "call.dtmf.received", ids | {"digit": digit}, event_id=event)
        await the.until(lambda: the.happened("digits"), "the entry")
        assert [each["digits"] for each in the.happened("digits")] == ["44"]
        assert the.app.switchboard.counts["repeats"] == 2
        await call.hang_up()
        await the.quiet()


async def test_a_key_of_a_call_that_nobody_knows_is_written_down_nowhere() -> None:
    """Whether its number's keys may be read, is not known either."""
    async with stage() as the:
        await tell(the, "call.dtmf.received", leg(digit="7"))
        await the.until(lambda: the.happened("dtmf"), "the key on record")
        assert [each["digit"] for each in the.happened("dtmf")] == [MASK]


async def test_the_same_event_under_new_ids_is_one_answer() -> None:
    async with stage(telnyx=exchange(Faults(webhook_new_ids={"*": 2}))) as the:
        call = await the.telnyx.ring()
        await conversing(the, call)
        await call.hang_up()
        await the.quiet()
        await the.until(lambda: len(the.telnyx.deliveries) >= 12, "all repeats")
        await the.until(lambda: all(one.status == 200 for one in the.telnyx.deliveries), "all to be taken")
        assert posted(the) == ["answer"]
        assert len(the.app.journal.calls()) == 1, "a repeat made a call of its own"


async def test_two_calls_with_the_same_numbers_at_once_are_two_calls() -> None:
    async with stage() as the:
        calls = [await the.telnyx.ring() for _ in range(2)]
        for call in calls:
            await conversing(the, call)
        assert len(the.actions("answer")) == 2
        assert len({one.body["command_id"] for one in the.actions("answer")}) == 2
        assert len({one.body["stream_url"] for one in the.actions("answer")}) == 2
        for call in calls:
            await call.hang_up()
        await the.quiet()


async def test_hangup_before_answered_ends_the_call_and_no_command_follows() -> None:
    slow = ApiFault("answer", status=500, slow_s=0.2, times=9)
    async with stage(telnyx=exchange(api=[slow]), command_seconds=1.0) as the:
        call = await the.telnyx.ring()
        await the.until(lambda: the.actions("answer"), "the answer")
        await call.hang_up()
        await the.quiet()
        await the.until(lambda: the.happened("ended"), "the end on record")
        tried = len(the.actions("answer"))
        ids = {"call_control_id": call.control_id, "call_leg_id": call.leg_id, "call_session_id": call.session_id}
        await tell(the, "call.answered", leg(**ids))
        await tell(the, "streaming.started", leg(**ids))
        await tell(the, "call.initiated", leg(**ids))
        assert the.app.switchboard.calls == []
        assert posted(the) == ["answer"] * tried
        assert cause(the) == "originator_cancel"
        assert the.timeline() == ["ringing>hangup"]


async def test_after_a_hangup_that_came_first_nothing_answers_that_leg() -> None:
    async with stage() as the:
        ids = leg()
        await tell(the, "call.hangup", ids | {"hangup_cause": "originator_cancel"})
        await tell(the, "call.initiated", ids)
        await tell(the, "call.answered", ids)
        await tell(the, "call.initiated", {name: ids[name] for name in ("call_leg_id", "direction")})
        await tell(the, "call.initiated", {name: ids[name] for name in ("call_control_id", "direction")})
        assert the.app.switchboard.calls == []
        assert the.telnyx.commands == []
        assert the.app.switchboard.counts["calls"] == 0
        call = await the.telnyx.ring()
        await conversing(the, call)
        await call.hang_up()
        await the.quiet()


async def test_a_call_that_is_found_answered_is_adopted_and_the_caller_talks_with_the_agent() -> None:
    faults = Faults(webhook_hold={"call.initiated": "streaming.started"}, webhook_drop=[])
    async with stage(telnyx=exchange(faults)) as the:
        call = await the.telnyx.ring()
        call.answered()  # by somebody else
        await conversing(the, call)
        await the.until(lambda: len(the.happened("call_initiated")) == 1, "the late call.initiated")
        assert posted(the) == ["streaming_start"], "an answered call was answered again"
        stream = the.actions("streaming_start")[0]
        assert stream.status == 200, stream.response
        assert stream.body["stream_auth_token"]
        assert len(the.app.journal.calls()) == 1
        await call.hang_up()
        await the.quiet()
        assert posted(the) == ["streaming_start"]


async def test_an_outgoing_leg_that_was_not_dialled_here_is_on_record_and_gets_no_command() -> None:
    async with stage() as the:
        ids = leg(direction="outgoing", state="bridging")
        await tell(the, "call.initiated", ids)
        await tell(the, "call.answered", ids)
        await tell(the, "call.hangup", ids)
        assert the.app.switchboard.calls == []
        assert len(the.happened("call_initiated")) == 1
        assert the.telnyx.commands == []


async def test_an_outgoing_leg_that_is_first_heard_of_as_answered_is_let_go_without_a_hangup() -> None:
    slow = ApiFault("streaming_start", slow_s=0.25)
    async with stage(telnyx=exchange(api=[slow])) as the:
        ids = leg(direction="outgoing", state="bridging")
        await tell(the, "call.answered", ids)
        await tell(the, "call.initiated", ids)
        await the.quiet()
        assert set(posted(the)) <= {"streaming_start"}
        assert cause(the) == "not_ours"


@pytest.mark.parametrize("seed", range(8))
async def test_webhooks_in_any_order_and_number_give_the_same_end(seed: int) -> None:
    """Delays of up to 0.15 s, duplicates, and copies under new ids, for a whole call."""
    chance = random.Random(seed)
    kinds = ("call.initiated", "call.answered", "streaming.started", "streaming.stopped", "call.hangup")
    faults = Faults(
        webhook_delay_s={kind: chance.choice((0.0, 0.02, 0.15)) for kind in kinds[1:]},
        webhook_duplicates={kind: chance.randint(0, 2) for kind in kinds},
        webhook_new_ids={kind: chance.randint(0, 2) for kind in kinds},
        webhook_drop=chance.sample(kinds[1:4], chance.randint(0, 2)),
    )
    async with stage(telnyx=exchange(faults), stream_grace_seconds=1.0) as the:
        call = await the.telnyx.ring()
        await conversing(the, call)
        await call.hang_up()
        await the.until(lambda: the.happened("ended"), "the end")
        await the.quiet()
        sent = 1 + faults.webhook_duplicates["call.hangup"] + faults.webhook_new_ids["call.hangup"]

        def told() -> int:
            return sum(one.event_type == "call.hangup" and one.status == 200 for one in the.telnyx.deliveries)

        await the.until(lambda: told() >= sent, "all hangups to be told")
        assert posted(the) == ["answer"], f"{faults}: {posted(the)}"
        assert the.timeline()[-1] == "streaming>hangup", f"{faults}: {the.timeline()}"
        assert cause(the) == "normal_clearing", f"{faults}: {cause(the)}"
        assert len(the.app.journal.calls()) == 1, f"{faults}: a late webhook made another call"


# Lost webhooks


async def test_without_call_answered_the_audio_is_proof_enough() -> None:
    faults = Faults(webhook_drop=["call.answered", "streaming.started"])
    async with stage(telnyx=exchange(faults)) as the:
        call = await the.telnyx.ring()
        await conversing(the, call)
        assert the.timeline() == ["ringing>streaming"]
        await the.until(lambda: not the.call.model.armed & {"ring", "stream"}, "the ring's deadline to be off")
        await call.hang_up()
        await the.quiet()


async def test_without_call_hangup_the_end_of_the_stream_ends_the_call_after_the_grace() -> None:
    async with stage(telnyx=exchange(Faults(webhook_drop=["call.hangup"]))) as the:
        call = await the.telnyx.ring()
        await conversing(the, call)
        await call.hang_up()
        await the.quiet()
        await the.until(lambda: the.actions("hangup"), "the hangup")
        assert call.ended_at is not None
        waited = the.actions("hangup")[0].at - call.ended_at
        assert 0.15 < waited < 1.0, f"hung up {waited:.2f} s after the stream, with a grace of 0.2 s"
        await the.until(lambda: the.actions("hangup")[0].status == 422, "the carrier's answer")
        assert len(the.actions("hangup")) == 1, "a hangup that found no call was sent again"
        assert cause(the) == "stream_lost"


async def test_webhooks_that_come_minutes_after_the_end_are_known_for_what_they_are() -> None:
    """A carrier tries again for a while."""
    async with stage() as the:
        call = await the.telnyx.ring()
        await conversing(the, call)
        await call.hang_up()
        await the.quiet()
        board, loop = the.app.switchboard, asyncio.get_running_loop()
        ids = leg(call_control_id=call.control_id, call_leg_id=call.leg_id, call_session_id=call.session_id)
        for recent in (board._tombstones, board._deliveries):
            recent.clock = lambda: loop.time() + 590
        for kind in ("call.answered", "call.initiated"):
            await tell(the, kind, ids)
        assert board.counts["calls"] == 1
        assert board.counts["strays"] >= 2


async def test_without_any_webhook_but_the_first_a_call_is_held_and_ended() -> None:
    kinds = sorted(EVENT_TYPES - {"call.initiated"})
    async with stage(telnyx=exchange(Faults(webhook_drop=kinds))) as the:
        call = await the.telnyx.ring()
        await conversing(the, call)
        await call.hang_up()
        await the.quiet()


# What is asked of the carrier


@pytest.mark.one_node("the addresses of a node name it")
async def test_the_answers_body_is_exactly_this() -> None:
    async with stage(public_base_url="http://127.0.0.1:1") as the:
        call = await the.telnyx.ring()
        await the.until(lambda: the.actions("answer"), "the answer")
        (answer,) = the.actions("answer")
        body = dict(answer.body)
        (name,) = the.app.journal.calls()
        assert uuid.UUID(body.pop("command_id")).int
        assert base64.b64decode(body.pop("client_state")).decode() == name
        url = body.pop("stream_url")
        base, token = url.rsplit("/", 1)
        assert base == "ws://127.0.0.1:1/media-stream"
        assert len(token) >= 43, f"a token of {len(token)} characters can be guessed"
        assert "?" not in url
        assert call.control_id not in url
        assert body == {
            "stream_track": "inbound_track",
            "stream_codec": "PCMU",
            "stream_bidirectional_mode": "rtp",
            "stream_bidirectional_codec": "PCMU",
            "stream_bidirectional_target_legs": "self",
            "send_silence_when_idle": True,
            "webhook_url": "http://127.0.0.1:1/webhooks",
            "webhook_url_method": "POST",
        }
        assert ":" in call.control_id
        assert answer.call_control_id == call.control_id
        assert answer.path == f"/v2/calls/{call.control_id.replace(':', '%3A')}/actions/answer"


@pytest.mark.one_node("the addresses of a node name it")
async def test_a_forged_host_does_not_change_where_the_stream_goes() -> None:
    async with stage(public_base_url="https://phone.example") as the:
        body = webhook("call.initiated", leg())
        forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
        taken(await post(the, body, the.telnyx.sign(body) | forged), "a webhook with another Host")
        await the.until(lambda: the.actions("answer"), "the answer")
        body = the.actions("answer")[0].body
        assert body["stream_url"].startswith("wss://phone.example/media-stream/"), body["stream_url"]
        assert body["webhook_url"] == "https://phone.example/webhooks"
        assert "evil" not in json.dumps(body)


async def test_an_unverified_webhook_teaches_no_address() -> None:
    async with stage() as the:
        before = the.app.address()
        body = webhook("call.initiated", leg())
        answer = await post(the, body, Signer().sign(body) | {"Host": "evil.example"})
        assert answer.status_code == 403
        assert the.app.address() == before


async def test_strange_control_ids_reach_the_api_whole() -> None:
    async with stage() as the:
        names = ["v3:a/b", "v2:x?y=1", "../../dial", "a b%20c", "é"]
        for name in names:
            await tell(the, "call.initiated", leg(call_control_id=name))
        await the.until(lambda: len(the.actions("answer")) == len(names), "an answer for each")
        assert {one.call_control_id for one in the.actions("answer")} == set(names)
        await the.quiet()


# An API that fails


def _ids(the: Product, action: str) -> set[str]:
    return {one.body["command_id"] for one in the.actions(action)}


async def _goes_on(the: Product, *, tries: int) -> None:
    """The call that rings now is answered once in so many tries, talks, and ends."""
    call = await the.telnyx.ring()
    await conversing(the, call)
    await the.until(lambda: len(the.actions("answer")) == tries, f"{tries} tries to answer")
    await the.until(lambda: the.actions("answer")[-1].status, "the answer's response")
    await the.until(lambda: the.happened("command_done"), "its success on record")
    answered = [what for _, what in call.history if what == "answered"]
    assert len(answered) == 1, call.story()
    assert len(_ids(the, "answer")) == 1, "a retry carried another command_id"
    await call.hang_up()
    await the.quiet()


async def test_answer_refused_with_500_twice_then_taken_is_one_answer() -> None:
    async with stage(telnyx=exchange(api=[ApiFault("answer", status=500, times=2)])) as the:
        await _goes_on(the, tries=3)
        assert [one.status for one in the.actions("answer")] == [500, 500, 200]


async def test_answer_refused_with_429_is_tried_again_after_the_time_asked_for() -> None:
    async with stage(telnyx=exchange(api=[ApiFault("answer", status=429, retry_after=1)])) as the:
        await _goes_on(the, tries=2)
        first, second = the.actions("answer")
        assert second.at - first.at >= 0.99, "Retry-After was not obeyed"


@pytest.mark.parametrize(
    "fault",
    [ApiFault("answer", lose_response=True), ApiFault("answer", slow_s=1.0), ApiFault("answer", hang_s=1.0)],
    ids=["lost", "late", "swallowed"],
)
async def test_an_answer_without_a_response_is_sent_again_and_obeyed_once(fault: ApiFault) -> None:
    async with stage(telnyx=exchange(api=[fault])) as the:
        await _goes_on(the, tries=2)
        assert the.actions("answer")[1].status == 200


async def test_a_refused_connection_is_tried_again_and_the_call_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("carriers.telnyx.carrier._PERSISTENT_RETRIES", 0)  # else the end waits for the hangup
    async with stage(telnyx_api_base="http://127.0.0.1:9/v2", command_retries=1) as the:
        await the.telnyx.ring()
        await the.until(lambda: the.happened("ended"), "the end", SHORT["answer_seconds"] - 2)
        assert cause(the) == "answer_failed"
        await the.quiet()


async def test_422_call_has_ended_on_answer_is_the_calls_end_and_needs_no_hangup() -> None:
    async with stage(telnyx=exchange(api=[ApiFault("answer", status=422, code="90018")])) as the:
        await the.telnyx.ring()
        await the.until(lambda: the.happened("ended"), "the end")
        await the.quiet()
        assert cause(the) == "already_ended"
        assert posted(the) == ["answer"]
        assert the.timeline() == ["ringing>hangup"]


async def test_404_on_answer_is_the_calls_end_and_needs_no_hangup() -> None:
    async with stage() as the:
        await tell(the, "call.initiated", leg())
        await the.until(lambda: the.happened("ended"), "the end")
        assert posted(the) == ["answer"]
        assert cause(the) == "already_ended"


@pytest.mark.parametrize(("status", "code"), [(422, "10015"), (403, "10010"), (401, "10009"), (400, "10015")])
async def test_any_other_refusal_of_answer_is_final_and_the_leg_is_hung_up(status: int, code: str) -> None:
    fault = ApiFault("answer", status=status, code=code)
    async with stage(telnyx=exchange(api=[fault]), engine_seconds=9.0) as the:
        call = await the.telnyx.ring()
        await over(the, call)
        assert posted(the) == ["answer", "hangup"], "no 4xx is ever tried again"
        assert cause(the) == "answer_failed"


async def test_an_answer_that_hangs_for_ever_ends_by_the_deadline_with_a_hangup() -> None:
    hanging = ApiFault("answer", hang_s=60, times=99)
    async with stage(telnyx=exchange(api=[hanging]), answer_seconds=0.5, command_seconds=10.0) as the:
        call = await the.telnyx.ring()
        await call.wait_ended(8)
        await the.quiet()
        assert posted(the) == ["answer", "hangup"]
        assert cause(the) == "not_answered"


async def test_an_answer_that_is_taken_after_its_retries_but_never_happens_ends_by_the_deadline() -> None:
    async with stage(telnyx=exchange(answer_s=30), answer_seconds=0.4) as the:
        call = await the.telnyx.ring()
        await call.wait_ended(8)
        await the.quiet()
        assert posted(the) == ["answer", "hangup"]


@pytest.mark.parametrize(("status", "code"), [(422, "90018"), (404, "10005")])
async def test_a_hangup_that_finds_no_call_has_succeeded(status: int, code: str) -> None:
    fault = ApiFault("hangup", status=status, code=code)
    async with stage(telnyx=exchange(api=[fault])) as the:
        await conversing(the, await the.telnyx.ring())
        the.call.post(HangupRequested())
        await the.until(lambda: the.actions("hangup") and the.actions("hangup")[0].status, "the hangup's answer")
        await the.quiet()
        await the.until(lambda: the.happened("command_done"), "its success on record")
        assert [one for one in the.happened("command_failed") if one["command"] == "hangup"] == []
        assert len(the.actions("hangup")) == 1, "tried again"


async def test_a_hangup_is_tried_again_until_it_is_taken() -> None:
    faults = [ApiFault("hangup", status=500, times=2), ApiFault("hangup", hang_s=0.1)]
    async with stage(telnyx=exchange(api=faults)) as the:
        call = await the.telnyx.ring()
        await conversing(the, call)
        the.call.post(HangupRequested())
        await call.wait_ended()
        assert call.ended_by == "product"
        assert len(_ids(the, "hangup")) == 1
        assert [one.status for one in the.actions("hangup")][:2] == [500, 500]
        assert the.app.switchboard.calls == [], "a call waits for its hangup to be taken"


async def test_a_stream_that_cannot_be_asked_for_is_apologised_for() -> None:
    refusing = ApiFault("streaming_start", status=422, code="90046", times=9)
    telnyx = exchange(Faults(webhook_drop=["call.initiated"]), api=[refusing])
    async with stage(telnyx=telnyx) as the:
        call = await the.telnyx.ring()
        call.answered()
        await over(the, call)
        assert posted(the) == ["streaming_start", "speak", "hangup"]
        assert heard(call, "sorry", "Sorry.") == "carrier"
