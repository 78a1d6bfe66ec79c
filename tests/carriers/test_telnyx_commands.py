"""Our commands as Telnyx sees them, and Telnyx's answers as we read them."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
import respx

from callflow.contracts import command_fence, commands
from callflow.contracts.carrier import CarrierRequest
from callflow.contracts.commands import Command
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import LegIds
from carriers.common import http_client
from carriers.telnyx.errors import read_error
from tests.carriers.product import BASE, CALL, COMMAND, CONTROL, ESCAPED, order, telnyx


COMMON = {"command_id": COMMAND, "client_state": base64.b64encode(CALL.encode()).decode()}
STREAM = {
    "stream_url": "wss://app.test/media-stream/TOKEN",
    "stream_track": "inbound_track",
    "stream_codec": "PCMU",
    "stream_bidirectional_mode": "rtp",
    "stream_bidirectional_codec": "PCMU",
    "stream_bidirectional_target_legs": "self",
}
BODIES: list[tuple[str, Command, dict[str, Any]]] = [
    (
        "answer",
        commands.Answer(),
        {
            **STREAM,
            "send_silence_when_idle": True,
            "webhook_url": "https://app.test/webhooks",
            "webhook_url_method": "POST",
        },
    ),
    ("streaming_start", commands.StartStream(), {**STREAM, "stream_auth_token": "SECRET"}),
    (
        "speak",
        commands.Speak(sentence="sorry"),
        {"payload": "I am sorry.", "voice": "AWS.Polly.Joanna-Neural", "language": "en-US"},
    ),
    ("reject", commands.Reject(cause="busy"), {"cause": "USER_BUSY"}),
    ("reject", commands.Reject(cause="rejected"), {"cause": "CALL_REJECTED"}),
    ("hangup", commands.Hangup(), {}),
    ("record_start", commands.Record(), {"format": "mp3", "channels": "dual"}),
    ("record_stop", commands.Record(on=False), {}),
    ("record_pause", commands.PauseRecord(), {}),
    ("record_resume", commands.PauseRecord(on=False), {}),
    (
        "answer",
        commands.Answer(record=True),
        {
            **STREAM,
            "send_silence_when_idle": True,
            "webhook_url": "https://app.test/webhooks",
            "webhook_url_method": "POST",
            "record": "record-from-answer",
            "record_channels": "dual",
            "record_format": "mp3",
        },
    ),
    (
        "answer",
        commands.Answer(streamless=True),
        {"webhook_url": "https://app.test/webhooks", "webhook_url_method": "POST"},
    ),
    ("send_dtmf", commands.SendDtmf(id="1"), {"digits": "12w#"}),
    ("speak", commands.Announce(id="2"), {"payload": "12w#", "voice": "AWS.Polly.Joanna-Neural", "language": "en-US"}),
    (
        "speak",
        commands.Announce(id="2", both=True),
        {"payload": "12w#", "voice": "AWS.Polly.Joanna-Neural", "language": "en-US", "target_legs": "both"},
    ),
    (
        "streaming_start",
        commands.Listen(),
        {
            "stream_url": STREAM["stream_url"],
            "stream_track": "both_tracks",
            "stream_codec": "PCMU",
            "stream_auth_token": "SECRET",
        },
    ),
    ("refer", commands.Refer(address="sip:desk@pbx.example"), {"sip_address": "sip:desk@pbx.example"}),
    ("suppression_start", commands.SuppressNoise(), {"direction": "inbound"}),
]
IDS = [f"{action}-{number}" for number, (action, _, _) in enumerate(BODIES)]
LAST_WORDS = [("hangup", commands.Hangup()), ("reject", commands.Reject())]
OTHERS = [("answer", commands.Answer()), ("streaming_start", commands.StartStream()), ("speak", commands.Speak())]


def execute(wanted: CarrierRequest, **changes: Any) -> None:
    async def inner() -> None:
        adapter = telnyx(**changes)
        try:
            await adapter.execute(wanted)
        finally:
            await adapter.close()

    asyncio.run(inner())


def url(action: str) -> str:
    return f"{BASE}/calls/{ESCAPED}/actions/{action}"


def refusal(code: str, title: str = "A title") -> dict[str, Any]:
    return {"errors": [{"code": code, "title": title, "detail": "d"}]}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "_wait", lambda state: 0.0)


@pytest.mark.parametrize(("action", "command", "body"), BODIES, ids=IDS)
@respx.mock
def test_the_body_of_a_command(action: str, command: Command, body: dict[str, Any]) -> None:
    route = respx.route(method="POST").respond(json={"data": {"result": "ok"}})
    execute(order(command))
    (call,) = route.calls
    assert json.loads(call.request.content) == COMMON | body
    assert str(call.request.url) == url(action), "the call_control_id must be percent-encoded, colon and slash too"
    assert call.request.headers["authorization"] == "Bearer KEY-of-the-tests"


@respx.mock
def test_what_the_settings_decide() -> None:
    route = respx.route().respond(json={})
    settings = {"target_legs": "both", "voice": "Telnyx.KokoroTTS.af", "language": "de-DE", "sentences": {}}
    execute(order(commands.Answer()), **settings)
    execute(order(commands.Speak(sentence="sorry")), **settings)
    answer, speak = (json.loads(call.request.content) for call in route.calls)
    assert answer["stream_bidirectional_target_legs"] == "both"
    assert (speak["voice"], speak["language"]) == ("Telnyx.KokoroTTS.af", "de-DE")
    assert speak["payload"], "a sentence without a text must still say something"


@pytest.mark.parametrize(
    ("language", "sent"),
    [
        ("de", "de-DE"), ("de-AT", "de-DE"), ("en", "en-US"), ("en-gb", "en-GB"), ("pt_PT", "pt-PT"),
        ("zh-CN", "cmn-CN"),
        ("en-GB-WLS", "en-GB-WLS"), ("eo", None),
    ],
)  # fmt: skip
@respx.mock
def test_a_language_that_telnyx_does_not_have_leaves_nobody_without_a_word(
    language: str, sent: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It refuses to speak at all in a language that is not on its list."""
    route = respx.route().respond(json={})
    execute(order(commands.Speak(sentence="sorry")), language=language)
    assert json.loads(route.calls[0].request.content).get("language") == sent
    assert ("CARRIER_LANGUAGE" in caplog.text) == (sent != language)


