"""The carrier records: from the answer or from now on, told in any order, listed, and heard through our own port."""

from __future__ import annotations

import wave
from typing import Any

import pytest

from callflow.call.recording_pause import NOT_WRITTEN
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from tests.e2e import product as products
from tests.e2e.outbound import DIALS, TOKEN, ask, callee, dialled, dialling
from tests.e2e.product import Product, product, until
from tests.e2e.talk import FAST, Talk, talk
from tests.e2e.test_survival import office


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
SETTINGS: dict[str, Any] = {**FAST, **DIALS}


def model() -> Realtime:
    return Realtime(script=Script.tone(0.4), pace=Pace.instant())


def at_carrier(the: Product) -> list[Any]:
    return list(the.carrier.exchange.recordings.values())


async def listed(the: Product, query: str = "") -> list[dict[str, Any]]:
    await the.app.journal.flushed()
    answer = await ask(the, "GET", f"/api/recordings{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def ready(the: Product) -> dict[str, Any]:
    """Wait for the only recording, and return it."""
    await until(lambda: [e for e in the.happened("carrier_recording") if e["state"] == "ready"], "the recording", 10)
    (one,) = await listed(the)
    return one


async def spoken(one: Talk) -> None:
    await one.phone.hears(0.3, since=0.0)
    await one.call.hang_up()


async def test_an_inbound_call_is_recorded_from_its_answer_and_heard_through_our_port() -> None:
    async with product(realtime=model(), carrier_record=True, **SETTINGS) as the:
        one = await talk(the)
        (at,) = at_carrier(the)
        assert at.channels == 2
        assert the.call.recordings.by_carrier
        await spoken(one)
        await the.quiet()
        found = await ready(the)
        (call,) = the.app.journal.calls()
        assert (found["sid"], found["call"], found["status"], found["source"]) == (at.id, call, "ready", "carrier")
        assert (found["channels"], found["carrier"]) == (2, products.usual)
        assert found["duration"] == pytest.approx(at.seconds, abs=1)
        assert await listed(the, f"?callSid={found['callSid']}") == [found] == await listed(the, f"?callSid={call}")
        assert await listed(the, f"?callSid={'CA' + 32 * '0'}") == []
        told = (await ask(the, "GET", f"/api/calls/{call}")).json()["conversation"]["recordings"]
        assert [(each["recording_id"], each["state"]) for each in told] == [(at.id, "ready")]

        whole = await ask(the, "GET", found["mediaUrl"])
        assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/mpeg")
        assert whole.headers["cache-control"] == "private, max-age=600"
        assert whole.content == at.file("mp3")
        part = await ask(the, "GET", found["mediaUrl"], Range="bytes=10-19")
        assert (part.status_code, part.content) == (206, whole.content[10:20])
        assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
        head = await ask(the, "HEAD", found["mediaUrl"])
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(whole.content))
        beyond = await ask(the, "GET", found["mediaUrl"], Range=f"bytes={len(whole.content)}-")
        assert beyond.status_code == 416
        assert the.carrier.failures == []


async def test_an_outbound_call_that_is_to_be_recorded_is_linked_to_its_conversation() -> None:
    async with dialling() as the:
        callee(the, "answers")
        made = await dialled(the, record=True)
        call = the.app.journal.calls()[0]
        await until(lambda: the.call.model.state == "streaming", "the conversation", 10)
        await ask(the, "POST", f"/api/calls/{call}/hangup", {"when": "now"})
        await the.quiet()
        found = await ready(the)
        assert (found["call"], made["carrier"]) == (call, products.usual)


async def test_a_call_that_is_itself_to_be_recorded_is_not_before_its_announcement_was_heard() -> None:
    async with dialling(realtime=model(), record_announcement="This call is recorded.", **SETTINGS) as the:
        callee(the, "answers")
        await dialled(the, record=True)
        await until(lambda: the.call.model.state == "streaming", "the conversation", 10)
        assert at_carrier(the) == [], "it is recorded from the answer on, and nobody was told"
        answer = await ask(the, "POST", f"/api/calls/{the.call.id}/record", {"on": True})
        assert answer.status_code == 409, "an operator begins what waits for the announcement"
        await until(lambda: at_carrier(the), "the carrier to record", 10)
        (heard,) = the.happened("protected")
        assert heard["in_full"]
        asked = [one.event for one in the.realtime.sessions[-1].received if one.event["type"] == "response.create"]
        assert "This call is recorded." in str(asked[0])


