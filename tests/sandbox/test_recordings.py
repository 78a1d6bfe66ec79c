"""Recordings at the emulated carriers: when they are there, who may load them, and what is in the file."""

from __future__ import annotations

import io
import wave
from dataclasses import replace
from typing import Any

import httpx
import pytest

from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.phone import Phone, tone
from callflow.sandbox.common.recordings import Recording
from callflow.sandbox.telnyx import CONNECTION_ID
from callflow.sandbox.telnyx import Faults as TelnyxFaults
from callflow.sandbox.twilio import Call, Faults, Timing
from tests.conformance import schemas
from tests.sandbox import telnyx_product, twilio_product
from tests.sandbox.telnyx_product import error_of
from tests.sandbox.twilio_product import PUBLIC, Product, response


OWN, OTHER = "+15550100002", "+15550100077"
FAST = Timing(ring_s=0.01, recording_s=0.02)


async def get(url: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(url, headers=headers)


def wav(content: bytes) -> tuple[int, float]:
    """Channels, and the loudest sample."""
    with wave.open(io.BytesIO(content)) as file:
        frames = memoryview(file.readframes(file.getnframes())).cast("h")
        assert (file.getframerate(), file.getsampwidth()) == (8000, 2)
        return file.getnchannels(), max(frames)


def test_an_mp3_is_as_long_as_the_recording() -> None:
    recording = Recording("one", "call", Phone(), 1, began=10.0, ended=12.0)
    frames, rest = divmod(len(recording.file("mp3")), 104)
    assert rest == 0
    assert abs(frames * 1152 / 44100 - 2.0) < 0.03


# Telnyx


async def test_telnyx_lists_a_recording_with_links_that_expire() -> None:
    async with telnyx_product.product(timing=replace(telnyx_product.FAST, recording_s=0.1)) as app:
        app.telnyx.callee = Callee(says=tone(60))
        dial = {"connection_id": CONNECTION_ID, "from": OWN, "to": OTHER}
        more = {"record": "record-from-answer", "record_format": "wav", "record_channels": "dual"}
        made = (await app.http.post("/calls", json=dial | more)).json()["data"]
        call, name = app.telnyx.calls[made["call_control_id"]], made["recording_id"]
        await call.wait_answered()
        await call.phone.spoken(5)
        await call.hang_up()
        assert error_of(await app.http.get(f"/recordings/{name}"))[:2] == (404, "10005")
        assert (await app.http.get("/recordings")).json()["data"] == []
        await app.told("call.recording.saved")
        shown = (await app.http.get(f"/recordings/{name}")).json()["data"]
        (listed,) = (await app.http.get("/recordings", params={"filter[call_leg_id]": call.leg_id})).json()["data"]
        assert listed["id"] == name
        assert shown["download_urls"]["wav"] != listed["download_urls"]["wav"], "the links are fresh each time"
        link = app.payload("call.recording.saved")["recording_urls"]["wav"]
        file = await get(link)
        assert (file.status_code, file.headers["content-type"]) == (200, "audio/x-wav")
        channels, loudest = wav(file.content)
        assert channels == 2
        assert loudest > 5000
        part = await get(link, Range="bytes=0-3")
        assert (part.status_code, part.content) == (206, b"RIFF")
        assert part.headers["content-range"] == f"bytes 0-3/{len(file.content)}"
        assert (await get(link, Range=f"bytes={len(file.content)}-")).status_code == 416
        assert (await get(link, Authorization="Bearer key")).status_code == 400, "the key is sent to no other host"
        links = app.telnyx.exchange.links
        links |= {key: (file_of, form, 0.0) for key, (file_of, form, _) in links.items()}
        assert (await get(link)).status_code == 403
        assert (await app.http.get("/recordings", params={"filter[call_leg_id]": "other"})).json()["data"] == []
        assert (await app.http.get("/recordings", params={"filter[weather]": "fine"})).status_code == 400
        assert (await app.http.delete(f"/recordings/{name}")).status_code == 200
        assert (await app.http.get(f"/recordings/{name}")).status_code == 404


async def test_telnyx_shows_a_recording_as_the_official_schema_says() -> None:
    schemas.folder()
    async with telnyx_product.product() as app:
        call, _ = await app.answered(record="record-from-answer")
        await call.hang_up()
        await app.told("call.recording.saved")
        shown = (await app.http.get("/recordings")).json()
        name = "/components/schemas/RecordingResponseData"
        assert schemas.complaints("telnyx/call-control-openapi.json", name, shown["data"][0]) == []
        assert shown["meta"] == {"page_number": 1, "page_size": 20, "total_pages": 1, "total_results": 1}


async def test_telnyx_can_tell_of_a_recording_with_the_fields_of_the_schema_alone() -> None:
    async with telnyx_product.product(faults=TelnyxFaults(recording_unnamed=True)) as app:
        call, _ = await app.answered(record="record-from-answer")
        await call.hang_up()
        await app.told("call.recording.saved")
        told = app.payload("call.recording.saved")
        assert set(told) == {
            "call_leg_id", "call_session_id", "channels", "client_state", "connection_id", "public_recording_urls",
            "recording_ended_at", "recording_started_at", "recording_urls",
        }  # fmt: skip


async def test_telnyx_pauses_what_it_records_and_nothing_else() -> None:
    async with telnyx_product.product() as app:
        call, _ = await app.answered()
        for action in ("record_pause", "record_resume"):
            assert error_of(await app.command(call, action))[:2] == (422, "10015"), "nothing records"
        await app.command(call, "record_start", format="wav", channels="dual")
        paused = []
        for action in ("record_pause", "record_resume"):
            assert (await app.command(call, action)).status_code == 200
            paused.append(call.recorder.is_paused)
        assert paused == [True, False]
        await app.command(call, "record_stop")
        assert error_of(await app.command(call, "record_pause"))[:2] == (422, "10015")


async def test_telnyx_suppresses_noise_until_it_is_told_to_stop() -> None:
    async with telnyx_product.product() as app:
        call, _ = await app.answered()
        for action, direction in (("suppression_start", "inbound"), ("suppression_stop", "")):
            assert (await app.command(call, action)).status_code == 200
            assert call.suppresses_noise == direction


async def test_a_recording_at_telnyx_can_fail() -> None:
    async with telnyx_product.product(faults=TelnyxFaults(recording_fails=True)) as app:
        call, _ = await app.answered(record="record-from-answer")
        await call.hang_up()
        await app.told("call.recording.error")
        assert (await app.http.get("/recordings")).json()["data"] == []
        assert "call.recording.saved" not in app.events()


# Twilio


async def recorded(the: Product, **form: str) -> Call:
    """A dialled call that is recorded."""
    the.twilio.number(OWN)
    values = {
        "To": OTHER,
        "From": OWN,
        "Twiml": response("<Pause length='60'/>"),
        "Record": "true",
        "StatusCallback": f"{PUBLIC}/told",
        "RecordingStatusCallback": f"{PUBLIC}/recording",
        "RecordingStatusCallbackEvent": "in-progress completed absent",
    }
    made = await the.rest("POST", "/Calls.json", data={**values, **form})
    assert made.status_code == 201, made.text
    call = the.twilio.calls[made.json()["sid"]]
    await call.wait_answered()
    return call


def events(the: Product) -> list[dict[str, str]]:
    return the.of("/recording")


@pytest.mark.parametrize(("asked", "channels"), [("mono", 1), ("dual", 2)])
async def test_twilio_records_from_the_answer(asked: str, channels: int) -> None:
    async with twilio_product.product(timing=replace(FAST, recording_s=0.2)) as the:
        the.twilio.callee = Callee(says=tone(60))
        call = await recorded(the, RecordingChannels=asked)
        await the.until(lambda: events(the))
        begun = events(the)[0]
        assert (begun["RecordingStatus"], begun["RecordingSource"]) == ("in-progress", "OutboundAPI")
        assert begun["RecordingChannels"] == str(channels)
        path = f"/Recordings/{begun['RecordingSid']}"
        assert (await the.rest("GET", f"{path}.json")).json()["status"] == "in-progress"
        await call.phone.spoken(5)
        await call.hang_up()
        assert (await the.rest("GET", f"{path}.wav")).status_code == 404, "it is still processed"
        await the.until(lambda: len(events(the)) == 2 and the.of("/told"))
        done, told = events(the)[1], the.of("/told")[0]
        assert (done["RecordingStatus"], done["ErrorCode"], done["CallSid"]) == ("completed", "0", call.sid)
        assert {"RecordingDuration", "RecordingStartTime", "RecordingTrack", "AccountSid"} <= set(done)
        assert told["RecordingSid"] == done["RecordingSid"]
        assert told["RecordingUrl"] == done["RecordingUrl"]
        file = await the.rest("GET", f"{path}.wav")
        found, loudest = wav(file.content)
        assert found == channels
        assert loudest > 5000
        assert wav((await the.rest("GET", f"{path}.wav?RequestedChannels=1")).content)[0] == 1
        assert (await the.rest("GET", f"{path}.mp3")).headers["content-type"] == "audio/mpeg"
        assert (await the.rest("GET", f"{path}.wav", headers={"Range": "bytes=0-3"})).content == b"RIFF"
        assert (await the.rest("GET", f"{path}.wav", auth=("", ""))).status_code == 401


async def test_twilio_lists_and_deletes_recordings() -> None:
    async with twilio_product.product(timing=FAST) as the:
        call, other = await recorded(the), await recorded(the)
        await call.hang_up()
        await the.until(lambda: len(events(the)) == 3)
        for path in (f"/Recordings.json?CallSid={call.sid}", f"/Calls/{call.sid}/Recordings.json"):
            (shown,) = (await the.rest("GET", path)).json()["recordings"]
            assert (shown["call_sid"], shown["status"], shown["source"]) == (call.sid, "completed", "OutboundAPI")
        sids = [one["call_sid"] for one in (await the.rest("GET", "/Recordings.json")).json()["recordings"]]
        assert sids == [other.sid, call.sid]
        assert (await the.rest("DELETE", f"/Recordings/{shown['sid']}.json")).status_code == 204
        assert (await the.rest("GET", f"/Recordings/{shown['sid']}.json")).json()["code"] == 20404


async def test_a_live_call_at_twilio_is_recorded_paused_and_stopped() -> None:
    async with twilio_product.product("<Pause length='60'/>", timing=FAST) as the:
        ringing = await the.twilio.ring()
        begun = await the.rest("POST", f"/Calls/{ringing.sid}/Recordings.json", data={})
        assert begun.json()["code"] == 21220
        call = await recorded(the, Record="false")
        begun = await the.rest("POST", f"/Calls/{call.sid}/Recordings.json", data={"RecordingChannels": "dual"})
        assert (begun.status_code, begun.json()["source"]) == (201, "StartCallRecordingAPI")

        async def update(sid: str, status: str) -> Any:
            path = f"/Calls/{call.sid}/Recordings/{sid}.json"
            return (await the.rest("POST", path, data={"Status": status})).json()

        sid = begun.json()["sid"]
        assert (await update("Twilio.CURRENT", "paused"))["status"] == "paused"
        assert (await update(sid, "in-progress"))["status"] == "in-progress"
        assert (await update(sid, "over"))["code"] == 20001
        assert (await update(sid, "stopped"))["status"] in ("stopped", "processing")
        assert (await update(sid, "stopped"))["code"] == 20404


async def test_twilio_shows_a_recording_as_the_official_schema_says() -> None:
    schemas.folder()
    async with twilio_product.product(timing=FAST) as the:
        call = await recorded(the)
        name = "/components/schemas/api.v2010.account.recording"

        async def right() -> None:
            (shown,) = (await the.rest("GET", "/Recordings.json")).json()["recordings"]
            assert schemas.complaints("twilio/twilio_api_v2010.trimmed.json", name, shown) == []

        await right()
        await call.hang_up()
        await the.until(lambda: "completed" in [one["RecordingStatus"] for one in events(the)])
        await right()


async def test_a_recording_at_twilio_can_be_absent() -> None:
    async with twilio_product.product(timing=FAST) as the:
        the.twilio.faults = Faults(recording_fails=True)
        call = await recorded(the)
        await call.hang_up()
        await the.until(lambda: "absent" in [one["RecordingStatus"] for one in events(the)])
        (shown,) = (await the.rest("GET", "/Recordings.json")).json()["recordings"]
        assert (shown["status"], shown["duration"]) == ("absent", "-1")