@respx.mock
def test_the_public_address_is_asked_for_at_every_answer() -> None:
    """A tunnel may come up, or move, after the adapter was made."""
    route = respx.route().respond(json={})
    addresses = iter(["https://one.test", "https://two.test"])

    async def inner() -> None:
        adapter = telnyx(address=lambda: next(addresses))
        await adapter.execute(order(commands.Answer()))
        await adapter.execute(order(commands.Answer()))
        await adapter.close()

    asyncio.run(inner())
    webhooks = [json.loads(call.request.content)["webhook_url"] for call in route.calls]
    assert webhooks == ["https://one.test/webhooks", "https://two.test/webhooks"]


@respx.mock
def test_a_call_without_a_control_id_is_told_nothing() -> None:
    """The path would name no call, and its 404 would pass for a hangup that succeeded."""
    route = respx.route().respond(404)
    for _, command in LAST_WORDS + OTHERS:
        with pytest.raises(CarrierError) as caught:
            execute(order(command, control=""))
        assert not caught.value.gone
    assert route.call_count == 0


def test_a_command_that_telnyx_does_not_know() -> None:
    with pytest.raises(CarrierError, match="greet"):
        execute(CarrierRequest(commands.Greet(), COMMAND, CALL, LegIds(CONTROL)))


@pytest.mark.parametrize("stopped", [200, 422, 500])
@pytest.mark.parametrize("stream", ["", "1edb94f9-7ef0-4150-b502-e0ebadfd9491"])
@respx.mock
def test_the_stream_of_another_node_is_stopped_before_ours_is_asked_for(stream: str, stopped: int) -> None:
    """Telnyx has one stream a call. What fails here, the command shows. A request without the stream's id would stop
    ours, if it came late."""
    stop = respx.post(url("streaming_stop")).respond(stopped, json=refusal("90048") if stopped != 200 else {})
    start = respx.post(url("streaming_start")).respond(json={})
    execute(replace(order(commands.StartStream()), replaces_stream=stream))
    assert [call.request.url.path.rsplit("/", 1)[1] for call in respx.calls] == ["streaming_stop", "streaming_start"]
    told = [json.loads(route.calls[0].request.content) for route in (stop, start)]
    assert told[1]["command_id"] == COMMAND
    assert told[0]["command_id"] != COMMAND
    assert told[0].get("stream_id", "") == stream


@respx.mock
def test_a_stream_that_telnyx_still_counts_is_stopped_and_asked_for_anew() -> None:
    """As another command each time: the id of the refused one would be answered with its refusal again."""
    start = respx.post(url("streaming_start"))
    start.side_effect = [httpx.Response(422, json=refusal("90045")), httpx.Response(200, json={})] * 2
    stop = respx.post(url("streaming_stop")).respond(json={})
    for _ in range(2):
        execute(order(commands.StartStream()))
    told = [json.loads(call.request.content) for route in (start, stop) for call in route.calls]
    ids = [each["command_id"] for each in told]
    first, again, first_repeated, again_repeated, stopped, stopped_repeated = ids
    assert (first, again, stopped) == (first_repeated, again_repeated, stopped_repeated), "a repeat is known as one"
    assert len({first, again, stopped}) == 3
    assert told[0] | {"command_id": again} == told[1]