async def test_a_recording_from_now_on_and_no_longer() -> None:
    async with product(realtime=model(), **SETTINGS) as the:
        one = await talk(the)
        path = f"/api/calls/{the.call.id}/record"
        assert at_carrier(the) == []
        await until(lambda: the.call.model.state == "streaming", "the stream to be on record")
        answer = await ask(the, "POST", path, {"on": True})
        assert (answer.status_code, answer.json()["by"]) == (202, "console")
        await until(lambda: at_carrier(the), "the carrier to record")
        assert (await ask(the, "POST", path, {"on": True})).status_code == 202
        await ask(the, "POST", path, {"on": False})
        await until(lambda: at_carrier(the)[0].state == "ready", "the recording to end")
        assert len(at_carrier(the)) == 1, "asking twice made two"
        assert [each["on"] for each in the.happened("record_requested")] == [True, False]
        assert one.call.ended_at is None
        await spoken(one)
        await the.quiet()
        await ready(the)
        for body in ({}, {"on": 1}, {"on": True, "off": True}):
            assert (await ask(the, "POST", path, body)).status_code == 400
        assert (await ask(the, "POST", path, {"on": True})).status_code == 404
        assert the.carrier.failures == []


async def test_with_an_announcement_the_carrier_waits_for_its_end_as_well() -> None:
    announced: dict[str, Any] = {"carrier_record": True, "record_announcement": "This call is recorded."}
    async with product(realtime=Realtime(script=Script.tone(0.8)), **announced, **SETTINGS) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        assert at_carrier(the) == []
        await until(lambda: at_carrier(the), "the carrier to record")
        assert the.happened("protected")
        assert [each["by"] for each in the.happened("record_requested")] == ["settings"]
        await one.call.hang_up()
        await the.quiet()


async def test_a_recording_that_fails_is_on_record() -> None:
    async with product(realtime=model(), carrier_record=True, **SETTINGS) as the:
        the.carrier.exchange.faults.recording_fails = True
        one = await talk(the)
        await spoken(one)
        await the.quiet()
        await until(lambda: [e for e in the.happened("carrier_recording") if e["state"] == "failed"], "the failure")
        (found,) = await listed(the)
        assert (found["status"], found["mediaUrl"]) == ("failed", None)
        assert found["reason"]


async def test_our_own_recording_is_listed_and_heard_as_well() -> None:
    async with product(realtime=model(), record=True, **SETTINGS) as the:
        one = await talk(the)
        await spoken(one)
        await the.quiet()
        (found,) = await listed(the)
        assert (found["source"], found["status"], found["channels"]) == ("callflow", "ready", 2)
        answer = await ask(the, "GET", found["mediaUrl"], Range="bytes=0-3")
        assert (answer.status_code, answer.content) == (206, b"RIFF")
        missing = f"/api/recordings/{found['call']}-2/audio"
        assert (await ask(the, "GET", missing)).status_code == 404


async def test_what_cannot_be_loaded_is_said_without_a_secret() -> None:
    async with product(realtime=model(), carrier_record=True, **SETTINGS) as the:
        one = await talk(the)
        await spoken(one)
        await the.quiet()
        found = await ready(the)
        (at,) = at_carrier(the)
        at.state = "processing"
        early = await ask(the, "GET", found["mediaUrl"])
        assert early.status_code == 404
        assert "not yet" in early.json()["error"]
        at.state = "ready"
        for name in ("x", "RE1", "..%2F..%2Fetc", 32 * "0"):
            assert (await ask(the, "GET", f"/api/recordings/{name}/audio")).status_code in (400, 404)
        assert (await ask(the, "GET", f"/api/recordings/RE{32 * '0'}/audio")).status_code == 404
        assert (await ask(the, "GET", "/api/recordings?callSid=x")).status_code == 400
        await the.carrier.close()
        gone = await ask(the, "GET", found["mediaUrl"])
        assert gone.status_code == 502
        for secret in (TOKEN, "127.0.0.1", "X-Amz", the.app.settings.telnyx_api_key.get_secret_value() or "none"):
            assert secret not in gone.text


async def test_the_callbacks_come_twice_and_the_recording_is_there_once() -> None:
    async with product(realtime=model(), carrier_record=True, **SETTINGS) as the:
        the.carrier.faults.webhook_duplicates = {"*": 1}
        one = await talk(the)
        await spoken(one)
        await the.quiet()
        await ready(the)


@pytest.mark.carrier("telnyx")
async def test_recordings_whose_webhooks_name_none_are_listed_and_heard_one_by_one() -> None:
    """The official schema of call.recording.saved has no recording_id."""
    async with product(realtime=model(), carrier_record=True, **SETTINGS) as the:
        the.telnyx.faults.recording_unnamed = True
        one = await talk(the)
        await until(lambda: the.call.model.state == "streaming", "the stream to be on record")
        path = f"/api/calls/{the.call.id}/record"
        assert (await ask(the, "POST", path, {"on": False})).status_code == 202
        await until(lambda: at_carrier(the)[0].state == "ready", "the end of the first")
        assert (await ask(the, "POST", path, {"on": True})).status_code == 202
        await until(lambda: len(at_carrier(the)) == 2, "the second")
        await spoken(one)
        await the.quiet()
        await until(lambda: len(the.happened("carrier_recording")) == 2, "both to be told", 10)
        found = await listed(the)
        assert [each["status"] for each in found] == ["ready", "ready"]
        for each, at in zip(found, reversed(at_carrier(the)), strict=True):
            sound = await ask(the, "GET", each["mediaUrl"])
            assert (sound.status_code, sound.content) == (200, at.file("mp3"))


