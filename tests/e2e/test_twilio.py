"""What is Twilio's own: documents as answers, signatures over the public address, streams that end in mid-call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from callflow.call.machine import ANSWERED
from callflow.contracts import events
from callflow.history import call_list
from callflow.journal.journal import JournalEntry
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Session, Turn
from callflow.sandbox.twilio import ApiFault, Call, Faults, Signer, Timing, Twilio
from callflow.switchboard.dedupe import Tombstones
from carriers.twilio.twiml import RESUME
from tests.e2e.product import PUBLIC, Product, exchange, product, run, together
from tests.e2e.talk import noise, saying, talk
from tests.e2e.test_recovery import MENDING, asked, longest_silence


CARRIERS = ("twilio",)
QUICK: Final[dict[str, Any]] = {"apology_text": "Sorry.", "goodbye_text": "Goodbye.", "busy_text": "Busy."}
PARAMS: Final = {
    "CallSid": "CA" + "0f" * 16,
    "AccountSid": "AC" + "5a" * 16,
    "From": "+15550100001",
    "To": "+15550100002",
    "CallStatus": "ringing",
    "Direction": "inbound",
    "FromCity": "",
}


def model(*turns: Turn) -> Realtime:
    greeting = Turn.say("Good day.", noise(600, 1))
    return Realtime(script=Script.of(greeting, *turns, otherwise=saying(noise(400, 2))), pace=Pace.instant())


def document(text: str) -> list[str]:
    """The verbs of a document. Fails where it is not well-formed."""
    return [verb.tag for verb in ElementTree.fromstring(text)]


async def ask(
    the: Product,
    params: Mapping[str, str],
    *,
    path: str = "/incoming-call",
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    signer: Signer | None = None,
    signed: str = PUBLIC,
) -> httpx.Response:
    """A request by hand. `signed`: the address that the signature covers; `headers`: over the right ones."""
    signer = signer or the.twilio.signer
    target, body = path, None
    if method == "GET":
        target = f"{path}?{urlencode(params)}"
        given = signer.sign(f"{signed}{target}")
    else:
        body = urlencode(params)
        given = signer.sign(f"{signed}{path}", params)
        given["Content-Type"] = "application/x-www-form-urlencoded"
    given["Host"] = "phone.example"
    url = f"http://127.0.0.1:{the.app.public_at[1]}{target}"
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(method, url, content=body, headers={**given, **(headers or {})})


async def hear(the: Product, call: Call, seconds: float = 0.3) -> None:
    await call.wait_streaming()
    await call.phone.hears(seconds)


# The answer is the command


@pytest.mark.one_node("the addresses of a node name it")
async def test_the_document_that_opens_a_call_has_a_stream_and_a_way_back() -> None:
    settings: dict[str, Any] = {"twilio_greeting_text": "Hello <you> & yours.", "twilio_pause_seconds": 1}
    async with product(realtime=model(), **settings) as the:
        call = await the.twilio.ring(from_number="+15550100009")
        await call.wait_streaming(8)
        (text,) = call.documents
        assert document(text) == ["Say", "Pause", "Connect", "Pause", "Redirect"]
        assert call.spoken == ["Hello <you> & yours."]
        options = call.streams[0].options
        assert options.url.startswith("wss://phone.example/media-stream/")
        assert options.parameters["callerNumber"] == "+15550100009"
        assert options.parameters["phoneNumber"] == "+15550100002"
        assert "phoneNumberSid" in options.parameters
        await call.phone.hears(0.3)
        assert call.warnings == []
        await call.hang_up()
        await the.quiet()


@pytest.mark.alone
async def test_every_door_answers_by_get_and_by_post() -> None:
    async with product(realtime=model()) as the:
        for number, path in enumerate(("/", "/incoming-call", "/twiml", "/api/twiml", "/twilio/voice")):
            for method in ("GET", "POST"):
                params = {**PARAMS, "CallSid": f"CA{number:031x}{method[0] == 'G':d}"}
                answer = await ask(the, params, path=path, method=method)
                assert answer.status_code == 200, f"{method} {path}: {answer.text}"
                assert answer.headers["content-type"].startswith("text/xml")
                assert "content-length" in answer.headers
                assert "Connect" in document(answer.text), f"{method} {path}"
        assert len(the.app.switchboard.calls) == 10


async def test_nothing_that_a_caller_sends_becomes_markup() -> None:
    hostile = '"><Hangup/><Say>'
    async with product(realtime=model()) as the:
        for number, name in enumerate(("Called", "Caller", "From", "To", "CalledNumberSid")):
            answer = await ask(the, {**PARAMS, "CallSid": f"CA{number:032x}", name: hostile})
            assert answer.status_code == 200
            assert document(answer.text) == ["Connect", "Pause", "Redirect"], name
        call = await the.twilio.ring(Called=hostile, Caller="\x00\x0b\ufffe")
        await hear(the, call)
        await call.hang_up()


async def test_a_repeated_request_gets_the_answer_of_the_first_and_starts_nothing() -> None:
    async with product(realtime=model()) as the:
        faults = Faults(webhook_duplicates={"voice": 3}, webhook_new_tokens={"voice": 3})
        call = await the.twilio.ring(faults=faults)
        await hear(the, call)
        answers = {one.body for one in the.twilio.deliveries if one.kind == "voice"}
        assert len([one for one in the.twilio.deliveries if one.kind == "voice"]) == 7
        assert len(answers) == 1, "two streams, of which the second kills the first"
        again = await ask(the, call.params({"CallStatus": "ringing"}))
        assert again.text in answers, "much later, and without a token"
        assert len(the.realtime.sessions) == 1
        await call.hang_up()
        await the.quiet()


async def test_a_caller_who_gives_up_while_our_document_is_on_its_way_was_never_answered() -> None:
    """The answer counts as given once we have sent it; only Twilio knows that nobody was there any more."""
    async with product(realtime=model()) as the:
        the.twilio.timing.answer_s = 30
        call = await the.twilio.ring()
        await the.until(lambda: the.app.switchboard.calls and the.call.model.state == ANSWERED, "our answer")
        name = the.call.id
        await call.hang_up()
        await the.quiet()
        await the.app.journal.flushed()
        assert the.timeline() == ["ringing>answered", "answered>hangup"], "it was not in the moment that this is about"
        store = the.app.history.store
        row, (listed,) = await store.conversation(name), await store.newest_calls(5)
        assert row is not None
        assert (row["answered_at"], row["answered_seconds"], listed["answered_at"]) == (None, None, None)
        of_journal = call_list.of_entries(name, the.app.journal.read(name))
        assert of_journal is not None
        assert [each.to_json()["status"] for each in (call_list.of_row(listed), of_journal)] == ["no-answer"] * 2
        assert the.app.telemetry.calls._counts["callflow_calls_answered_total",] == 0


@pytest.mark.one_node("each node has room of its own")
async def test_a_full_house_is_busy() -> None:
    async with product(realtime=model(), max_concurrent_calls=1) as the:
        first = await the.twilio.ring()
        await hear(the, first)
        second = await the.twilio.ring(from_number="+15550100077")
        await second.wait_ended()
        assert second.documents[0].endswith('<Response><Reject reason="busy" /></Response>')
        assert (second.status, second.answered_at) == ("busy", None)
        await first.hang_up()
        await the.quiet()
        third = await the.twilio.ring()
        await hear(the, third)
        await third.hang_up()


class SlowJournal:
    """Takes its time for the first record."""

    def __init__(self, inner: Any, seconds: float) -> None:
        self._inner, self._seconds = inner, seconds

    async def append(self, record: JournalEntry) -> None:
        seconds, self._seconds = self._seconds, 0.0
        await asyncio.sleep(seconds)
        await self._inner.append(record)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def test_an_answer_that_is_late_is_a_safe_one_and_the_caller_is_spoken_to_all_the_same() -> None:
    async with product(realtime=model()) as the:
        services = the.app.switchboard._services
        slow = SlowJournal(services.journal, 2.5)
        object.__setattr__(services, "journal", slow)
        object.__setattr__(services, "journal_seconds", 5.0)
        call = await the.twilio.ring()
        await hear(the, call)
        voice = [one for one in the.twilio.deliveries if one.kind == "voice"]
        assert (voice[0].latency or 9) < 2.0, "the caller waited for a slow disk"
        assert document(call.documents[0]) == ["Pause", "Redirect"]
        assert "Connect" in document(call.documents[-1])
        assert len(the.realtime.sessions) == 1
        await call.hang_up()
        await the.quiet()


@pytest.mark.alone
async def test_no_request_waits_for_the_ceiling_whatever_hangs() -> None:
    realtime = model()
    realtime.faults.set({"hang_next": -1})
    async with product(realtime=realtime, **QUICK) as the:
        the.twilio.faults.api = [ApiFault(hang_s=20, times=9)]
        call = await the.twilio.ring()
        await call.wait_streaming()
        await call.hang_up()
        await the.quiet(8)
        await the.until(lambda: all(one.latency for one in the.twilio.deliveries), "every request to be answered")
        assert max(one.latency or 99 for one in the.twilio.deliveries) < 1.0


async def test_a_lost_answer_is_fetched_again_at_the_fallback() -> None:
    twilio = Twilio(PUBLIC, fallback="/twilio/fallback", timing=Timing(speak_s_per_char=0.02))
    twilio.faults.webhook_lose["voice"] = 1
    async with product(carrier=twilio, realtime=model(), carrier_record=True) as the:
        call = await the.twilio.ring()
        await hear(the, call)
        assert [code for code, _ in call.errors] == [11200]
        assert len(twilio.exchange.recordings) == 1, "the answer that was lost had asked for it"
        assert the.call.recordings.by_carrier
        assert len(the.realtime.sessions) == 1
        await call.hang_up()
        await the.quiet()


# Signatures


FORGERIES: Final[dict[str, dict[str, Any]]] = {
    "without a signature": {"headers": {"X-Twilio-Signature": ""}},
    "another token": {"signer": Signer("guessed")},
    "another address": {"signed": "https://evil.example"},
    "the local address": {"signed": "http://127.0.0.1:6000"},
    "a shared key that nobody has": {"signer": Signer("", ("webhooks_sharedkey_x", "guessed"))},
    "no hash that exists": {"headers": {"X-Twilio-Webhooks-Signature-Settings": "key=x,algorithm=HMAC_MD5"}},
    "Latin-1": {"headers": {"X-Twilio-Signature": b"\xe9"}},
}


async def test_a_forged_request_is_refused_and_starts_nothing() -> None:
    async with product(realtime=model()) as the:
        for name, how in FORGERIES.items():
            for path in ("/incoming-call", "/twilio/resume", "/twilio/status", "/twilio/stream"):
                answer = await ask(the, PARAMS, path=path, **how)
                assert answer.status_code == 403, f"{name}: {path} answered {answer.status_code}"
        changed = the.twilio.signer.sign(f"{PUBLIC}/incoming-call", {**PARAMS, "From": "+15550100055"})
        assert (await ask(the, PARAMS, headers=changed)).status_code == 403
        dropped = the.twilio.signer.sign(f"{PUBLIC}/incoming-call", {k: v for k, v in PARAMS.items() if v})
        assert (await ask(the, PARAMS, headers=dropped)).status_code == 403, "blanks count"
        assert the.app.switchboard.counts["calls"] == 0
        assert the.twilio.commands == []


async def test_a_form_that_is_larger_than_any_of_twilios_is_not_looked_at() -> None:
    async with product(realtime=model()) as the:
        for size, status in ((60_000, 200), (66_000, 413)):
            answer = await ask(the, PARAMS | {"CallSid": f"CA{size:032x}", "More": "x" * size})
            assert answer.status_code == status, size
        assert the.app.switchboard.counts["calls"] == 1


async def test_what_a_proxy_does_to_a_request_does_not_matter() -> None:
    async with product(realtime=model()) as the:
        proxied: dict[str, dict[str, str]] = {
            "host": {"Host": "10.0.0.7:6000"},
            "scheme": {"X-Forwarded-Proto": "http"},
            "both": {"Host": "localhost", "X-Forwarded-Proto": "https,http", "X-Forwarded-Host": "evil.example"},
        }
        for number, (name, headers) in enumerate(proxied.items()):
            answer = await ask(the, {**PARAMS, "CallSid": f"CA{number:032x}"}, headers=headers)
            assert answer.status_code == 200, name
            assert "wss://phone.example/" in answer.text, f"{name}: the caller chose the stream's host"
        with_port = await ask(the, {**PARAMS, "CallSid": "CA" + "9" * 32}, signed=f"{PUBLIC}:443")
        assert with_port.status_code == 200


async def test_several_tokens_and_shared_keys_are_taken() -> None:
    twilio = Twilio(PUBLIC, auth_token="the-newer-token")
    settings: dict[str, Any] = {
        "twilio_auth_token": "the-newer-token,the-older-token",
        "twilio_shared_keys": "webhooks_sharedkey_1:a-shared-secret",
    }
    async with product(carrier=twilio, realtime=model(), **settings) as the:
        signers = (Signer("the-newer-token"), Signer("the-older-token"))
        for number, signer in enumerate((*signers, Signer("", ("webhooks_sharedkey_1", "a-shared-secret")))):
            answer = await ask(the, {**PARAMS, "CallSid": f"CA{number:032x}"}, signer=signer)
            assert answer.status_code == 200, f"number {number}: {answer.text}"


async def handshake(the: Product, url: str, headers: Mapping[str, str]) -> int:
    """The status with which a media socket is answered; 101 when it is let in."""
    local = f"ws://127.0.0.1:{the.app.public_at[1]}{url.removeprefix('wss://phone.example')}"
    try:
        async with connect(local, additional_headers=dict(headers), proxy=None):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


async def test_a_media_socket_needs_its_signature_and_its_token() -> None:
    async with product(realtime=model(), stream_seconds=8.0, twilio_media_signature="require") as the:
        call = await the.twilio.ring(faults=Faults(never_connect=True))
        await the.until(lambda: call.streams, "the stream to be asked for")
        url = call.streams[0].options.url
        sign = the.twilio.signer.sign
        other = f"{PUBLIC.replace('https', 'wss')}/media-stream/guessed"
        assert await handshake(the, url, {}) == 403, "no signature"
        assert await handshake(the, url, Signer("guessed").sign(url)) == 403
        assert await handshake(the, url, sign(other)) == 403, "a signature for another stream"
        assert await handshake(the, other, sign(other)) == 403, "no token"
        assert [bytes(session.audio_in) for session in the.realtime.sessions if session.audio_in] == []
        assert await handshake(the, url, sign(url)) == 101


def test_how_a_handshake_may_be_signed() -> None:
    async def scene(faults: Faults, settings: Mapping[str, Any]) -> None:
        async with product(realtime=model(), **settings) as the:
            call = await the.twilio.ring(faults=faults)
            await hear(the, call)
            await call.hang_up()
            await the.quiet()

    run(
        together(
            {
                "with a slash more": scene(Faults(media_slash=True), {}),
                "not at all, where that is allowed": scene(
                    Faults(unsigned_media=True), {"twilio_media_signature": "warn"}
                ),
            }
        )
    )


@pytest.mark.parametrize("fault", [{"foreign_call_sid": "CA" + "1" * 32}, {"foreign_account_sid": "AC" + "1" * 32}])
async def test_a_stream_of_another_call_is_not_let_in(fault: dict[str, Any]) -> None:
    settings = {"start_frame_seconds": 0.5, "stream_seconds": 1.0, "stream_grace_seconds": 0.2, "stream_tries": 0}
    async with product(realtime=model(), **{**QUICK, **settings}) as the:
        call = await the.twilio.ring(faults=Faults(**fault))
        call.phone.say(tone(200))
        await call.wait_ended(12)
        await the.quiet()
        assert [bytes(session.audio_in) for session in the.realtime.sessions if session.audio_in] == []
        assert call.ended_by == "product"


# How calls end


async def test_a_caller_whose_call_is_over_in_the_history_is_hung_up_and_not_answered_anew() -> None:
    """As after a restart, when Twilio has not obeyed the end of a call and asks what to do."""
    async with product(realtime=model()) as the:
        call = await the.twilio.ring()
        await hear(the, call)
        await call.hang_up()
        await the.quiet()
        await the.app.journal.flushed()
        the.app.switchboard._tombstones = Tombstones(asyncio.get_running_loop().time)  # the next process has none
        asked = {**call.params(), "CallStatus": "in-progress"}
        answer = await ask(the, asked, path=RESUME)
        assert document(answer.text) == ["Hangup"]
        assert the.app.switchboard.calls == []
        assert len(the.happened("began")) == 1
        unknown = await ask(the, {**asked, "CallSid": f"CA{'7' * 32}"}, path=RESUME)
        assert "Hangup" not in document(unknown.text), "a call that the history does not know is taken on"
        for live in the.app.switchboard.calls:
            live.post(events.HangupRequested(reason="requested"))
        await the.quiet()


async def test_the_status_callback_ends_a_call_that_ended_without_a_stop() -> None:
    async with product(realtime=model(), stream_grace_seconds=30) as the:
        call = await the.twilio.ring(faults=Faults(no_stop=True))
        await hear(the, call)
        await call.hang_up()
        await the.quiet()
        (ended,) = the.happened("call_hangup")
        assert (ended["cause"], ended["seconds"]) == ("completed", str(call.duration))


async def test_callbacks_in_any_order_and_twice_change_nothing() -> None:
    async with product(realtime=model()) as the:
        call = await the.twilio.ring(
            faults=Faults(webhook_delay_s={"stream": 0.4}, webhook_duplicates={"*": 1}, webhook_new_tokens={"*": 1})
        )
        await hear(the, call)
        late = call.params({"CallStatus": "ringing", "SequenceNumber": "0"})
        assert (await ask(the, late, path="/twilio/status")).status_code == 204
        assert call.state == "answered"
        await call.hang_up()
        await the.quiet()
        assert len(the.happened("ended")) == 1
        assert (await ask(the, late, path="/twilio/status")).status_code == 204
        again = await ask(the, call.params({"CallStatus": "in-progress"}), path=RESUME)
        assert document(again.text) == ["Hangup"], "an ended call is not taken up again"
        assert the.app.switchboard.calls == []


def test_a_call_that_is_gone_is_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        for code in ("20404", "21220"):
            async with product(realtime=model(), **QUICK) as the:
                call = await the.twilio.ring(faults=Faults(webhook_drop=["*"], no_stop=True))
                await hear(the, call)
                status = 404 if code == "20404" else 400
                call.faults.api = [ApiFault("update", status=status, code=code)]
                the.call.post(_stop())
                await the.quiet(8)
                await call.hang_up()

    run(main())
    assert "Traceback" not in caplog.text


def _stop() -> Any:
    from callflow.contracts.events import HangupRequested

    return HangupRequested(reason="operator")


async def test_the_last_words_and_then_the_line() -> None:
    async with product(realtime=model(), twilio_after_text="This call is over.", **QUICK) as the:
        call = await the.twilio.ring()
        await hear(the, call)
        assert "This call is over" not in call.documents[0], "in the last document only"
        the.call.post(_stop())
        await call.wait_ended(8)
        assert call.spoken == ["This call is over."]
        assert call.ended_by == "product"
        await the.quiet()


# The stream ends in mid-call


@asynccontextmanager
async def mid_call(carrier: Any = None, **settings: Any) -> AsyncIterator[tuple[Product, Any]]:
    """A caller who has been greeted, has asked, and is being answered when the socket is cut."""
    answer = saying(noise(1500, 9))
    async with product(realtime=model(answer, answer, answer), carrier=carrier, **{**MENDING, **settings}) as the:
        one = await talk(the)
        await one.phone.hears(0.3)
        one.phone.say(tone(300))
        await one.session.wait_sent("response.done", 2)
        await one.phone.hears(0.4)
        yield the, one


def count(session: Session, kind: str) -> int:
    return sum(1 for each in session.sent if each.type == kind)


async def comes_back(the: Product, one: Any, most: float) -> None:
    since = time.monotonic()
    await the.until(lambda: len(one.call.streams) > 1 and one.call.streams[-1].started, "another stream", 10)
    await one.phone.hears(0.3, since=since, timeout=5)
    assert longest_silence(one.phone, since, time.monotonic()) < most
    first, *_, last = (stream.options.url for stream in one.call.streams)
    assert first != last, "the new stream has the old one's token"
    (session,) = the.realtime.sessions
    assert session.violations == []
    answers = count(session, "response.done")
    one.phone.say(tone(300))
    await the.until(lambda: count(session, "response.done") > answers, "the conversation to go on")
    await one.call.hang_up()
    await the.quiet()
    assert [ended["cause"] for ended in the.happened("ended")] == ["completed"]


async def test_a_caller_whose_socket_is_cut_is_brought_back_with_a_pushed_document() -> None:
    async with mid_call(stream_grace_seconds=0.2) as (the, one):
        one.stream.drop()
        await comes_back(the, one, 3.0)
        assert len(the.actions("streaming_start")) == 1
        assert not [one for one in the.twilio.deliveries if one.url.endswith("rt=4000")], "the tail was not needed"


async def test_a_caller_whose_socket_is_cut_comes_back_by_the_tail_when_no_document_can_be_pushed() -> None:
    carrier = exchange(api=[ApiFault("update", status=503, times=99)])
    async with mid_call(carrier, stream_grace_seconds=1, restream_seconds=3, stream_tries=3) as (the, one):
        one.stream.drop()
        await comes_back(the, one, 4.0)
        asked = [each for each in the.twilio.deliveries if "/twilio/resume" in each.url]
        assert asked, "the caller came back by another way than the tail"
        the.twilio.faults.api.clear()


async def test_a_socket_that_cannot_be_had_again_is_apologised_for() -> None:
    async with mid_call(stream_grace_seconds=0.2, stream_seconds=1.0, **QUICK) as (the, one):
        one.call.faults = Faults(connect_fails=True)
        since = time.monotonic()
        one.stream.drop()
        await one.call.wait_ended(20)
        assert one.call.spoken, "the caller was let go without a word"
        assert longest_silence(one.phone, since, one.call.ended_at) < 4.0
        await the.quiet()


async def test_cut_again_and_again_the_call_goes_on_while_there_is_hope() -> None:
    async with mid_call(stream_grace_seconds=0.1) as (the, one):
        one.stream.drop()
        await the.until(lambda: len(one.call.streams) == 2 and one.call.streams[-1].started, "the second", 10)
        await one.phone.hears(0.2)
        one.call.streams[-1].drop()
        await the.until(lambda: len(one.call.streams) == 3 and one.call.streams[-1].started, "the third", 10)
        await one.phone.hears(0.2)
        await one.call.hang_up()
        await the.quiet()


async def test_the_conversation_is_told_of_the_interruption() -> None:
    async with mid_call(stream_grace_seconds=0.2) as (the, one):
        one.stream.drop()
        await the.until(lambda: len(one.call.streams) > 1 and one.call.streams[-1].started, "another stream", 10)
        await one.phone.hears(0.3)
        answer = one.agent_items()[1]
        (heard,) = one.truncates()[answer]
        assert heard < 1500, "the model believes that all was heard"
        assert [wish for wish in asked(one.session) if "interrupted for a moment" in wish], "nothing was taken up"
        await one.call.hang_up()
        await the.quiet()


# Sound


async def test_a_muted_leg_is_heard_and_answered() -> None:
    async with product(realtime=model(), vad_silence_ms=200) as the:
        call = await the.twilio.ring(faults=Faults(skip_silence=True))
        await hear(the, call)
        (session,) = the.realtime.sessions
        since = time.monotonic()
        call.phone.say(tone(400))
        await session.wait_sent("input_audio_buffer.speech_stopped", 1)
        await call.phone.hears(0.2, since=since + 0.4, timeout=5)
        await call.hang_up()
        await the.quiet()
