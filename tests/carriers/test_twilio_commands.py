"""What Twilio is told over REST, what it answers, and what is tried again."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import respx

from callflow.contracts import commands
from callflow.contracts.carrier import CarrierRequest
from callflow.contracts.commands import Command
from callflow.contracts.errors import CarrierError
from callflow.contracts.event import HUMAN
from carriers.twilio.twiml import CONNECTION_OVERRIDES
from tests.carriers.twilio_product import ACCOUNT, BASE, PUBLIC, SID, STREAM, TOKEN, order, twilio


CALL_URL = f"{BASE}/2010-04-01/Accounts/{ACCOUNT}/Calls/{SID}.json"
ENDED = httpx.Response(404, json={"code": 20404, "message": "not found", "status": 404})
NOT_LIVE = httpx.Response(400, json={"code": 21220, "message": "Call is not in-progress. Cannot redirect."})
FINE = httpx.Response(200, json={"sid": SID, "status": "in-progress"})


def told(
    command: Command, *answers: Any, status: str = "completed", **config: Any
) -> tuple[list[dict[str, str]], CarrierError | None]:
    """The forms that were sent, and what became of it. `status`: the call's, as Twilio tells it."""
    return told_of(order(command), *answers, status=status, **config)


def told_of(
    wanted: CarrierRequest, *answers: Any, status: str = "completed", **config: Any
) -> tuple[list[dict[str, str]], CarrierError | None]:

    async def main() -> tuple[list[dict[str, str]], CarrierError | None]:
        adapter = twilio(seconds=1.0, **config)
        failure = None
        with respx.mock(assert_all_called=False) as router:
            route = router.post(CALL_URL).mock(side_effect=list(answers or [FINE]))
            router.get(CALL_URL).respond(json={"status": status})
            try:
                await adapter.execute(wanted)
            except CarrierError as error:
                failure = error
            forms = [
                {name: values[0] for name, values in parse_qs(call.request.content.decode()).items()}
                for call in route.calls
            ]
            for call in route.calls:
                assert call.request.headers["content-type"] == "application/x-www-form-urlencoded"
        await adapter.close()
        return forms, failure

    return asyncio.run(main())


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carriers.common.http_client._wait", lambda state: 0.0)
    monkeypatch.setattr("carriers.twilio.once_answered._PAUSES", [0.0] * 3)


def test_hanging_up() -> None:
    assert told(commands.Hangup(), FINE) == ([{"Status": "completed"}], None)


def test_rejecting_what_no_document_can_reject_any_more() -> None:
    assert told(commands.Reject(), FINE) == ([{"Status": "completed"}], None)


@pytest.mark.parametrize("answer", [ENDED, NOT_LIVE, FINE], ids=["404", "21220", "200"])
def test_hanging_up_a_call_that_has_ended_is_no_failure(answer: httpx.Response) -> None:
    assert told(commands.Hangup(), answer)[1] is None


def test_another_stream() -> None:
    (form,), failure = told(commands.StartStream(), FINE)
    assert failure is None
    assert set(form) == {"Twiml"}
    assert f'<Stream url="{STREAM}"' in form["Twiml"]
    assert form["Twiml"].endswith("</Redirect></Response>")


def test_a_caller_who_came_over_sip_is_referred_and_nobody_else_is() -> None:
    desk = "sip:desk@pbx.example?X-A=1&X-B=2"

    async def main(caller: str) -> str:
        adapter = twilio()
        with respx.mock as router:
            route = router.post(CALL_URL).mock(return_value=FINE)
            try:
                await adapter.execute(replace(order(commands.Refer(address=desk)), from_number=caller))
            finally:
                await adapter.close()
            return str(parse_qs(route.calls[0].request.content.decode())["Twiml"][0])

    sent = asyncio.run(main("sip:ann@pbx.example"))
    written = desk.replace("&", "&amp;")
    patient = CONNECTION_OVERRIDES.replace("&", "&amp;")
    assert f'<Refer action="{PUBLIC}/twilio/refer{patient}" method="POST"><Sip>{written}</Sip></Refer>' in sent
    with pytest.raises(CarrierError, match="did not come over SIP"):
        asyncio.run(main("+15550100001"))


def test_listening_starts_a_stream_of_both_tracks_beside_the_document() -> None:
    async def main() -> dict[str, list[str]]:
        adapter = twilio()
        with respx.mock as router:
            route = router.post(CALL_URL.replace(".json", "/Streams.json")).respond(201, json={"sid": "MZ1"})
            await adapter.execute(order(commands.Listen()))
            await adapter.close()
            return parse_qs(route.calls[0].request.content.decode())

    assert asyncio.run(main()) == {
        "Url": [STREAM], "Name": ["stream-1"], "Track": ["both_tracks"],
        "StatusCallback": [f"{PUBLIC}/twilio/stream"], "StatusCallbackMethod": ["POST"],
    }  # fmt: skip