_PAUSES = ("record_pause", "record_resume")


def states(the: Product) -> list[str]:
    """What the carrier was told of the pause, in its own words."""
    if products.usual == "twilio":
        told = [one.value("Status") for one in the.twilio.commands]
        return [
            {"paused": "pause", "in-progress": "resume"}[each] for each in told if each in ("paused", "in-progress")
        ]
    return [one.action.removeprefix("record_") for one in the.telnyx.commands if one.action in _PAUSES]


async def test_a_pause_holds_for_the_carrier_for_our_own_recording_and_for_the_words() -> None:
    realtime = Realtime(script=Script.tone(1.2), pace=Pace.instant())
    async with product(realtime=realtime, carrier_record=True, record=True, **SETTINGS) as the:
        one = await talk(the)
        await until(lambda: [each for each in the.happened("heard") if each["done"]], "the greeting to be heard")
        path = f"/api/calls/{the.call.id}/recording"
        assert (await ask(the, "POST", path, {"pause": True})).status_code == 202
        await until(lambda: the.call.recordings.pause.is_on, "the pause")
        turns = len(the.happened("turn"))
        one.phone.say(tone(600))
        await one.phone.spoken()
        await until(lambda: len(the.happened("turn")) >= turns + 1, "the words of the pause")
        assert {each["text"] for each in the.happened("turn")[turns:]} == {NOT_WRITTEN}
        assert (await ask(the, "POST", path, {"pause": False})).status_code == 202
        await until(lambda: not the.call.recordings.pause.is_on, "the end of the pause")
        await until(lambda: len(states(the)) == 2, "the carrier to be told")
        assert states(the) == ["pause", "resume"]
        assert [(each["on"], each["by"]) for each in the.happened("pause_requested")] == [
            (True, "console"), (False, "console"),
        ]  # fmt: skip
        await one.call.hang_up()
        await the.quiet()
        (file,) = (the.app.history.recordings).glob("*.wav")
        with wave.open(str(file)) as sound:
            samples = memoryview(sound.readframes(sound.getnframes())).cast("h")
        assert max(map(abs, samples[0::2])) < 100, "what the caller said in the pause is in our recording"
        assert max(map(abs, samples[1::2])) > 1000, "what the agent said before it is not"
        assert the.carrier.failures == []


async def test_a_pause_that_nobody_ends_has_an_end_and_the_agent_can_make_one() -> None:
    async with product(realtime=model(), carrier_record=True, record_pause_seconds=0.3, **SETTINGS) as the:
        one = await talk(the)
        asked = {"pause_recording", "resume_recording"}
        await until(lambda: asked <= {each["name"] for each in one.session.config["tools"]}, "its tools")
        await until(lambda: the.call.requests.pause(on=True, by="agent"), "something to record")
        await until(lambda: len(the.happened("pause_requested")) == 2, "the end of the pause")
        assert [each["by"] for each in the.happened("pause_requested")] == ["agent", "deadline"]
        await until(lambda: states(the) == ["pause", "resume"], "the carrier to be told")
        await one.call.hang_up()
        await the.quiet()


async def test_nothing_is_paused_where_nothing_records() -> None:
    async with product(realtime=model(), **SETTINGS) as the:
        one = await talk(the)
        answer = await ask(the, "POST", f"/api/calls/{the.call.id}/recording", {"pause": True})
        assert answer.status_code == 409
        tools = [each["name"] for each in one.session.config.get("tools", [])]
        assert "pause_recording" not in tools
        await one.call.hang_up()
        await the.quiet()


async def test_a_recording_is_linked_to_its_call_after_the_process_was_killed() -> None:
    async with office(CARRIER_RECORD="true", ADMISSION_LAG_MS=0) as one:
        one.carrier.exchange.timing.recording_s = 4.0
        caller = await one.ring()
        await until(lambda: caller.heard_ms, "the agent to be heard", 15)
        await caller.call.hang_up()
        over = "SELECT call_id FROM conversations WHERE ended_at IS NOT NULL"
        await until(lambda: one.rows(over), "the end in the history", 20)
        assert [row for row in one.rows("SELECT * FROM recordings") if row["state"] == "ready"] == []
        await one.stop()
        await one.start()
        await until(lambda: one.rows("SELECT * FROM recordings WHERE state = 'ready'"), "the recording", 20)
        (row,) = one.rows("SELECT call_id FROM recordings JOIN conversations ON conversation_id = conversations.id")
        assert [row] == one.rows(over)