@respx.mock
def test_the_stream_of_the_process_that_has_the_call_meanwhile_is_not_stopped() -> None:
    """This process is stopped before it reads the refusal, and goes on when another one has a stream of its own."""
    now = [100.0]

    async def elsewhere(call: str) -> bool:
        return False

    def refused_late(_: httpx.Request) -> httpx.Response:
        now[0] += 10.0
        return httpx.Response(422, json=refusal("90045"))

    respx.post(url("streaming_start")).mock(side_effect=refused_late)
    stop = respx.post(url("streaming_stop")).respond(json={})
    with command_fence.fenced(elsewhere, "c1", lambda: now[0]), pytest.raises(CarrierError, match="another node"):
        execute(order(commands.StartStream()))
    assert stop.call_count == 0


@respx.mock
def test_what_a_stream_is_in_the_way_of_is_asked_for_again_as_itself() -> None:
    refused = httpx.Response(422, json=refusal("90045"))
    transfer = respx.post(url("transfer"))
    transfer.side_effect = [refused, httpx.Response(200, json={})]
    stop = respx.post(url("streaming_stop")).respond(json={})
    execute(order(commands.Transfer(number="+15550100010")))
    first, again = (json.loads(call.request.content) for call in transfer.calls)
    assert first | {"command_id": again["command_id"]} == again
    assert len({first["command_id"], again["command_id"]}) == 2
    assert stop.call_count == 1


@respx.mock
def test_the_agents_stream_is_not_stopped_for_what_goes_on_beside_it() -> None:
    respx.post(url("record_start")).respond(422, json=refusal("90045"))
    with pytest.raises(CarrierError, match="90045"):
        execute(order(commands.Record()))
    assert respx.calls.call_count == 1


# Trying again

TROUBLE: dict[str, Any] = {
    "connect error": httpx.ConnectError("refused"),
    "read timeout": httpx.ReadTimeout("late"),
    "408": httpx.Response(408),
    "429": httpx.Response(429, headers={"Retry-After": "1"}, json=refusal("10011")),
    "500": httpx.Response(500, json=refusal("10007")),
    "503": httpx.Response(503, text="upstream"),
}


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize(("action", "command"), LAST_WORDS + OTHERS)
@respx.mock
def test_a_command_is_repeated_under_its_id(action: str, command: Command, trouble: str) -> None:
    route = respx.post(url(action))
    route.side_effect = [TROUBLE[trouble], TROUBLE[trouble], httpx.Response(200, json={})]
    execute(order(command))
    bodies = [json.loads(call.request.content) for call in route.calls]
    assert [body["command_id"] for body in bodies] == [COMMAND] * 3
    assert bodies[0] == bodies[1] == bodies[2]


@pytest.mark.parametrize(("action", "command"), LAST_WORDS + OTHERS)
@respx.mock
def test_tries_are_bounded_and_last_words_get_more_of_them(action: str, command: Command) -> None:
    route = respx.post(url(action)).respond(500)
    with pytest.raises(CarrierError) as caught:
        execute(order(command), retries=2)
    assert caught.value.retry
    assert not caught.value.gone
    assert route.call_count == (7 if (action, command) in LAST_WORDS else 3)


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422])
@pytest.mark.parametrize(("action", "command"), LAST_WORDS + OTHERS)
@respx.mock
def test_a_refusal_is_final(action: str, command: Command, status: int) -> None:
    route = respx.post(url(action)).respond(status, json=refusal("90034", "Call not answered yet"))
    with pytest.raises(CarrierError) as caught:
        execute(order(command))
    assert route.call_count == 1
    error = caught.value
    assert (error.status, error.code, error.gone, error.retry) == (status, "90034", False, False)
    assert "90034 Call not answered yet" in str(error)


# The call is over

OVER = {"90018": (422, refusal("90018", "Call has already ended")), "404": (404, refusal("10005"))}


@pytest.mark.parametrize("answer", OVER)
@pytest.mark.parametrize(("action", "command"), LAST_WORDS)
@respx.mock
def test_ending_a_call_that_is_over_has_succeeded(action: str, command: Command, answer: str) -> None:
    status, body = OVER[answer]
    route = respx.post(url(action)).respond(status, json=body)
    execute(order(command))
    assert route.call_count == 1


