"""The emulated Twilio's REST API: who may ask, what it answers, what it does to a call, its real errors."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from callflow.sandbox.twilio import ApiFault
from tests.conformance import schemas
from tests.sandbox.twilio_product import PUBLIC, STREAM, Product, product, response


def refused(answer: httpx.Response, status: int, code: int) -> None:
    assert answer.status_code == status, answer.text
    error = answer.json()
    assert (error["code"], error["status"]) == (code, status)
    assert error["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert error["message"]


async def update(the: Product, sid: str, **form: str) -> httpx.Response:
    return await the.rest("POST", f"/Calls/{sid}.json", data=form)


async def test_only_the_account_may_ask() -> None:
    async with product(STREAM) as the:
        for auth in (("", ""), (the.twilio.account_sid, "wrong"), ("wrong", the.twilio.auth_token)):
            refused(await the.rest("GET", "/Calls.json", auth=auth), 401, 20003)
        assert (await the.rest("GET", "/Calls.json", auth=the.twilio.exchange.api_key)).status_code == 200
        assert (await the.rest("GET", ".json")).json()["status"] == "active"
        refused(await the.rest("GET", "/Calls/CA0.json"), 404, 20404)
        refused(await the.rest("GET", "/Weather.json"), 404, 20404)


async def test_a_call_is_ended_and_then_it_is_not_found() -> None:
    async with product(STREAM) as the:
        call = await the.twilio.ring()
        await call.wait_streaming()
        ended = await update(the, call.sid, Status="completed")
        assert (ended.status_code, ended.json()["status"], ended.json()["duration"]) == (200, "completed", "0")
        assert call.ended_by == "product"
        await the.until(lambda: the.frames[-1]["event"] == "stop")
        refused(await update(the, call.sid, Status="completed"), 404, 20404)
        refused(await update(the, call.sid, Twiml=response("<Hangup/>")), 400, 21220)
        call.faults.ended_call_is_found = True
        assert (await update(the, call.sid, Status="completed")).status_code == 200
        assert (await the.rest("GET", f"/Calls/{call.sid}.json")).json()["status"] == "completed"


async def test_a_new_document_replaces_the_stream() -> None:
    async with product(STREAM, "<Say>Never.</Say>", other=response("<Say>Other.</Say>")) as the:
        call = await the.twilio.ring()
        first = await call.wait_streaming()
        pushed = await update(the, call.sid, Twiml=response("<Say>Pushed.</Say>", STREAM))
        assert pushed.json()["status"] == "in-progress"
        await the.until(lambda: len(call.streams) == 2 and call.streams[1].started)
        assert first.ended == "stopped"
        assert (await update(the, call.sid, Url=f"{PUBLIC}/other")).status_code == 200
        await call.wait_ended()
        assert call.spoken == ["Pushed.", "Other."]


async def test_a_call_that_is_not_answered_cannot_be_redirected() -> None:
    async with product("<Pause length='60'/>") as the:
        call = await the.twilio.ring()
        refused(await update(the, call.sid, Twiml=response("<Hangup/>")), 400, 21220)
        assert (await update(the, call.sid, Status="canceled")).json()["status"] == "canceled"


@pytest.mark.parametrize(
    "form",
    [
        {"Status": "ended"},
        {"Twiml": "<Response>"},
        {"Twiml": response("<Hangup/>"), "Url": f"{PUBLIC}/x"},
        {"Twiml": response("<Say>" + "x" * 4000 + "</Say>")},
        {"Weather": "fine"},
    ],
)
async def test_forms_that_twilio_would_refuse_or_ignore(form: dict[str, str]) -> None:
    async with product(STREAM) as the:
        call = await the.twilio.ring()
        await call.wait_streaming()
        refused(await update(the, call.sid, **form), 400, 20001)
        assert call.state == "answered"


async def test_outgoing_calls() -> None:
    async with product(status="", answered=response("<Say>Hello.</Say>")) as the:
        own = the.twilio.number("+15550100002").phone_number
        form = {"To": "+15550100077", "From": own, "Url": f"{PUBLIC}/answered", "StatusCallback": f"{PUBLIC}/told"}
        events = [("StatusCallbackEvent", name) for name in ("initiated", "ringing", "answered", "completed")]
        content = str(httpx.QueryParams([*form.items(), *events]))
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        made = await the.rest("POST", "/Calls.json", content=content, headers=headers)
        assert (made.status_code, made.json()["status"], made.json()["direction"]) == (
            201,
            "queued",
            "outbound-api",
        )
        call = the.twilio.calls[made.json()["sid"]]
        await call.wait_ended()
        await the.until(lambda: len(the.of("/told")) == 4)
        told = sorted(the.of("/told"), key=lambda one: int(one["SequenceNumber"]))
        assert [one["CallStatus"] for one in told] == ["initiated", "ringing", "in-progress", "completed"]
        assert the.of("/answered")[0]["CallStatus"] == "in-progress"
        for missing, code in (("To", 21201), ("From", 21213), ("Url", 21205)):
            left = {name: value for name, value in form.items() if name != missing}
            refused(await the.rest("POST", "/Calls.json", data=left), 400, code)
        refused(await the.rest("POST", "/Calls.json", data={**form, "From": "+15550109999"}), 400, 21210)
        refused(await the.rest("POST", "/Calls.json", data={**form, "To": "somebody"}), 400, 21211)
        the.twilio.exchange.callee = "busy"
        made = await the.rest("POST", "/Calls.json", data=form)
        await the.twilio.calls[made.json()["sid"]].wait_ended()
        assert the.twilio.calls[made.json()["sid"]].status == "busy"


async def test_numbers_are_shown_and_set() -> None:
    async with product(STREAM) as the:
        number = the.twilio.number()
        found = await the.rest("GET", "/IncomingPhoneNumbers.json", params={"PhoneNumber": number.phone_number})
        (shown,) = found.json()["incoming_phone_numbers"]
        assert (shown["sid"], shown["voice_url"], shown["trunk_sid"]) == (number.sid, f"{PUBLIC}/voice", None)
        path = f"/IncomingPhoneNumbers/{number.sid}.json"
        changed = await the.rest("POST", path, data={"StatusCallback": "", "VoiceUrl": f"{PUBLIC}/other"})
        assert changed.json()["status_callback"] == ""
        assert number.voice_url == f"{PUBLIC}/other"
        assert (await the.rest("GET", "/IncomingPhoneNumbers.json?PhoneNumber=%2B49")).json()[
            "incoming_phone_numbers"
        ] == []


async def test_faults_of_the_api() -> None:
    async with product(STREAM) as the:
        call = await the.twilio.ring()
        await call.wait_streaming()
        the.twilio.faults.api = [
            ApiFault("update", status=429, retry_after=3),
            ApiFault("update", lose_response=True),
        ]
        limited = await update(the, call.sid, Status="completed")
        refused(limited, 429, 20429)
        assert limited.headers["retry-after"] == "3"
        assert call.state == "answered"
        with pytest.raises(httpx.HTTPError):
            await update(the, call.sid, Status="completed")
        assert call.state == "ended"
        assert [command.status for command in the.twilio.commands] == [429, 0]


async def test_calls_and_numbers_are_shown_as_the_official_schema_says() -> None:
    schemas.folder()

    def right(name: str, shown: httpx.Response | dict[str, Any]) -> None:
        value = shown.json() if isinstance(shown, httpx.Response) else shown
        pointer = f"/components/schemas/api.v2010.account.{name}"
        assert schemas.complaints("twilio/twilio_api_v2010.trimmed.json", pointer, value) == []

    async with product(STREAM) as the:
        call = await the.twilio.ring()
        await call.wait_streaming()
        right("call", await the.rest("GET", f"/Calls/{call.sid}.json"))
        await call.hang_up()
        right("call", await the.rest("GET", f"/Calls/{call.sid}.json"))
        found = (await the.rest("GET", "/IncomingPhoneNumbers.json")).json()["incoming_phone_numbers"]
        right("incoming_phone_number", found[0])