def test_what_both_are_told_is_said_before_they_are_joined() -> None:
    join = replace(order(commands.Join()), text="It is written down.")
    (form,), failure = told_of(join)
    assert failure is None
    assert form["Twiml"].index("It is written down.</Say>") < form["Twiml"].index("<Dial><Conference")


def test_the_last_sentence() -> None:
    (form,), failure = told(commands.Speak(sentence="sorry"), FINE)
    assert failure is None
    assert ">I am sorry.</Say><Hangup /></Response>" in form["Twiml"]


def test_no_command_answers_a_call_because_the_document_does() -> None:
    assert told(commands.Answer()) == ([], None)


def test_last_words_of_a_call_that_we_end_and_a_plain_end_where_they_cannot_be_said() -> None:
    (form,), failure = told(commands.Hangup(), FINE, after_text="Bye.")
    assert failure is None
    assert ">Bye.</Say><Hangup />" in form["Twiml"]
    (form,), failure = told(commands.Hangup(leg=HUMAN), FINE, after_text="Bye.")
    assert "Bye." not in json.dumps(form), "a colleague hears what is meant for callers"
    forms, failure = told(commands.Hangup(), NOT_LIVE, FINE, after_text="Bye.")
    assert failure is None
    assert forms[1] == {"Status": "completed"}


@pytest.mark.parametrize("answer", [ENDED, NOT_LIVE], ids=["404", "21220"])
@pytest.mark.parametrize("command", [commands.StartStream(), commands.Speak()], ids=lambda one: one.name)
def test_a_call_that_has_ended_is_gone(command: Command, answer: httpx.Response) -> None:
    forms, failure = told(command, answer)
    assert len(forms) == 1
    assert failure is not None
    assert failure.gone


@pytest.mark.parametrize("status", ["ringing", "queued", "in-progress"])
@pytest.mark.parametrize("command", [commands.StartStream(), commands.Speak()], ids=lambda one: one.name)
def test_a_call_that_is_still_being_answered_is_not_over(command: Command, status: str) -> None:
    """Its document is handed over before it is in progress, and until then it is refused as an ended one is."""
    forms, failure = told(command, NOT_LIVE, NOT_LIVE, FINE, status=status)
    assert (len(forms), failure) == (3, None)
    forms, failure = told(command, *[NOT_LIVE] * 4, status=status)
    assert len(forms) == 4
    assert failure is not None
    assert not failure.gone, "the caller who waits there would not even be hung up"


def test_a_recording_is_asked_for_again_while_its_call_is_being_answered() -> None:
    async def main() -> int:
        adapter = twilio(seconds=1.0)
        with respx.mock as router:
            route = router.post(f"{CALL_URL.removesuffix('.json')}/Recordings.json")
            route.side_effect = [NOT_LIVE, httpx.Response(201, json={})]
            router.get(CALL_URL).respond(json={"status": "ringing"})
            await adapter.execute(order(commands.Record()))
        await adapter.close()
        return route.call_count

    assert asyncio.run(main()) == 2


def test_an_end_does_not_wait_until_a_call_is_answered() -> None:
    forms, failure = told(commands.Hangup(), NOT_LIVE, FINE, status="ringing", after_text="Bye.")
    assert failure is None
    assert [set(form) for form in forms] == [{"Twiml"}, {"Status"}]


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(429, json={"code": 20429}),
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("late"),
        httpx.PoolTimeout("none is free"),
    ],
    ids=["429", "refused", "no connection", "too many connections"],
)
@pytest.mark.parametrize(
    "command", [commands.Hangup(), commands.Speak(), commands.StartStream()], ids=lambda one: one.name
)
def test_what_certainly_had_no_effect_is_tried_again(command: Command, trouble: Any) -> None:
    forms, failure = told(command, trouble, trouble, FINE)
    assert (len(forms), failure) == (3, None)
    assert forms[0] == forms[2]


def test_an_end_is_asked_for_more_often_than_anything_else() -> None:
    """Giving up on it leaves somebody on the line."""
    trouble = [httpx.Response(503)] * 6
    assert told(commands.Hangup(), *trouble, FINE)[1] is None
    forms, failure = told(commands.Speak(), *trouble, FINE)
    assert len(forms) < 7
    assert failure is not None