@pytest.mark.parametrize("answer", OVER)
@pytest.mark.parametrize(("action", "command"), OTHERS)
@respx.mock
def test_any_other_command_to_a_call_that_is_over_says_so(action: str, command: Command, answer: str) -> None:
    status, body = OVER[answer]
    route = respx.post(url(action)).respond(status, json=body)
    with pytest.raises(CarrierError) as caught:
        execute(order(command))
    assert caught.value.gone
    assert not caught.value.retry
    assert route.call_count == 1


@pytest.mark.parametrize("answer", OVER)
@respx.mock
def test_a_person_who_has_hung_up_before_the_bridge_does_not_end_the_callers_call(answer: str) -> None:
    """The bridge is asked of the caller's leg, and what has ended is the leg that its body names."""
    status, body = OVER[answer]
    body["errors"][0]["source"] = {"pointer": "/call_control_id"}
    stop = respx.post(url("streaming_stop")).respond(json={})
    respx.post(f"{BASE}/calls/v3%3Aperson/actions/playback_stop").respond(json={})
    bridge = respx.post(url("bridge")).respond(status, json=body)
    with pytest.raises(CarrierError) as caught:
        execute(replace(order(commands.Join()), other=LegIds("v3:person")))
    assert not caught.value.gone, "nobody would take the caller back, or hang up"
    stop.respond(status, json=body)
    with pytest.raises(CarrierError) as caught:
        execute(replace(order(commands.Join()), other=LegIds("v3:person")))
    assert caught.value.gone, "the caller has hung up, too"
    assert bridge.call_count == 1


@pytest.mark.parametrize("status", [200, 422])
@respx.mock
def test_a_person_who_accepts_early_does_not_go_on_hearing_the_briefing(status: int) -> None:
    """Telnyx queues what it is to say, and a bridge does not stop it."""
    person = f"{BASE}/calls/v3%3Aperson/actions"
    routes = [respx.post(f"{one}").respond(json={}) for one in (url("streaming_stop"), url("bridge"))]
    stop = respx.post(f"{person}/playback_stop").respond(status, json=refusal("10015"))
    execute(replace(order(commands.Join()), other=LegIds("v3:person")))
    paths = [str(call.request.url).rpartition("/")[2] for call in respx.calls]
    assert paths == ["streaming_stop", "playback_stop", "bridge"]
    told = json.loads(stop.calls[0].request.content)
    assert base64.b64decode(told["client_state"]).decode() == f"{CALL}:human", "the leg would lose whose it is"
    assert all(route.called for route in routes), "both are joined, whatever becomes of the briefing"


@pytest.mark.parametrize("status", [400, 403])
@respx.mock
def test_the_code_of_an_ended_call_counts_only_with_its_status(status: int) -> None:
    respx.post(url("hangup")).respond(status, json=refusal("90018"))
    with pytest.raises(CarrierError) as caught:
        execute(order(commands.Hangup()))
    assert not caught.value.gone


# Answers that are not Telnyx's

STRANGE: list[bytes] = [
    b"",
    b"<html>Bad Gateway</html>",
    b"\xff\xfe",
    b"[" * 100_000,
    b"null",
    b"7",
    b"[]",
    b"{}",
    b'{"errors": null}',
    b'{"errors": []}',
    b'{"errors": [null]}',
    b'{"errors": ["90018"]}',
    b'{"errors": {"code": "90018"}}',
    b'{"errors": 5}',
]


@pytest.mark.parametrize("content", STRANGE, ids=range(len(STRANGE)))
@pytest.mark.parametrize("status", [400, 404, 422, 500])
def test_an_error_without_telnyxs_shape_is_judged_by_its_status(status: int, content: bytes) -> None:
    error = read_error(httpx.Response(status, content=content))
    assert (error.status, error.gone) == (status, False)
    assert str(status) in str(error)


@pytest.mark.parametrize("content", [b"", b"404 page not found", b'{"detail": "Not Found"}', b"<html>", b"[1]"])
def test_a_404_of_a_wrong_address_is_not_the_end_of_a_call(content: bytes) -> None:
    """TELNYX_API_BASE without its /v2: every call counted as over, and its caller rang on."""
    error = read_error(httpx.Response(404, content=content))
    assert not error.gone
    assert "does TELNYX_API_BASE lead to its API?" in str(error)
    assert read_error(httpx.Response(404, json=refusal("10005"))).gone
    assert read_error(httpx.Response(404, json={"errors": [{"title": "Resource not found"}]})).gone


def test_a_code_that_is_a_number_is_read_all_the_same() -> None:
    assert read_error(httpx.Response(422, json={"errors": [{"code": 90018}]})).gone


@respx.mock
def test_a_page_from_a_proxy_is_an_error_of_the_carrier() -> None:
    respx.post(url("answer")).respond(403, html="<html>blocked</html>")
    with pytest.raises(CarrierError, match="403"):
        execute(order(commands.Answer()))
