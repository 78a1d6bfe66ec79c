"""The emulated Twilio dials: what becomes of a call, when, what is told of it, and what is refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import httpx
import pytest

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.twilio import ApiFault, Call, Faults, Timing
from callflow.sandbox.twilio.parameters import CREATE_CALL, LIST_CALLS, UPDATE_CALL
from tests.conformance import schemas
from tests.sandbox.telnyx_product import EARLY_S
from tests.sandbox.twilio_product import PUBLIC, Product, product, response


OPENAPI = "twilio/twilio_api_v2010.trimmed.json"
FAST = Timing(speak_s_per_char=0.002, ring_s=0.01, no_answer_s=0.05, retry_pause_s=0.01, amd_s=0.02, amd_silence_s=0.03)
EVENTS = ("initiated", "ringing", "answered", "completed")
OWN, OTHER = "+15550100002", "+15550100077"
TALK = response("<Pause length='60'/>")


async def create(the: Product, events: tuple[str, ...] = EVENTS, **form: Any) -> httpx.Response:
    the.twilio.number(OWN)
    usual = {"To": OTHER, "From": OWN, "Twiml": TALK, "StatusCallback": f"{PUBLIC}/told"}
    if {"Url", "ApplicationSid"} & set(form):
        del usual["Twiml"]
    values = {name: value for name, value in {**usual, **form}.items() if value is not None}
    return await the.rest("POST", "/Calls.json", data={**values, "StatusCallbackEvent": list(events)})


async def dial(the: Product, **form: Any) -> Call:
    made = await create(the, **form)
    assert made.status_code == 201, made.text
    return the.twilio.calls[made.json()["sid"]]


def statuses(the: Product) -> list[str]:
    told = sorted(the.of("/told"), key=lambda one: int(one["SequenceNumber"]))
    return [one["CallStatus"] for one in told]


async def last(the: Product) -> dict[str, str]:
    """The status callback about the end."""
    over = ("completed", "busy", "failed", "no-answer", "canceled")
    await the.until(lambda: [one for one in the.of("/told") if one["CallStatus"] in over])
    return next(one for one in the.of("/told") if one["CallStatus"] in over)


# What becomes of it


@pytest.mark.parametrize(
    ("callee", "status", "sip", "before"),
    [
        ("busy", "busy", "486", ["initiated", "ringing"]),
        ("rejects", "busy", "603", ["initiated", "ringing"]),
        ("no-answer", "no-answer", "487", ["initiated", "ringing"]),
        ("not_reachable", "failed", "404", ["initiated"]),
    ],
)
async def test_a_call_that_nobody_answers(callee: str, status: str, sip: str, before: list[str]) -> None:
    async with product(timing=FAST) as the:
        the.twilio.callees[OTHER] = Callee.of(callee)
        call = await dial(the)
        other = await dial(the, To="+15550100078", StatusCallback=None)
        told = await last(the)
        assert (told["CallSid"], told["CallStatus"], told["SipResponseCode"]) == (call.sid, status, sip)
        assert (told["CallDuration"], told["Direction"]) == ("0", "outbound-api")
        await the.until(lambda: len(the.of("/told")) == len(before) + 1)
        assert statuses(the) == [*before, status]
        await other.wait_answered()


@pytest.mark.parametrize(
    ("form", "second_s", "least", "most"), [({}, 0.01, 0.6, 30), ({"Timeout": "5"}, 0.05, 0.25, 2.9)]
)
@pytest.mark.parametrize("callee", [Callee("no_answer"), Callee(ring_s=60)])
async def test_the_ring_time_is_obeyed(
    form: dict[str, str], second_s: float, least: float, most: float, callee: Callee
) -> None:
    async with product(timing=replace(FAST, no_answer_s=60, second_s=second_s)) as the:
        the.twilio.callee = callee
        call = await dial(the, **form)
        await call.wait_ended()
        assert call.ended_at is not None
        assert least - EARLY_S <= call.ended_at - call.started_at < most
        assert call.status == "no-answer"


async def test_the_time_limit_is_obeyed() -> None:
    async with product(timing=replace(FAST, second_s=0.01)) as the:
        call = await dial(the, TimeLimit="20")
        await call.wait_ended()
        assert call.ended_at is not None
        assert call.answered_at is not None
        assert 0.2 - 2 * EARLY_S <= call.ended_at - call.answered_at < 10
        told = await last(the)
        assert (told["CallStatus"], told["SipResponseCode"]) == ("completed", "200")


@pytest.mark.parametrize("when", ["ringing", "answered"])
async def test_a_later_time_limit_replaces_the_first(when: str) -> None:
    async with product(timing=replace(FAST, second_s=0.01, ring_s=0.1)) as the:
        call = await dial(the, TimeLimit="14400")
        if when == "answered":
            await call.wait_answered()
        updated = await the.rest("POST", f"/Calls/{call.sid}.json", data={"TimeLimit": "10"})
        assert updated.status_code == 200
        await call.wait_ended()
        assert (call.status, call.answered_at is not None) == ("completed", True)


async def test_hanging_up_before_the_answer() -> None:
    async with product(timing=replace(FAST, ring_s=60)) as the:
        call = await dial(the)
        shown = await the.rest("POST", f"/Calls/{call.sid}.json", data={"Status": "completed"})
        assert shown.json()["status"] == "canceled"
        assert (await last(the))["SipResponseCode"] == "487"
        other = await dial(the)
        await other.hang_up()
        assert other.status == "busy"


async def test_calls_beyond_the_pace_are_queued() -> None:
    async with product(timing=FAST) as the:
        the.twilio.account.calls_per_second = 2
        began = monotonic()
        _, second, third = [await dial(the) for _ in range(3)]
        queued = (await the.rest("GET", f"/Calls/{second.sid}.json")).json()
        assert (queued["status"], queued["start_time"]) == ("queued", None)
        canceled = await the.rest("POST", f"/Calls/{third.sid}.json", data={"Status": "canceled"})
        assert canceled.json()["status"] == "canceled"
        await second.wait_answered()
        assert second.answered_at is not None
        assert second.answered_at - began >= 0.5 - EARLY_S
        queued = (await the.rest("GET", f"/Calls/{second.sid}.json")).json()
        assert 0 < int(queued["queue_time"]) <= 500
        assert queued["start_time"]


async def test_a_call_runs_the_document_of_an_application() -> None:
    async with product(timing=FAST, answered=response("<Say>Hello.</Say>")) as the:
        sid = "AP" + "0" * 32
        the.twilio.account.applications[sid] = f"{PUBLIC}/answered"
        call = await dial(the, ApplicationSid=sid)
        await call.wait_ended()
        assert call.spoken == ["Hello."]
        refused = await create(the, ApplicationSid="AP" + "1" * 32)
        assert refused.json()["code"] == 21218


# Answering machine detection


@pytest.mark.parametrize(
    ("mode", "callee", "found"),
    [
        ("Enable", Callee(), "human"),
        ("Enable", Callee("voicemail"), "machine_start"),
        ("Enable", Callee("fax"), "fax"),
        ("Enable", Callee("silence"), "unknown"),
        ("DetectMessageEnd", Callee(), "human"),
        ("DetectMessageEnd", Callee("voicemail", speaks_s=0.1, beep_s=0.02), "machine_end_beep"),
        ("DetectMessageEnd", Callee("voicemail", speaks_s=0.1, beep_s=0), "machine_end_silence"),
        ("DetectMessageEnd", Callee("voicemail", speaks_s=5), "unknown"),
    ],
    ids=lambda value: value.does if isinstance(value, Callee) else None,
)
@pytest.mark.parametrize("background", [False, True])
async def test_detection(mode: str, callee: Callee, found: str, background: bool) -> None:
    form = {"MachineDetection": mode, "Url": f"{PUBLIC}/answered", "MachineDetectionTimeout": "3"}
    if background:
        form |= {"AsyncAmd": "true", "AsyncAmdStatusCallback": f"{PUBLIC}/amd"}
    async with product(timing=replace(FAST, second_s=0.3), answered=TALK) as the:
        the.twilio.callee = callee
        call = await dial(the, **form)
        await the.until(lambda: the.of("/answered") and call.answered_by)
        if background:
            await the.until(lambda: the.of("/amd"))
        (asked,) = the.of("/amd" if background else "/answered")
        assert asked["AnsweredBy"] == found
        assert asked["CallSid"] == call.sid
        assert int(asked["MachineDetectionDuration"]) >= 15
        shown = (await the.rest("GET", f"/Calls/{call.sid}.json")).json()
        assert shown["answered_by"] == found
        assert ("AnsweredBy" in the.of("/answered")[0]) is not background
        await call.hang_up()
        assert ("AnsweredBy" in await last(the)) is not background


async def test_synchronous_detection_delays_the_document() -> None:
    async with product(timing=replace(FAST, amd_s=0.2), answered=TALK) as the:
        call = await dial(the, MachineDetection="Enable", Url=f"{PUBLIC}/answered")
        await the.until(lambda: the.of("/answered"))
        (asked,) = [each for each in the.twilio.deliveries if each.kind == "voice"]
        assert call.answered_at is not None
        assert asked.at - call.answered_at >= 0.2 - EARLY_S
        later = await dial(the, MachineDetection="Enable", Url=f"{PUBLIC}/answered", SendDigits="1w2")
        await the.until(lambda: len(the.of("/answered")) == 2)
        assert later.answered_by is None, "it is ignored when there are digits to send"


async def test_detection_without_a_callback_is_warned_of() -> None:
    async with product(timing=FAST) as the:
        call = await dial(the, MachineDetection="Enable", AsyncAmd="true")
        await the.until(lambda: call.answered_by == "human")
        assert [code for code, _ in call.warnings] == [21262]


async def test_detection_can_be_wrong_late_and_lost() -> None:
    form = {"MachineDetection": "Enable", "AsyncAmd": "true", "AsyncAmdStatusCallback": f"{PUBLIC}/amd"}
    async with product(timing=FAST) as the:
        the.twilio.faults = Faults(amd_result="unknown")
        await dial(the, **form)
        await the.until(lambda: the.of("/amd"))
        assert the.of("/amd")[0]["AnsweredBy"] == "unknown"
        the.twilio.faults = Faults(amd_after_hangup=True)
        call = await dial(the, **form)
        await the.until(lambda: call.answered_by == "human")
        assert len(the.of("/amd")) == 1
        await call.hang_up()
        await the.until(lambda: len(the.of("/amd")) == 2)
        the.twilio.faults = Faults(webhook_drop=["amd"])
        lost = await dial(the, **form)
        await the.until(lambda: lost.answered_by == "human")
        await lost.hang_up()
        await the.until(lambda: [one for one in the.of("/told") if one["CallSid"] == lost.sid and "Duration" in one])
        assert len(the.of("/amd")) == 2


# Refusals


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"To": None}, 21201),
        ({"From": None}, 21213),
        ({"Twiml": None}, 21205),
        ({"From": "me"}, 21212),
        ({"From": "+15550109999"}, 21210),
        ({"To": "555"}, 21211),
        ({"Url": "ftp://phone.example/"}, 21205),
        ({"Url": f"{PUBLIC}/answered", "Twiml": TALK}, 20001),
        ({"Url": f"{PUBLIC}/answered", "ApplicationSid": "AP" + "0" * 32}, 20001),
        ({"Twiml": response("<Say>" + "x" * 4000 + "</Say>")}, 20001),
        ({"Twiml": "<Response>"}, 20001),
        ({"StatusCallback": "told"}, 21205),
        ({"StatusCallbackMethod": "PUT"}, 20001),
        ({"Timeout": "601"}, 20001),
        ({"Timeout": "soon"}, 20001),
        ({"TimeLimit": "0"}, 20001),
        ({"SendDigits": "1" * 33}, 20001),
        ({"SendDigits": "one"}, 20001),
        ({"Record": "yes"}, 20001),
        ({"RecordingChannels": "stereo"}, 20001),
        ({"RecordingStatusCallbackEvent": "completed stopped"}, 20001),
        ({"MachineDetection": "true"}, 20001),
        ({"MachineDetectionTimeout": "2"}, 20001),
        ({"MachineDetectionSilenceTimeout": "100"}, 20001),
        ({"AsyncAmd": "yes"}, 20001),
        ({"MachineDetect": "Enable"}, 20001),
    ],
)
async def test_calls_that_are_refused(form: dict[str, Any], code: int) -> None:
    async with product(timing=FAST) as the:
        refused = await create(the, **form)
        assert (refused.status_code, refused.json()["code"]) == (400, code)
        assert the.twilio.calls == {}


async def test_an_event_that_there_is_not() -> None:
    async with product(timing=FAST) as the:
        for events in (("answered", "finished"), ("initiated ringing",)):
            assert (await create(the, events)).json()["code"] == 20001


async def test_what_an_account_may_not_dial() -> None:
    async with product(timing=FAST) as the:
        account = the.twilio.account
        account.refused = {"+1555019": 21214, "+44": 21215, "+1900": 21216, "+155501": 21217}
        for to, code in (("+15550190001", 21214), ("+442079460001", 21215), ("+19005550100", 21216), (OTHER, 21217)):
            refused = await create(the, To=to)
            assert (refused.status_code, refused.json()["code"]) == (400, code)
            assert to in refused.json()["message"]
        account.refused = {}
        account.trial = True
        assert (await create(the)).json()["code"] == 21219
        account.verified.append(OTHER)
        assert (await create(the)).status_code == 201
        account.calls_at_once = 1
        assert (await create(the)).json()["code"] == 20429
        assert len(the.twilio.calls) == 1


# The list


async def test_the_list_is_filtered_newest_first_and_paged() -> None:
    async with product(timing=FAST) as the:
        calls = [await dial(the, To=f"+1555010000{number}") for number in range(5)]
        sids = [call.sid for call in reversed(calls)]

        async def listed(**query: Any) -> list[str]:
            answer = await the.rest("GET", "/Calls.json", params=query)
            assert answer.status_code == 200, answer.text
            return [one["sid"] for one in answer.json()["calls"]]

        assert await listed() == sids
        assert await listed(To="+15550100003") == [calls[3].sid]
        assert await listed(From="+15550100001") == []
        await calls[0].wait_answered()
        await calls[0].hang_up()
        assert await listed(Status="completed") == [calls[0].sid]
        now = datetime.now(UTC)
        early, late = ((now + timedelta(minutes=by)).strftime("%Y-%m-%dT%H:%M:%SZ") for by in (-1, 1))
        assert await listed(**{"StartTime>": early, "From": OWN}) == sids
        assert await listed(**{"StartTime>": late}) == []
        assert await listed(**{"StartTime<": late}) == sids
        assert await listed(StartTime=f"{calls[0].created:%Y-%m-%d}") == sids
        assert await listed(**{"EndTime>": early}) == [calls[0].sid]

        page = (await the.rest("GET", "/Calls.json", params={"PageSize": 2, "From": OWN})).json()
        seen = [one["sid"] for one in page["calls"]]
        await dial(the, To="+15550100009")  # a new one does not shift what is still to come
        while page["next_page_uri"]:
            path = page["next_page_uri"].partition(the.twilio.account_sid)[2]
            page = (await the.rest("GET", path)).json()
            seen += [one["sid"] for one in page["calls"]]
        assert seen == sids
        for wrong in ({"PageSize": "0"}, {"PageSize": "1001"}, {"StartTime>": "today"}, {"Too": OTHER}):
            assert (await the.rest("GET", "/Calls.json", params=wrong)).json()["code"] == 20001


async def test_a_new_call_is_missing_from_the_list_for_a_moment() -> None:
    async with product(timing=replace(FAST, list_lags_s=0.3)) as the:
        call = await dial(the)
        assert (await the.rest("GET", "/Calls.json")).json()["calls"] == []
        assert (await the.rest("GET", f"/Calls/{call.sid}.json")).status_code == 200
        async with asyncio.timeout(5):
            while not (found := (await the.rest("GET", "/Calls.json")).json()["calls"]):
                pass
        assert found[0]["sid"] == call.sid


async def test_a_dialled_call_is_shown_as_the_official_schema_says() -> None:
    schemas.folder()
    async with product(timing=FAST) as the:
        made = await create(the)
        name = "/components/schemas/api.v2010.account.call"
        assert schemas.complaints(OPENAPI, name, made.json()) == []
        shown = made.json()
        assert shown["status"] == "queued"
        assert [shown[name] for name in ("start_time", "end_time", "duration", "price")] == [None] * 4
        (one,) = (await the.rest("GET", "/Calls.json")).json()["calls"]
        assert schemas.complaints(OPENAPI, name, one) == []


async def test_the_parameters_of_a_call_are_the_documented_ones() -> None:
    paths = schemas.load(OPENAPI)["paths"]
    root = "/2010-04-01/Accounts/{AccountSid}/Calls"
    for path, ours in ((f"{root}.json", CREATE_CALL), (f"{root}/{{Sid}}.json", UPDATE_CALL)):
        form = paths[path]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
        assert ours == set(form["properties"])
    query = {one["name"] for one in paths[f"{root}.json"]["get"]["parameters"]}
    assert query - {"AccountSid"} == LIST_CALLS


# Faults


async def test_a_call_whose_answer_is_lost_is_made() -> None:
    async with product(timing=FAST) as the:
        the.twilio.faults = Faults(api=[ApiFault("create", lose_response=True)])
        with pytest.raises(httpx.RemoteProtocolError):
            await create(the)
        (call,) = the.twilio.calls.values()
        await call.wait_answered()


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("after", [False, True])
async def test_a_call_fails_before_or_after_its_effect(status: int, after: bool) -> None:
    async with product(timing=FAST) as the:
        the.twilio.faults = Faults(api=[ApiFault("create", status=status, after_effect=after)])
        refused = await create(the)
        assert (refused.status_code, refused.json()["code"]) == (status, 20000 + status)
        assert len(the.twilio.calls) == after


async def test_a_callback_may_come_before_the_answer_to_the_request() -> None:
    async with product(timing=FAST) as the:
        the.twilio.faults = Faults(api=[ApiFault("create", slow_s=0.2)])
        await create(the)
        assert statuses(the)[:3] == ["initiated", "ringing", "in-progress"]


async def test_one_status_may_be_repeated_another_late_and_another_lost() -> None:
    faults = Faults(
        webhook_duplicates={"status:ringing": 1},
        webhook_delay_s={"status:initiated": 0.2},
        webhook_drop=["status:answered"],
    )
    async with product(timing=FAST) as the:
        the.twilio.faults = faults
        await dial(the)
        await the.until(lambda: len(the.of("/told")) == 3)
        assert [one["CallStatus"] for one in the.of("/told")] == ["ringing", "ringing", "initiated"]