@pytest.mark.parametrize(
    "trouble", [httpx.Response(503, text="<html>"), httpx.ReadTimeout("late")], ids=["503", "lost"]
)
def test_a_lost_answer_is_tried_again_only_where_twice_does_no_harm(trouble: Any) -> None:
    assert told(commands.Hangup(), trouble, FINE)[1] is None
    forms, failure = told(commands.StartStream(), trouble, FINE)
    assert len(forms) == 1, "a second document would end the stream that the first one opened"
    assert failure is not None
    assert not failure.gone


@pytest.mark.parametrize("status", [400, 401, 403])
def test_no_other_refusal_is_tried_again(status: int) -> None:
    forms, failure = told(commands.Hangup(), httpx.Response(status, json={"code": 20003, "message": "Authenticate"}))
    assert len(forms) == 1
    assert failure is not None
    assert (failure.status, failure.code, failure.gone, failure.retry) == (status, "20003", False, False)


@pytest.mark.parametrize("body", ["", "null", "[]", '"x"', "<html>", '{"code": null}'])
def test_an_answer_in_any_form_is_an_error_with_its_status(body: str) -> None:
    _, failure = told(commands.Hangup(), httpx.Response(400, text=body))
    assert failure is not None
    assert failure.status == 400


@pytest.mark.parametrize("body", ["", "404 page not found", '{"message": "Not Found"}', "<html>", "[1]"])
def test_a_404_of_a_wrong_address_is_not_the_end_of_a_call(body: str) -> None:
    _, failure = told(commands.Hangup(), httpx.Response(404, text=body))
    assert failure is not None
    assert not failure.gone
    assert "does TWILIO_API_BASE lead to its API?" in str(failure)
    assert told(commands.Hangup(), httpx.Response(404, json={"message": "not found", "status": 404}))[1] is None


@pytest.mark.parametrize(
    ("config", "user"),
    [
        ({}, f"{ACCOUNT}:{TOKEN}"),
        ({"auth_tokens": ["new", "old"]}, f"{ACCOUNT}:new"),
        ({"api_key": "SK1", "api_secret": "hush"}, "SK1:hush"),
    ],
)
def test_who_commands(config: dict[str, Any], user: str) -> None:
    async def main() -> str:
        adapter = twilio(**config)
        with respx.mock as router:
            route = router.get(CALL_URL).respond(json={"status": "completed", "duration": "17"})
            assert (await adapter.look_up(SID))["duration"] == "17"
        await adapter.close()
        return str(route.calls[0].request.headers["authorization"])

    assert asyncio.run(main()) == "Basic " + base64.b64encode(user.encode()).decode()


async def test_a_call_that_is_unknown_is_gone() -> None:
    adapter = twilio()
    with respx.mock as router:
        router.get(CALL_URL).mock(return_value=ENDED)
        with pytest.raises(CarrierError) as raised:
            await adapter.look_up(SID)
    assert raised.value.gone
    await adapter.close()


async def test_ids_of_a_caller_do_not_leave_their_place_in_the_path() -> None:
    adapter = twilio()
    with respx.mock as router:
        route = router.route().respond(json={})
        await adapter.look_up("../../Accounts?x=#")
    assert route.calls[0].request.url.raw_path.endswith(b"/Calls/..%2F..%2FAccounts%3Fx%3D%23.json")
    await adapter.close()


@pytest.mark.parametrize(
    ("command", "path", "form"),
    [
        (
            commands.Record(),
            "",
            {
                "RecordingChannels": "dual",
                "RecordingStatusCallbackMethod": "POST",
                "RecordingStatusCallbackEvent": "in-progress completed absent",
            },
        ),
        (commands.Record(on=False), "/Twilio.CURRENT", {"Status": "stopped"}),
        (commands.PauseRecord(), "/Twilio.CURRENT", {"Status": "paused", "PauseBehavior": "silence"}),
        (commands.PauseRecord(on=False), "/Twilio.CURRENT", {"Status": "in-progress"}),
    ],
)
def test_recording(command: Command, path: str, form: dict[str, str]) -> None:
    async def main() -> dict[str, list[str]]:
        adapter = twilio(seconds=1.0)
        with respx.mock as router:
            route = router.post(f"{CALL_URL.removesuffix('.json')}/Recordings{path}.json").respond(201, json={})
            await adapter.execute(order(command))
        await adapter.close()
        (call,) = route.calls
        return parse_qs(call.request.content.decode())

    sent = {name: values[0] for name, values in asyncio.run(main()).items()}
    told = sent.pop("RecordingStatusCallback", "")
    assert sent == form
    assert told.startswith(f"{PUBLIC}/twilio/recording?call=") == (path == "")
