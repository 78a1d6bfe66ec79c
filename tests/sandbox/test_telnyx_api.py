"""The API is as strict as the carrier's."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from callflow.sandbox.telnyx import CONNECTION_ID, ApiFault, Faults, Timing
from tests.sandbox.telnyx_product import Product, error_of, product, run


STATE = base64.b64encode(b"state").decode()

REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    # action, body, code, pointer; for an answered leg
    ("hangup", {"comand_id": "x"}, "10015", "/comand_id"),
    ("hangup", {"client_state": "not base64!"}, "90017", "/client_state"),
    ("hangup", {"client_state": 7}, "10015", "/client_state"),
    ("hangup", {"custom_headers": [{"name": "X-A"}]}, "10015", "/custom_headers"),
    ("speak", {"voice": "AWS.Polly.Joanna"}, "10004", "/payload"),
    ("speak", {"payload": "Hello"}, "10004", "/voice"),
    ("speak", {"payload": "", "voice": "AWS.Polly.Joanna"}, "10004", "/payload"),
    ("speak", {"payload": "x" * 3001, "voice": "AWS.Polly.Joanna"}, "10033", "/payload"),
    ("speak", {"payload": "x", "voice": "AWS.Polly.Joanna", "language": "tlh"}, "10032", "/language"),
    ("streaming_start", {}, "10004", "/stream_url"),
    ("streaming_start", {"stream_url": "ws://x", "stream_codec": "pcmu"}, "10032", "/stream_codec"),
    (
        "streaming_start",
        {"stream_url": "ws://x", "stream_bidirectional_mode": "RTP"},
        "10032",
        "/stream_bidirectional_mode",
    ),
    ("streaming_start", {"stream_bidirectional_sampling_rate": "8000"}, "10015", "/stream_bidirectional_sampling_rate"),
    ("streaming_start", {"stream_bidirectional_sampling_rate": 11025}, "10032", "/stream_bidirectional_sampling_rate"),
    ("streaming_start", {"stream_auth_token": "x" * 4001}, "10033", "/stream_auth_token"),
    ("streaming_start", {"send_silence_when_idle": True}, "10015", "/send_silence_when_idle"),
    ("streaming_stop", {"stream_id": "not-a-uuid"}, "10015", "/stream_id"),
    ("record_start", {"format": "wav"}, "10004", "/channels"),
    ("record_start", {"format": "ogg", "channels": "dual"}, "10032", "/format"),
    ("record_start", {"format": "wav", "channels": "dual", "play_beep": "yes"}, "10015", "/play_beep"),
    ("send_dtmf", {}, "10004", "/digits"),
    ("send_dtmf", {"digits": "12x"}, "10015", "/digits"),
    ("send_dtmf", {"digits": "12", "duration_millis": 50}, "10033", "/duration_millis"),
    ("send_dtmf", {"digits": "12", "duration_millis": True}, "10015", "/duration_millis"),
    ("transfer", {"to": "5550100003"}, "10016", "/to"),
    ("transfer", {"to": "+15550100003", "timeout_secs": 4}, "10033", "/timeout_secs"),
    ("transfer", {"to": "+15550100003", "webhook_urls": {"call.exploded": "http://x"}}, "90057", "/webhook_urls"),
    ("client_state_update", {}, "10004", "/client_state"),
]
REFUSED_FOR_ANSWER: list[tuple[dict[str, Any], str, str]] = [
    # Documented for streaming_start and dial only.
    ({"stream_auth_token": "x"}, "10015", "/stream_auth_token"),
    ({"stream_bidirectional_sampling_rate": 8000}, "10015", "/stream_bidirectional_sampling_rate"),
    ({"custom_parameters": []}, "10015", "/custom_parameters"),
    ({"stream_track": "inbound"}, "10032", "/stream_track"),
    ({"stream_url": 5}, "10015", "/stream_url"),
    ({"billing_group_id": "x"}, "10015", "/billing_group_id"),
]


def test_bad_parameters_are_refused_with_code_and_pointer() -> None:
    async def body() -> None:
        async with product() as app:
            call = await app.telnyx.ring()
            for bad, code, pointer in REFUSED_FOR_ANSWER:
                assert error_of(await app.command(call, "answer", **bad)) == (422, code, pointer), bad
            assert (await app.command(call, "answer")).json() == {"data": {"result": "ok"}}
            await call.wait_answered()
            for action, bad, code, pointer in REFUSED:
                assert error_of(await app.command(call, action, **bad)) == (422, code, pointer), (action, bad)
            assert call.state == "answered"
            assert app.telnyx.commands[-1].status == 422
            assert app.telnyx.commands[-1].response["errors"][0]["code"] == "10004"

    run(body)


def test_who_asks_and_what_for() -> None:
    async def body() -> None:
        async with product() as app:
            call = await app.telnyx.ring()
            path = f"/calls/{call.control_id}/actions/answer"
            for headers in ({"Authorization": "Bearer wrong"}, {"Authorization": ""}):
                assert error_of(await app.http.post(path, json={}, headers=headers))[:2] == (401, "10009")
            assert error_of(await app.http.post(path, content=b"{"))[:2] == (400, "10015")
            assert error_of(await app.http.post(path, content=b"[]"))[:2] == (400, "10015")
            assert error_of(await app.http.put(path, json={}))[:2] == (404, "10005")
            assert error_of(await app.command(call, "anwser"))[:2] == (404, "10005")
            assert error_of(await app.command("nonsense", "answer")) == (422, "90015", "/call_control_id")
            assert error_of(await app.command("v3:unheard-of", "answer"))[:2] == (404, "10005")
            escaped = await app.http.post(path.replace(":", "%3A"))  # no body at all
            assert escaped.status_code == 200
            assert [each.status for each in app.telnyx.commands] == [401, 401, 400, 400, 404, 404, 422, 404, 200]
            assert app.telnyx.commands[-1].action == "answer"
            assert app.telnyx.commands[-1].call_control_id == call.control_id

    run(body)


def test_what_the_state_of_the_call_allows() -> None:
    async def body() -> None:
        speak = {"payload": "Hello", "voice": "AWS.Polly.Joanna"}
        async with product() as app:
            call = await app.telnyx.ring()
            for action, content in (("speak", speak), ("streaming_start", app.streaming()), ("streaming_stop", {})):
                assert error_of(await app.command(call, action, **content))[:2] == (422, "90034")
            assert error_of(await app.command(call, "record_start", format="wav", channels="dual"))[1] == "90020"
            await app.command(call, "answer", **app.streaming())
            assert error_of(await app.command(call, "answer"))[0] == 422
            await call.wait_streaming()
            assert error_of(await app.command(call, "reject", cause="USER_BUSY"))[0] == 422
            assert error_of(await app.command(call, "streaming_start", **app.streaming()))[:2] == (422, "90045")
            assert (await app.command(call, "streaming_stop")).status_code == 200
            assert error_of(await app.command(call, "streaming_stop"))[:2] == (422, "90048")
            assert (await app.command(call, "hangup")).status_code == 200
            for action, content in (("hangup", {}), ("speak", speak), ("speak", {"nonsense": 1})):
                assert error_of(await app.command(call, action, **content))[:2] == (422, "90018")

    run(body)


def test_an_ended_call_is_forgotten_in_the_end() -> None:
    async def body() -> None:
        async with product(timing=Timing(forget_call_s=0)) as app:
            call = await app.telnyx.ring()
            await call.hang_up()
            assert error_of(await app.command(call, "hangup"))[0] == 404

    run(body)


def test_the_same_command_id_is_ignored_within_its_window() -> None:
    async def body() -> None:
        timing = Timing(answer_s=0.01, hangup_webhook_s=0.01, speak_s_per_char=0.001)
        async with product(timing=timing) as app:
            call = await app.telnyx.ring()
            other = await app.telnyx.ring()
            for _ in range(2):
                assert (await app.command(call, "answer", command_id="one")).json() == {"data": {"result": "ok"}}
            assert (await app.command(other, "answer", command_id="one")).status_code == 200
            assert [each.duplicate for each in app.telnyx.commands] == [False, True, False]
            await call.wait_answered()
            words = {"payload": "Hello", "voice": "AWS.Polly.Joanna"}
            for _ in range(3):
                await app.command(call, "speak", command_id="two", **words)
            await app.told("call.speak.ended")
            assert call.spoken == ["Hello"]
            timing.command_id_window_s = 0
            await app.command(call, "speak", command_id="two", **words)
            await app.telnyx.until(lambda: call.spoken == ["Hello", "Hello"])
            timing.command_id_window_s = 60
            for _ in range(2):
                assert (await app.command(call, "hangup", command_id="three")).status_code == 200
            assert error_of(await app.command(call, "hangup", command_id="four"))[1] == "90018"

    run(body)


def test_a_refused_command_does_not_use_up_its_command_id() -> None:
    async def body() -> None:
        async with product() as app:
            call = await app.telnyx.ring()
            words = {"payload": "Hello", "voice": "AWS.Polly.Joanna", "command_id": "one"}
            assert error_of(await app.command(call, "speak", **words))[1] == "90034"
            await app.command(call, "answer")
            await call.wait_answered()
            assert (await app.command(call, "speak", **words)).status_code == 200
            assert not app.telnyx.commands[-1].duplicate

    run(body)


def test_client_state_is_echoed_in_later_webhooks() -> None:
    async def body() -> None:
        async with product() as app:
            call = await app.telnyx.ring()
            await app.command(call, "answer", client_state=STATE)
            await app.told("call.answered")
            later = base64.b64encode(b"later").decode()
            assert (await app.command(call, "client_state_update", client_state=later)).status_code == 200
            await app.command(call, "hangup")
            await app.told("call.hangup")
            await app.told("call.initiated")
            for event_type, state in (("call.initiated", None), ("call.answered", STATE), ("call.hangup", later)):
                assert app.payload(event_type)["client_state"] == state

    run(body)


def test_queries() -> None:
    async def body() -> None:
        async with product() as app:
            calls = [await app.telnyx.ring() for _ in range(3)]
            status = (await app.http.get(f"/calls/{calls[0].control_id}")).json()["data"]
            assert (status["is_alive"], "end_time" in status) == (False, False)
            for call in calls:
                await app.command(call, "answer")
                await call.wait_answered()
            path = f"/connections/{CONNECTION_ID}/active_calls"
            first = (await app.http.get(path, params={"page[limit]": 2})).json()
            assert [each["call_control_id"] for each in first["data"]] == [call.control_id for call in calls[:2]]
            params = {"page[limit]": 2, "page[after]": first["meta"]["cursors"]["after"]}
            second = (await app.http.get(path, params=params)).json()
            assert [each["call_control_id"] for each in second["data"]] == [calls[2].control_id]
            assert second["meta"] == {"cursors": {"after": None, "before": None}, "total_items": 3}
            await calls[0].hang_up()
            status = (await app.http.get(f"/calls/{calls[0].control_id}")).json()["data"]
            assert (status["is_alive"], bool(status["end_time"])) == (False, True)
            assert len((await app.http.get(path)).json()["data"]) == 2

    run(body)


async def _dial(app: Product, **more: Any) -> httpx.Response:
    dial = {"connection_id": CONNECTION_ID, "from": "+15550100002", "to": "+15550100003"}
    return await app.http.post("/calls", json=dial | more)


def test_dial() -> None:
    async def body() -> None:
        async with product(timing=Timing(no_answer_s=30, ring_s=0.02, hangup_webhook_s=0.01)) as app:
            assert error_of(await _dial(app, to="12")) == (422, "10016", "/to")
            assert error_of(await _dial(app, connection_id="1")) == (422, "10015", "/connection_id")
            app.telnyx.exchange.callee = "no_answer"
            response = (await _dial(app, command_id="one", **app.streaming())).json()["data"]
            assert (response["record_type"], response["is_alive"]) == ("call", False)
            assert (await _dial(app, command_id="one")).json()["data"] == response
            call = app.telnyx.calls[response["call_control_id"]]
            assert error_of(await app.command(call, "answer"))[:2] == (422, "90102")
            await app.told("call.initiated", "streaming.started")
            await call.hang_up("user_busy")
            await app.sockets[0].closed.wait()
            assert [frame["event"] for _, frame in app.sockets[0].frames] == ["connected"]  # but no start
            assert app.payload("call.initiated")["state"] == "bridging"
            app.telnyx.exchange.callee = "answers"
            second = app.telnyx.calls[(await _dial(app, **app.streaming())).json()["data"]["call_control_id"]]
            await second.wait_streaming()
            assert second.direction == "outgoing"

    run(body)


def test_transfer_bridges_a_second_leg_and_its_failure_leaves_the_first_one_up() -> None:
    async def body() -> None:
        async with product() as app:
            call, socket = await app.answered()
            app.telnyx.exchange.callee = "rejects"
            await app.command(call, "transfer", to="+15550100003", target_leg_client_state=STATE)
            legs = list(app.telnyx.calls.values())
            await legs[1].wait_ended()
            assert call.state == "answered"
            assert legs[1].hangup_cause == "call_rejected"
            await app.told("call.hangup")
            assert app.payload("call.hangup")["client_state"] == STATE
            app.telnyx.exchange.callee = "answers"
            await app.command(call, "transfer", to="+15550100003")
            await app.telnyx.until(lambda: call.peer)
            human = list(app.telnyx.calls.values())[2]
            assert human.session_id == call.session_id
            call.phone.say(b"\x10" * 800)
            await human.phone.hears(0.1)
            await socket.play(b"\x10" * 1600)
            await call.phone.hears(0.1)
            await human.hang_up()
            await call.wait_ended()

    run(body)


@pytest.mark.parametrize(("status", "code"), [(429, "10011"), (500, "10007"), (503, "10007"), (408, "10007")])
def test_requests_can_fail_a_given_number_of_times(status: int, code: str) -> None:
    async def body() -> None:
        faults = Faults(api=[ApiFault("answer", times=2, status=status, retry_after=7)])
        async with product(faults=faults) as app:
            call = await app.telnyx.ring()
            assert (await app.http.get(f"/calls/{call.control_id}")).status_code == 200
            for _ in range(2):
                response = await app.command(call, "answer", command_id="one")
                assert error_of(response)[:2] == (status, code)
            assert response.headers.get("retry-after") == ("7" if status == 429 else None)
            assert response.headers.get("x-ratelimit-reset") == ("7" if status == 429 else None)
            assert not call.answering
            assert (await app.command(call, "answer", command_id="one")).status_code == 200
            assert not app.telnyx.commands[-1].duplicate

    run(body)


def test_an_answer_can_be_lost_after_it_took_effect() -> None:
    async def body() -> None:
        faults = Faults(api=[ApiFault("answer", lose_response=True)])
        async with product(faults=faults) as app:
            call = await app.telnyx.ring()
            with pytest.raises(httpx.RemoteProtocolError):
                await app.command(call, "answer", command_id="one")
            await call.wait_answered()
            assert (await app.command(call, "answer", command_id="one")).status_code == 200
            assert [(each.status, each.duplicate) for each in app.telnyx.commands] == [(0, False), (200, True)]

    run(body)


def test_a_request_can_hang_and_a_slow_one_takes_effect_at_once() -> None:
    async def body() -> None:
        faults = Faults(api=[ApiFault("answer", hang_s=30), ApiFault("*", slow_s=30)])
        async with product(faults=faults) as app:
            call = await app.telnyx.ring()
            for answering in (False, True):
                with pytest.raises(httpx.ReadTimeout):
                    await app.http.post(f"/calls/{call.control_id}/actions/answer", json={}, timeout=0.05)
                assert call.answering is answering

    run(body)
