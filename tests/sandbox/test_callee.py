"""The people and machines that can be dialled: what they say, what they keep, and how they are set over HTTP."""

from __future__ import annotations

import base64
import io
import json
import wave
from time import monotonic
from typing import Any

import httpx
import pytest

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.phone import is_loud, tone
from callflow.sandbox.telnyx import CONNECTION_ID
from callflow.sandbox.telnyx import Call as TelnyxCall
from tests.sandbox import telnyx_product, twilio_product
from tests.sandbox.telnyx_product import Product


DIAL = {"connection_id": CONNECTION_ID, "from": "+15550100002", "to": "+15550100003"}


async def dial(app: Product, **more: Any) -> TelnyxCall:
    response = await app.http.post("/calls", json={**DIAL, **more})
    assert response.status_code == 200, response.text
    return app.telnyx.calls[response.json()["data"]["call_control_id"]]


async def sandbox(root: str, method: str, path: str, body: Any = None) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(method, f"{root}/sandbox/{path}", json=body)


def test_a_word_stands_for_a_callee() -> None:
    assert Callee.of("no-answer") == Callee("no_answer")
    assert Callee.of(Callee("fax")).does == "fax"
    assert [Callee(word).picks_up for word in ("answers", "voicemail", "busy", "rejects", "not_reachable")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    with pytest.raises(ValueError, match="asleep"):
        Callee.of("asleep")
    with pytest.raises(ValueError, match="a callee has no rings_s"):
        Callee.from_json({"does": "busy", "rings_s": 1})
    with pytest.raises(ValueError, match="ring_s"):
        Callee.from_json({"ring_s": "long"})


def test_a_callee_is_read_back_as_it_was_written() -> None:
    written = Callee("voicemail", says=b"\x10\xff", ring_s=0.5)
    assert Callee.from_json(json.loads(json.dumps({**written.to_json(), "says": "EP8="}))) == written


async def test_a_voicemail_keeps_what_it_hears_behind_its_beep() -> None:
    async with telnyx_product.product() as app:
        app.telnyx.callees["+15550100003"] = Callee("voicemail", speaks_s=0.2, beep_s=0.1)
        call = await dial(app, **app.streaming())
        await call.wait_streaming()
        await app.sockets[0].play(tone(100, 500))  # spoken into the greeting: nobody keeps it
        await app.telnyx.until(lambda: call.phone.message_at is not None)
        assert not is_loud(call.phone.message)
        assert sum(segment.ms for segment in call.phone.said) == pytest.approx(300, abs=20)
        message, since = tone(200, 700), monotonic()
        await app.sockets[0].play(message)
        await call.phone.hears(0.2, since=since)
        await call.hang_up()
        assert message in call.phone.message
        told = await sandbox(app.telnyx.root, "GET", f"calls/{call.control_id}/message")
        assert (told.json()["recording"], told.json()["seconds"]) == (True, 0.2)
        assert base64.b64decode(told.json()["ulaw"]) == message


async def test_a_person_speaks_presses_keys_and_hangs_up() -> None:
    async with telnyx_product.product() as app:
        words = tone(60, 500)
        app.telnyx.callee = Callee(says=words, after_s=0.04, presses="12", hangs_up_after_s=0.4)
        call = await dial(app, **app.streaming())
        await call.wait_ended()
        assert b"".join(bytes(segment.audio) for segment in call.phone.said).endswith(words)
        await app.told("call.hangup")
        assert sorted(frame["dtmf"]["digit"] for frame in app.sockets[0].of("dtmf")) == ["1", "2"]
        assert (call.hangup_cause, call.hangup_source, call.ended_by) == ("normal_clearing", "callee", "callee")


async def test_a_key_may_be_all_that_a_person_says() -> None:
    async with telnyx_product.product() as app:
        app.telnyx.callee = Callee(presses="1", after_s=0.1)
        call = await dial(app)
        await app.told("call.dtmf.received")
        (pressed,) = [each for each in app.telnyx.deliveries if each.event_type == "call.dtmf.received"]
        assert call.answered_at is not None
        assert pressed.at - call.answered_at >= 0.08


async def test_silence_says_nothing_and_a_fax_whistles() -> None:
    async with telnyx_product.product() as app:
        app.telnyx.callee = "silence"
        quiet = await dial(app)
        await quiet.wait_answered()
        app.telnyx.callee = "fax"
        fax = await dial(app)
        await app.telnyx.until(lambda: fax.phone.is_speaking)
        assert not quiet.phone.is_speaking
        assert quiet.phone.message_at is None


async def test_callees_are_set_over_http() -> None:
    async with telnyx_product.product() as app:
        root = app.telnyx.root
        file = io.BytesIO()
        with wave.open(file, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(8000)
            out.writeframes(bytes(320))
        says = base64.b64encode(file.getvalue()).decode()
        answer = await sandbox(root, "PUT", "callees/+15550100003", {"does": "answers", "says": says})
        assert (answer.status_code, len(app.telnyx.callees["+15550100003"].says)) == (200, 160)
        assert (await sandbox(root, "PUT", "callee", {"does": "busy"})).status_code == 200
        other = await dial(app, to="+15550100004")
        known = await dial(app)
        await other.wait_ended()
        assert other.hangup_cause == "user_busy"
        await known.wait_answered()
        shown = (await sandbox(root, "GET", "callees")).json()
        assert shown["callee"]["does"] == "busy"
        assert set(shown["callees"]) == {"+15550100003"}
        assert (await sandbox(root, "DELETE", "callees/+15550100003")).status_code == 200
        assert app.telnyx.callees == {}
        for wrong in ({"does": "sings"}, {"does": "busy", "loud": True}, [1]):
            assert (await sandbox(root, "PUT", "callee", wrong)).status_code == 400


async def test_the_account_and_the_times_are_set_over_http() -> None:
    async with telnyx_product.product() as app:
        answer = await sandbox(app.telnyx.root, "PUT", "account", {"has_funds": False, "channel_limit": 3})
        assert answer.json()["channel_limit"] == 3
        assert (await app.http.post("/calls", json=DIAL)).json()["errors"][0]["code"] == "20100"
        for wrong in ({"limit": 1}, {"channel_limit": "many"}):
            assert (await sandbox(app.telnyx.root, "PUT", "account", wrong)).status_code == 400
        assert (await sandbox(app.telnyx.root, "GET", "account")).json()["has_funds"] is False
    async with twilio_product.product() as the:
        timing = await sandbox(the.twilio.root, "PUT", "timing", {"second_s": 0.1})
        assert timing.json()["amd_s"] == the.twilio.timing.amd_s
        assert the.twilio.timing.second_s == 0.1
        assert (await sandbox(the.twilio.root, "PUT", "timing", {"second_s": "short"})).status_code == 400
        answer = await sandbox(the.twilio.root, "PUT", "account", {"trial": True})
        assert answer.json()["trial"] is True
        assert the.twilio.account.trial
