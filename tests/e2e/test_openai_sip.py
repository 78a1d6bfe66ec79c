"""Calls over OpenAI's SIP: signed webhooks, the accept with the whole session, and a socket beside the call."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx

from callflow.sandbox import voices
from callflow.sandbox.common.callee import Callee
from callflow.sandbox.openai_realtime import Call, Pace, Realtime, Say, Script, Turn
from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.telnyx.exchange import CONNECTION_ID
from callflow.sandbox.twilio import Twilio
from callflow.switchboard.dialer import DialRequest
from tests.e2e.product import PUBLIC, Product, product, run, together, until
from tests.e2e.talk import clock, noise
from tests.e2e.test_survival import office


QUICK = Pace(first_byte_ms=30, speed=20, jitter=0, transcription_ms=0)
HELLO = Turn((Say("Good morning, this is the office.", noise(500, 1)),))


def model(*turns: Turn) -> Realtime:
    return Realtime(script=Script.of(*turns, otherwise=Turn((Say("Once more?", noise(300, 9)),))), pace=QUICK)


@contextlib.asynccontextmanager
async def stage(realtime: Realtime, **settings: Any) -> AsyncIterator[Product]:
    async with product(realtime=realtime, **{**realtime.sip.settings(), "vad_silence_ms": 400, **settings}) as made:
        realtime.sip.webhook_url = f"http://127.0.0.1:{made.app.public_at[1]}/openai/webhook"
        yield made
        for call in realtime.sip.calls.values():
            await call.hang_up()
        await made.quiet()
        assert realtime.sip.failures == []
        assert [session.violations for session in realtime.sessions if session.violations] == []


async def _a_conversation() -> None:
    tool = Turn((Call("get_current_time", {}, "call_time"),))
    long = Turn((Say("It is a quarter past nine in the morning, and the sun is shining.", noise(4000, 3)),))
    bye = Turn((Say("Goodbye.", noise(300, 4)), Call("end_call", {"reason": "done"}, "call_end")))
    async with stage(model(HELLO, tool, long, bye), greeting="Say hello.") as made:
        call = await made.realtime.sip.ring(headers=[("X-Twilio-CallSid", "CA0")])
        session = await call.wait_answered()
        await session.wait_sent("output_audio_buffer.stopped")
        assert (made.call.from_number, made.call.to_number) == ("+15550100001", "+15550100002")
        accepted = call.commands[0][1]
        assert {"model", "instructions", "tools", "type"} <= accepted.keys()
        assert "format" not in accepted["audio"]["input"]
        call.phone.say(voices.load("caller/hours"))
        await until(lambda: session.tool_outputs, "the tool's answer")
        await until(lambda: len(session._sent_by_type.get("output_audio_buffer.started", [])) == 2, "the long answer")
        call.phone.say(voices.load("caller/interruption"))
        await call.wait_ended()
        await made.quiet()
        (name,) = made.app.journal.calls()
        assert call.ended_by == "product"
        assert call.count("accept") == call.count("hangup") == 1
        assert made.timeline() == ["ringing>answered", "answered>streaming", "streaming>hangup"]
        (began,) = made.happened("call_initiated")
        assert began["linked"] == "twilio:CA0"
        (cut,) = [one["cuts"][0] for one in made.happened("interrupted")]
        assert 0 < cut["heard_ms"] < cut["received_ms"], cut
        turns = [(one["who"], one["text"]) for one in made.happened("turn")]
        assert turns[0] == ("agent", "Good morning, this is the office.")
        assert {"caller", "agent"} == {who for who, _ in turns}
        assert [one["cause"] for one in made.happened("ended", name)] == ["agent"]
        await made.app.journal.flushed()
        row = await made.app.history.store.conversation(name)
        assert row is not None
        assert (row["carrier"], row["caller_number"], row["hangup_cause"]) == ("openai", "+15550100001", "agent")


async def _signatures() -> None:
    async with stage(model(HELLO)) as made:
        sip = made.realtime.sip
        call = await sip.ring(wait=True)
        body = sip.webhook(call)
        right = sip.sign("wh_x", body)
        missing = {name: value for name, value in right.items() if name != "webhook-id"}
        late, early = (sip.sign("wh_y", body, at=at) for at in (1.0, 4e9))
        wrong = sip.sign("wh_z", body, secret="whsec_d3Jvbmc=")
        for headers in ({}, missing, wrong, late, early, {**right, "webhook-id": "wh_other"}):
            assert await sip.deliver(body, headers) == 400
        assert await sip.deliver(body + b" ", right) == 400
        for headers in (right, right, sip.sign("wh_new", body)):
            assert await sip.deliver(body, headers) == 200
        other = b'{"type":"response.completed","data":{}}'
        assert await sip.deliver(other, sip.sign("wh_o", other)) == 200
        await call.wait_answered()
        assert [action for action, _, _ in call.commands] == ["accept"]
        assert len(made.app.journal.calls()) == 1


async def _ends_and_refusals() -> None:
    realtime = model(HELLO)
    async with stage(realtime, max_concurrent_calls=1, transfer_targets="sales = +15550100010") as made:
        sip = realtime.sip
        gone = await sip.ring()
        gone.state = "ended"  # before the accept
        await until(lambda: gone.count("accept", 404) == 1, "the accept")
        await made.quiet()
        assert [one["cause"] for one in made.happened("ended")] == ["already_ended"]

        sip.sideband_delay = 60.0
        left = await sip.ring()
        await left.until(lambda: left.count("accept"), "the accept")
        left.state, since = "ended", time.monotonic()  # between the accept and the first socket beside it
        async with clock() as watched:
            await until(lambda: len(made.happened("ended")) == 2, "the end of the call")
        assert time.monotonic() - since < 2.5 + watched.stalled_ms / 1000
        assert made.happened("ended")[1]["cause"] == "already_ended"
        assert left.count("hangup", 404) == 1
        await made.quiet()
        sip.sideband_delay = 0.0

        refused = await sip.ring()
        sip.fail_accepts[:] = [500, 500]
        session = await refused.wait_answered()
        assert refused.count("accept", 500) == 2
        await session.wait_sent("session.created")
        busy = await sip.ring()
        await busy.wait_ended()
        assert ("reject", {"status_code": 486}, 200) in busy.commands

        await until(lambda: made.call.model.state == "streaming", "the call to stream")
        assert "cannot be held" in made.call.requests.line.hold("test")
        assert made.call.requests.transfer("sales", "tel:+15550100010", by="test", mode="refer") == ""
        await refused.wait_ended()
        assert refused.referred_to == "tel:+15550100010"
        await made.quiet()
        assert {one["cause"] for one in made.happened("ended")} == {"already_ended", "busy", "transferred"}


async def _a_socket_that_breaks() -> None:
    long = Turn((Say("A long sentence that goes on and on for quite a while.", noise(3000, 5)),))
    realtime = model(HELLO, long)
    realtime.sip.sideband_delay = 0.2
    async with stage(realtime, greeting="Say hello.") as made:
        call = await realtime.sip.ring()
        session = await call.wait_answered()
        await session.wait_sent("output_audio_buffer.stopped")
        call.phone.say(voices.load("caller/hours"))
        await session.wait_sent("output_audio_buffer.started", 2)
        session.drop()
        await until(lambda: session.opened >= 3 and session.has_sideband, "another socket beside the call")
        await session.wait_sent("output_audio_buffer.stopped", 2)
        assert made.timeline()[-2:] == ["streaming>recovering", "recovering>streaming"]
        assert len([one for one in session.received if one.event["type"] == "response.create"]) == 1  # the greeting
        assert "conversation.item.create" not in {one.event["type"] for one in session.received}
        await call.hang_up()
        await made.quiet()
        assert made.happened("ended")[-1]["cause"] == "completed"


async def _a_protected_sentence_keys_and_last_words() -> None:
    realtime = model(HELLO)
    recorded = {"record": True, "record_announcement": "Recorded."}
    async with stage(realtime, disclosure="You talk to a machine.", **recorded) as made:
        call = await realtime.sip.ring()
        session = await call.wait_answered()
        detection = call.commands[0][1]["audio"]["input"]["turn_detection"]
        assert (detection["create_response"], detection["interrupt_response"]) == (False, False)
        asked = await session.wait_for("response.create")
        assert "You talk to a machine." in asked.event["response"]["instructions"]
        assert "Recorded." not in asked.event["response"]["instructions"]
        await session.wait_sent("output_audio_buffer.stopped")
        updates = await session.wait_for("session.update", 2)
        assert updates.event["session"]["audio"]["input"]["turn_detection"]["create_response"] is True
        (protected,) = made.happened("protected")
        assert (protected["in_full"], protected["heard_ms"] > 300) == (True, True), protected

        for digit in "12#":
            await call.press(digit)
        await until(lambda: made.happened("digits"), "the digits")
        assert made.happened("digits")[0]["digits"] == "12"
        await session.wait_sent("output_audio_buffer.stopped", 2)

        assert made.call.hang_up("goodbye", "test")
        await call.wait_ended()
        assert call.ended_by == "product"
        said = [one.event.get("response") or {} for one in session.received if one.event["type"] == "response.create"]
        assert "word for word" in said[-1]["instructions"]
        await made.quiet()
        assert made.happened("recording") == []
        assert made.happened("clip_played")


async def _a_model_that_stays_away() -> None:
    realtime = model(HELLO)
    away = {"fallback_number": "+15550100010", "transfer_ring_seconds": 5}
    async with stage(realtime, **away, transfer_accept_seconds=1) as made:
        call = await realtime.sip.ring()
        session = await call.wait_answered()
        await session.wait_sent("output_audio_buffer.stopped")
        realtime.faults.refuse_next, realtime.faults.refuse_status = -1, 401
        session.drop()
        await call.wait_ended()
        assert call.referred_to == "tel:+15550100010"
        assert made.call.model.state == "transferring"
        assert made.call.hang_up("now", "test")


async def _without_a_secret() -> None:
    realtime = model(HELLO)
    async with product(realtime=realtime) as made:
        realtime.sip.webhook_url = f"http://127.0.0.1:{made.app.public_at[1]}/openai/webhook"
        body = b'{"type":"realtime.call.incoming","data":{"call_id":"rtc_1"}}'
        assert await realtime.sip.deliver(body, realtime.sip.sign("wh_1", body)) == 503
        assert made.app.journal.calls() == []


def test_calls_over_sip() -> None:
    run(
        together(
            {
                "a conversation": _a_conversation(),
                "signatures": _signatures(),
                "no secret": _without_a_secret(),
                "a model that stays away": _a_model_that_stays_away(),
                "ends and refusals": _ends_and_refusals(),
                "a socket that breaks": _a_socket_that_breaks(),
                "last words": _a_protected_sentence_keys_and_last_words(),
            }
        )
    )


async def test_a_call_over_sip_whose_server_is_killed_goes_on_without_a_second_greeting() -> None:
    realtime = model(HELLO)
    settings = {name.upper(): value for name, value in realtime.sip.settings().items()}
    async with office(realtime, **settings, GREETING="Say hello.") as one:
        realtime.sip.webhook_url = f"http://127.0.0.1:{one.port}/openai/webhook"
        call = await realtime.sip.ring()
        session = await call.wait_answered()
        await session.wait_sent("output_audio_buffer.stopped")
        await until(lambda: one.rows("SELECT * FROM conversation_items"), "the greeting on record")
        sockets = session.opened
        await one.stop()
        await one.start()
        await until(lambda: session.opened > sockets and session.has_sideband, "the socket beside the call", 15)
        body = realtime.sip.webhook(call)
        assert await realtime.sip.deliver(body, realtime.sip.sign("wh_again", body)) == 200
        call.phone.say(voices.load("caller/hours"))
        await session.wait_sent("output_audio_buffer.stopped", 2)
        assert call.count("accept") == 1
        assert len([each for each in session.received if each.event["type"] == "response.create"]) == 1
        await call.hang_up()
        await until(lambda: one.rows("SELECT * FROM conversations WHERE ended_at IS NOT NULL"), "the end on record")
        assert await realtime.sip.deliver(body, realtime.sip.sign("wh_late", body)) == 200
        assert len(one.rows("SELECT * FROM conversations")) == 1
        assert session.violations == []


OURS = "+15550100002"
URI = "sip:proj_sandbox@sip.api.openai.com;transport=tls"
ROUTED = {"route": "sip", "engine_seconds": 8.0}


async def _twilio_leads_there() -> None:
    async with stage(model(HELLO), carrier=Twilio(PUBLIC), **ROUTED) as made:
        made.twilio.callees[f"{URI}?X-Callflow-From=%2B15550100001&X-Callflow-To=%2B15550100002"] = Callee("answers")
        led = await made.twilio.ring()
        await until(lambda: led.documents, "the document")
        assert f"<Sip>{URI}?X-Callflow-From=%2B15550100001&amp;X-Callflow-To=%2B15550100002</Sip>" in led.documents[0]
        assert 'answerOnBridge="true"' in led.documents[0]
        await led.wait_answered()
        call = await made.realtime.sip.ring(
            headers=[("X-Callflow-To", "+15550100002"), ("X-Twilio-CallSid", led.key)], to_number="+4930"
        )
        session = await call.wait_answered()
        await session.wait_sent("session.created")
        assert made.call.to_number == "+15550100002"
        await call.hang_up()
        await led.hang_up()
        await made.quiet()
        assert len([name for name in made.app.journal.calls() if made.app.journal.read(name)[0].note]) == 1
        made.twilio.callee = "busy"
        made.twilio.callees.clear()
        back = await made.twilio.ring()
        await back.wait_streaming()
        assert ["<Sip>" in one for one in back.documents] == [True, False]
        await back.hang_up()


async def _a_call_that_another_program_dials() -> None:
    carrier = Twilio(PUBLIC)
    async with stage(model(HELLO), carrier=carrier) as made:
        carrier.number("+15550100002")
        form = {
            "To": "+15550100003", "From": "+15550100002", "Method": "GET",
            "Url": f"{PUBLIC}/api/twiml?mode=sip&host=evil.example&scheme=sips&transport=udp&port=1",
        }  # fmt: skip
        async with httpx.AsyncClient(auth=(carrier.account_sid, carrier.auth_token), trust_env=False) as client:
            answer = await client.post(
                f"{carrier.base_url}/2010-04-01/Accounts/{carrier.account_sid}/Calls.json", data=form
            )
        assert answer.status_code == 201, answer.text
        led = next(iter(carrier.calls.values()))
        await until(lambda: led.documents, "the document")
        (document,) = led.documents
        assert f"<Sip>{URI}?X-Callflow-From=%2B15550100002&amp;X-Callflow-To=%2B15550100003</Sip>" in document
        assert made.app.switchboard.calls == []
        await led.hang_up()


async def _a_dial(carrier: Twilio | Telnyx) -> None:
    own = {"telnyx_connection_id": CONNECTION_ID, "telnyx_from_number": OURS, "twilio_from_number": OURS}
    settings = {**ROUTED, **own, "console_token": "the-token-of-the-tests"}
    async with stage(model(HELLO), carrier=carrier, **settings) as made:
        if isinstance(carrier, Twilio):
            carrier.number(OURS)
        name = carrier.__class__.__name__.lower()
        ordered = {"instructions": "Sell pears."}
        await made.app.dialer.dial(DialRequest(to_number="+15550100001", carrier=name, session=ordered))
        live = made.app.switchboard
        await until(lambda: [one.model.state for one in live.calls] == ["bridged"], "whoever answers to be led there")
        await until(lambda: not isinstance(carrier, Telnyx) or made.actions("transfer"), "the transfer")
        (dialled,) = made.app.switchboard.calls
        if isinstance(carrier, Twilio):
            leg = next(iter(carrier.calls.values()))
            await until(lambda: leg.documents, "the document")
            (document,) = leg.documents
            assert f"X-Callflow-To=%2B15550100001&amp;X-Callflow-Leg=call%3A{dialled.id}" in document
        else:
            (command,) = made.actions("transfer")
            assert {"name": "X-Callflow-Leg", "value": f"call:{dialled.id}"} in command.body["custom_headers"]
        assert made.realtime.sessions == []
        call = await made.realtime.sip.ring(
            headers=[("X-Callflow-To", "+15550100001"), ("X-Callflow-Leg", f"call:{dialled.id}")]
        )
        session = await call.wait_answered()
        await session.wait_sent("session.created")
        assert call.commands[0][1]["instructions"] == "Sell pears.", "the agent is not the one that was ordered"
        assert made.happened("call_initiated")[-1]["linked"] == f"call:{dialled.id}"
        strange = f"{dialled.id[:-1]}{'1' if dialled.id.endswith('0') else '0'}"
        other = await made.realtime.sip.ring(headers=[("X-Callflow-Leg", f"call:{strange}")])
        await other.wait_answered()
        sessions = [one.ids.session for one in made.app.switchboard.calls if one.carrier.name == "openai"]
        assert sessions == [f"call:{dialled.id}", ""], "what anybody may say of a call that is not there"
        told = made.app.budget._of(dialled), made.app.budget._of(made.app.switchboard.calls[1])
        assert (told[0].calls, told[0].unpriced_minutes) == (1, 0.0)
        assert (told[1].calls, told[1].minutes) == (0, 0.0)
        await other.hang_up()
        await call.hang_up()
        machine = DialRequest(to_number="+15550100005", carrier=name, session={"machine_detection": True})
        carrier.callees[machine.to_number] = Callee("voicemail")
        await made.app.dialer.dial(machine)
        await until(lambda: "machine" in {one["cause"] for one in made.happened("ended")}, "the end at the machine")
        carrier.callees[URI] = Callee("busy")
        await made.app.dialer.dial(DialRequest(to_number="+15550100003", carrier=name))
        if isinstance(carrier, Telnyx):
            await until(lambda: "lead_to_sip_failed" in {one["cause"] for one in made.happened("ended")}, "the end")
        legs: list[Any] = list(carrier.calls.values())
        for each in legs:
            await each.hang_up()


async def _telnyx_leads_there() -> None:
    async with stage(model(HELLO), carrier=Telnyx(webhook_url="http://127.0.0.1:9/webhooks"), **ROUTED) as made:
        led = await made.telnyx.ring()
        await until(lambda: made.actions("transfer"), "the transfer")
        (command,) = made.actions("transfer")
        told = {one["name"]: one["value"] for one in command.body["custom_headers"]}
        assert (command.body["to"], command.body["sip_transport_protocol"]) == (URI, "TLS")
        assert command.body["media_encryption"] == "SRTP"
        assert (told["X-Callflow-From"], told["X-Callflow-To"]) == ("+15550100001", "+15550100002")
        assert told["X-Callflow-Leg"] == f"telnyx:{led.leg_id}"
        await led.wait_answered()
        await led.hang_up()
        assert made.app.switchboard.calls == []
        made.telnyx.callee = "busy"
        back = await made.telnyx.ring()
        await back.wait_streaming()
        assert len(made.actions("answer")) == 1
        await back.hang_up()
        await until(lambda: not made.app.switchboard.calls, "its end")
        route = made.app.switchboard.sip_leading
        made.telnyx.callee = Callee("busy", ring_s=0.5)
        back = await made.telnyx.ring()
        await until(lambda: len(made.actions("transfer")) == 3, "the transfer")
        route._led.clear()  # as in a process that has begun since
        await back.wait_streaming()
        assert (made.call.from_number, made.call.to_number) == ("+15550100001", "+15550100002")
        await back.hang_up()


def test_numbers_lead_there() -> None:
    run(
        together(
            {
                "Twilio": _twilio_leads_there(),
                "Telnyx": _telnyx_leads_there(),
                "another program": _a_call_that_another_program_dials(),
                "a dial through Twilio": _a_dial(Twilio(PUBLIC)),
                "a dial through Telnyx": _a_dial(Telnyx(webhook_url="http://127.0.0.1:9/webhooks")),
            }
        )
    )
