"""The emulated Telnyx dials: what becomes of a leg, when, what is told of it, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import Any

import httpx
import pytest

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.phone import tone
from callflow.sandbox.telnyx import CONNECTION_ID, ApiFault, Call, Faults, Timing
from callflow.sandbox.telnyx.parameters import COMMANDS, DETECTION, DIAL
from tests.conformance import schemas
from tests.sandbox.telnyx_product import EARLY_S, FAST, Product, error_of, product


OPENAPI = "telnyx/call-control-openapi.json"
QUICK = replace(FAST, second_s=0.01, amd_s=0.02, amd_silence_s=0.03)


async def dialling(app: Product, **more: Any) -> httpx.Response:
    dial = {"connection_id": CONNECTION_ID, "from": "+15550100002", "to": "+15550100003"}
    return await app.http.post("/calls", json=dial | more)


async def dial(app: Product, **more: Any) -> Call:
    response = await dialling(app, **more)
    assert response.status_code == 200, response.text
    return app.telnyx.calls[response.json()["data"]["call_control_id"]]


# What becomes of it


@pytest.mark.parametrize(
    ("callee", "cause", "source", "sip"),
    [
        ("busy", "user_busy", "callee", "486"),
        ("rejects", "call_rejected", "callee", "603"),
        ("not_reachable", "not_found", "callee", "404"),
        ("no_answer", "timeout", "caller", "unspecified"),
    ],
)
async def test_a_call_that_nobody_answers(callee: str, cause: str, source: str, sip: str) -> None:
    async with product() as app:
        app.telnyx.callees["+15550100003"] = Callee.of(callee)
        call = await dial(app)
        other = await dial(app, to="+15550100004")
        await app.told("call.hangup")
        payload = app.payload("call.hangup")
        assert payload["call_leg_id"] == call.leg_id
        found = payload["hangup_cause"], payload["hangup_source"], payload["sip_hangup_cause"]
        assert found == (cause, source, sip)
        assert "call_quality_stats" not in payload
        await other.wait_answered()


async def test_a_timeout_has_another_name_when_it_is_not_retried() -> None:
    async with product() as app:
        app.telnyx.callee = "no_answer"
        call = await dial(app, retry_on_timeout=False)
        await call.wait_ended()
        assert call.hangup_cause == "no_answer"


@pytest.mark.parametrize(
    ("secs", "second_s", "least", "most"), [({}, 0.01, 0.3, 30), ({"timeout_secs": 5}, 0.05, 0.25, 1.4)]
)
@pytest.mark.parametrize("callee", [Callee("no_answer"), Callee(ring_s=60)])
async def test_the_ring_time_is_obeyed(
    secs: dict[str, int], second_s: float, least: float, most: float, callee: Callee
) -> None:
    async with product(timing=replace(QUICK, no_answer_s=60, second_s=second_s)) as app:
        app.telnyx.callee = callee
        call = await dial(app, **secs)
        await call.wait_ended()
        assert call.ended_at is not None
        assert least - EARLY_S <= call.ended_at - call.started_at < most
        assert call.hangup_cause == "timeout"


async def test_a_test_need_not_wait_for_the_ring_time() -> None:
    async with product(timing=replace(FAST, no_answer_s=0.05)) as app:
        app.telnyx.callee = "no_answer"
        call = await dial(app)
        await call.wait_ended()


async def test_the_time_limit_is_obeyed() -> None:
    async with product(timing=QUICK) as app:
        call = await dial(app, time_limit_secs=30)
        await call.wait_ended()
        assert call.ended_at is not None
        assert call.answered_at is not None
        assert 0.3 - EARLY_S <= call.ended_at - call.answered_at < 10
        assert (call.hangup_cause, call.hangup_source) == ("time_limit", "unknown")


async def test_hanging_up_before_the_answer_is_the_callers() -> None:
    async with product(timing=replace(FAST, ring_s=60)) as app:
        call = await dial(app)
        assert (await app.command(call, "hangup")).status_code == 200
        await app.told("call.hangup")
        payload = app.payload("call.hangup")
        found = payload["hangup_cause"], payload["hangup_source"], payload["sip_hangup_cause"]
        assert found == ("originator_cancel", "caller", "487")
        other = await dial(app)
        await other.hang_up()
        assert (other.hangup_cause, other.hangup_source) == ("call_rejected", "callee")


async def test_the_first_words_reach_the_stream() -> None:
    async with product() as app:
        app.telnyx.callee = Callee(says=tone(100), after_s=0.04)
        call = await dial(app, **app.streaming())
        stream = await call.wait_streaming()
        await call.phone.spoken(1.0)
        await app.sockets[0].until(lambda: len(app.sockets[0].of("media")) >= 6)
        assert stream.started


# Answering machine detection


@pytest.mark.parametrize(
    ("mode", "callee", "told"),
    [
        ("detect", Callee(), ["detection human"]),
        ("detect", Callee("voicemail"), ["detection machine"]),
        ("detect", Callee("silence"), ["detection machine"]),
        ("detect_beep", Callee("voicemail", speaks_s=0.3), ["detection machine", "greeting beep_detected"]),
        ("detect_words", Callee("voicemail", speaks_s=0.3, beep_s=0), ["detection machine", "greeting ended"]),
        ("greeting_end", Callee("voicemail", speaks_s=0.3), ["detection machine", "greeting beep_detected"]),
        ("greeting_end", Callee("voicemail", speaks_s=5), ["detection machine", "greeting not_sure"]),
        ("greeting_end", Callee(), ["detection human"]),
        ("premium", Callee(), ["premium.detection human_residence"]),
        ("premium", Callee("silence"), ["premium.detection silence"]),
        ("premium", Callee("fax"), ["premium.detection fax_detected"]),
        (
            "premium",
            Callee("voicemail", speaks_s=0.3),
            ["premium.detection machine", "premium.greeting beep_detected"],
        ),
        ("premium", Callee("voicemail", speaks_s=0.02, beep_s=0.02), ["premium.greeting beep_detected"]),
        (
            "premium",
            Callee("voicemail", speaks_s=0.3, beep_s=0),
            ["premium.detection machine", "premium.greeting no_beep_detected"],
        ),
    ],
    ids=lambda value: value.does if isinstance(value, Callee) else None,
)
async def test_detection(mode: str, callee: Callee, told: list[str]) -> None:
    amd_s = 2.0 if told == ["premium.greeting beep_detected"] else QUICK.amd_s
    async with product(timing=replace(QUICK, amd_s=amd_s, second_s=0.2)) as app:
        app.telnyx.callee = callee
        call = await dial(app, answering_machine_detection=mode)
        kinds = [f"call.machine.{each.partition(' ')[0]}.ended" for each in told]
        await app.told("call.answered", *kinds)
        await call.hang_up()
        await app.told("call.hangup")
        results = [each["data"] for each in app.webhooks if "machine" in each["data"]["event_type"]]
        assert [each["event_type"] for each in results] == kinds
        assert [each["payload"]["result"] for each in results] == [each.partition(" ")[2] for each in told]


async def test_nothing_is_detected_unless_it_is_asked_for() -> None:
    async with product(timing=QUICK) as app:
        for more in ({}, {"answering_machine_detection": "disabled"}):
            call = await dial(app, **more)
            await call.wait_answered()
            assert not app.telnyx.exchange.tasks.busy("detection")


async def test_the_beep_is_told_when_it_has_sounded() -> None:
    async with product(timing=QUICK) as app:
        app.telnyx.callee = Callee("voicemail", speaks_s=0.2, beep_s=0.1)
        call = await dial(app, answering_machine_detection="detect_beep")
        await app.told("call.machine.greeting.ended")
        (delivery,) = [each for each in app.telnyx.deliveries if each.event_type == "call.machine.greeting.ended"]
        assert call.phone.message_at is not None
        assert -EARLY_S <= delivery.at - call.phone.message_at < 1


async def test_detection_can_be_wrong_late_and_lost() -> None:
    async with product(timing=QUICK) as app:
        app.telnyx.faults = Faults(amd_result="not_sure")
        await dial(app, answering_machine_detection="detect")
        await app.told("call.machine.detection.ended")
        assert app.payload("call.machine.detection.ended")["result"] == "not_sure"
        app.webhooks.clear()
        app.telnyx.faults = Faults(amd_after_hangup=True)
        call = await dial(app, answering_machine_detection="detect")
        await call.wait_answered()
        await call.hang_up()
        await app.told("call.machine.detection.ended")
        assert call.state == "ended"
        app.webhooks.clear()
        app.telnyx.faults = Faults(webhook_drop=["call.machine.detection.ended"])
        call = await dial(app, answering_machine_detection="detect")
        await app.telnyx.until(lambda: "detection: human" in call.story())
        await call.hang_up()
        await app.told("call.hangup")
        assert "call.machine.detection.ended" not in app.events()


# Recording


async def test_a_recording_begins_with_the_answer() -> None:
    async with product(timing=replace(QUICK, ring_s=0.1)) as app:
        response = await dialling(app, record="record-from-answer", record_format="wav")
        name = response.json()["data"]["recording_id"]
        assert name not in app.telnyx.exchange.recordings
        call = app.telnyx.calls[response.json()["data"]["call_control_id"]]
        await call.wait_answered()
        recording = app.telnyx.exchange.recordings[name]
        assert call.answered_at is not None
        assert 0 <= recording.began - call.answered_at < 0.05
        await call.hang_up()
        await app.told("call.recording.saved")
        assert app.payload("call.recording.saved")["recording_id"] == name
        app.telnyx.callee = "busy"
        never = (await dialling(app, record="record-from-answer")).json()["data"]
        await app.telnyx.calls[never["call_control_id"]].wait_ended()
        assert list(app.telnyx.exchange.recordings) == [name]


# Refusals


async def test_the_numbers_and_limits_of_a_dial() -> None:
    async with product() as app:
        for wrong, code, where in (
            ({"to": "555"}, "10016", "/to"),
            ({"to": ["+15550100003", "me"]}, "10016", "/to"),
            ({"from": "me"}, "10016", "/from"),
            ({"from": None}, "10004", "/from"),
            ({"connection_id": "1"}, "10015", "/connection_id"),
            ({"timeout_secs": 4}, "10033", "/timeout_secs"),
            ({"timeout_secs": 601}, "10033", "/timeout_secs"),
            ({"time_limit_secs": 29}, "10033", "/time_limit_secs"),
            ({"answering_machine_detection": "on"}, "10032", "/answering_machine_detection"),
            (
                {"answering_machine_detection_config": {"beep": 1}},
                "10015",
                "/answering_machine_detection_config/beep",
            ),
            ({"answering_machine_detection_config": {"silence_threshold": "low"}}, "10015", "/silence_threshold"),
            ({"stream_track": "inbound"}, "10032", "/stream_track"),
            ({"stream_codec": "pcmu"}, "10032", "/stream_codec"),
            ({"stream_bidirectional_sampling_rate": 44100}, "10032", "/stream_bidirectional_sampling_rate"),
            ({"streem_url": "wss://x"}, "10015", "/streem_url"),
            ({"client_state": "not base64"}, "90017", "/client_state"),
            ({"webhook_urls": {"call.rings": "http://127.0.0.1/"}}, "90057", "/webhook_urls"),
        ):
            assert error_of(await dialling(app, **wrong)) == (422, code, where), wrong
        assert app.telnyx.calls == {}


async def test_what_keeps_an_account_from_dialling() -> None:
    async with product() as app:
        account = app.telnyx.account
        account.has_funds = False
        assert error_of(await dialling(app))[:2] == (403, "20100")
        account.has_funds, account.outbound_voice_profile_id = True, None
        assert error_of(await dialling(app))[:2] == (403, "10010")
        account.outbound_voice_profile_id, account.active = "1", False
        assert error_of(await dialling(app))[:2] == (422, "10015")
        account.active, told = True, app.telnyx.webhook_url
        app.telnyx.webhook_url = ""
        assert error_of(await dialling(app))[:2] == (422, "10015")
        assert (await dialling(app, webhook_url=told)).status_code == 200


async def test_the_dials_per_second_are_limited() -> None:
    async with product() as app:
        app.telnyx.account.dials_per_second = 1
        for number in range(5):
            assert (await dialling(app, command_id=str(number))).status_code == 200
        assert (await dialling(app, command_id="0")).status_code == 200, "a repeated one is none"
        refused = await dialling(app)
        assert error_of(refused)[:2] == (429, "90103")
        assert refused.headers["x-ratelimit-remaining"] == "0"
        assert 1 <= int(refused.headers["x-ratelimit-reset"]) <= 5
        assert len(app.telnyx.calls) == 5


async def test_the_channels_are_limited() -> None:
    async with product(timing=replace(FAST, hangup_webhook_s=0.01)) as app:
        app.telnyx.account.channel_limit = 1
        first = await dial(app)
        second = await dial(app)
        await app.told("call.hangup")
        payload = app.payload("call.hangup")
        assert payload["call_leg_id"] == second.leg_id
        assert (payload["hangup_cause"], payload["sip_hangup_cause"]) == ("call_rejected", "403")
        await first.wait_answered()
        app.telnyx.account.over_limit = "refused"
        assert error_of(await dialling(app))[:2] == (403, "90043")
        await first.hang_up()
        assert (await dialling(app)).status_code == 200
        application = (await app.http.get(f"/call_control_applications/{CONNECTION_ID}")).json()["data"]
        assert application["outbound"]["channel_limit"] == 1


# What is shown


async def test_a_ringing_leg_is_listed_and_not_alive() -> None:
    async with product(timing=replace(FAST, ring_s=60)) as app:
        call = await dial(app, client_state="c3RhdGU=")
        parked = await app.telnyx.ring()
        path = f"/connections/{CONNECTION_ID}/active_calls"
        (listed,) = (await app.http.get(path)).json()["data"]
        assert (listed["call_control_id"], listed["client_state"]) == (call.control_id, "c3RhdGU=")
        status = (await app.http.get(f"/calls/{call.control_id}")).json()["data"]
        assert (status["is_alive"], "end_time" in status) == (False, False)
        app.telnyx.faults = Faults(ringing_is_not_listed=True)
        assert (await app.http.get(path)).json()["data"] == []
        await parked.hang_up()


async def test_calls_are_shown_as_the_official_schema_says() -> None:
    schemas.folder()

    def right(name: str, value: Any) -> None:
        assert schemas.complaints(OPENAPI, f"/components/schemas/{name}", value) == [], value

    async with product() as app:
        response = await dialling(app, client_state="c3RhdGU=", record="record-from-answer")
        right("CallWithRecordingId", response.json()["data"])
        call = app.telnyx.calls[response.json()["data"]["call_control_id"]]
        right("Call", (await app.http.get(f"/calls/{call.control_id}")).json()["data"])
        path = f"/connections/{CONNECTION_ID}/active_calls"
        right("ActiveCall", (await app.http.get(path)).json()["data"][0])
        await call.wait_answered()
        await call.hang_up()
        right("Call", (await app.http.get(f"/calls/{call.control_id}")).json()["data"])


@pytest.mark.parametrize("mode", ["detect_beep", "premium"])
async def test_detection_is_told_as_the_official_schema_says(mode: str) -> None:
    index = schemas.load("telnyx/webhook-events-index.json")
    async with product(timing=QUICK) as app:
        app.telnyx.callee = Callee("voicemail", speaks_s=0.3, beep_s=0.02)
        await dial(app, answering_machine_detection=mode)
        kinds = [kind for kind in index if "machine" in kind and ("premium" in kind) == (mode == "premium")]
        await app.told(*kinds)
        for kind in kinds:
            payload = app.payload(kind)
            assert set(index[kind]["payload_fields"]) <= set(payload)
            pointer = index[kind]["schema"].removeprefix("#")
            data = next(each["data"] for each in app.webhooks if each["data"]["event_type"] == kind)
            name = "telnyx/call-webhooks-openapi.json"
            assert (
                schemas.complaints(name, pointer, {"data": data}) == [] or schemas.complaints(name, pointer, data) == []
            )


def test_the_parameters_of_a_dial_are_the_documented_ones() -> None:
    document = schemas.load(OPENAPI)
    reference = document["paths"]["/calls"]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    properties = document["components"]["schemas"][reference.rpartition("/")[2]]["properties"]
    assert set(COMMANDS[DIAL]) == set(properties)
    assert set(properties["answering_machine_detection_config"]["properties"]) == DETECTION


# Faults


async def test_a_dial_whose_answer_is_lost_took_effect_and_is_repeated_without_effect() -> None:
    async with product(faults=Faults(api=[ApiFault("dial", lose_response=True)])) as app:
        with pytest.raises(httpx.RemoteProtocolError):
            await dialling(app, command_id="one")
        again = await dialling(app, command_id="one")
        assert list(app.telnyx.calls) == [again.json()["data"]["call_control_id"]]


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("after", [False, True])
async def test_a_dial_fails_before_or_after_its_effect(status: int, after: bool) -> None:
    async with product(faults=Faults(api=[ApiFault("dial", status=status, after_effect=after)])) as app:
        assert error_of(await dialling(app, command_id="one"))[:2] == (status, "10007")
        assert len(app.telnyx.calls) == after
        assert (await dialling(app, command_id="one")).status_code == 200
        assert len(app.telnyx.calls) == 1


async def test_a_webhook_may_come_before_the_answer_to_the_dial() -> None:
    async with product(faults=Faults(api=[ApiFault("dial", slow_s=0.15)])) as app:
        began = monotonic()
        response = await dialling(app)
        assert monotonic() - began >= 0.15 - EARLY_S
        assert app.payload("call.initiated")["call_leg_id"] == response.json()["data"]["call_leg_id"]


async def test_the_webhooks_of_a_dialled_leg_may_be_repeated_reordered_and_lost() -> None:
    faults = Faults(
        webhook_duplicates={"call.hangup": 1},
        webhook_hold={"call.answered": "call.hangup"},
        webhook_drop=["call.initiated"],
    )
    async with product(faults=faults) as app:
        call = await dial(app)
        await call.wait_answered()
        await call.hang_up()
        await app.told("call.answered")
        await app.telnyx.until(lambda: app.events().count("call.hangup") == 2)
        assert app.events()[0] == "call.hangup"
        assert sorted(app.events()) == ["call.answered", "call.hangup", "call.hangup"]


def test_the_usual_times_are_the_documented_ones() -> None:
    assert (Timing().second_s, Timing().download_s) == (1.0, 600.0)
