"""Twilio's webhooks: what they say, and with which document they are answered."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts import commands, events
from callflow.contracts.errors import Malformed
from callflow.contracts.events import CALLER, Event, LegIds
from callflow.telemetry.call_results import known_cause, result_of
from carriers.twilio.webhooks import FALLBACK, KEYS, MACHINE, RECORDING, REFER, RESUME, STATUS, STREAM, VOICE
from tests.carriers.twilio_product import INCOMING, PUBLIC, SID, order, request, twilio
from tests.carriers.twilio_product import STREAM as STREAM_URL


ADAPTER = twilio()
NUMBERS: dict[str, Any] = {"from_number": "+15550100001", "to_number": "+15550100002"}


def event(path: str = "/", **changes: str) -> Event:
    (signal,) = ADAPTER.parse(request(path, INCOMING | changes))
    return signal.event


def key(path: str, *, token: str = "", **changes: str) -> str:
    headers = {"i-twilio-idempotency-token": token} if token else {}
    (signal,) = ADAPTER.parse(request(path, INCOMING | changes, headers=headers))
    return signal.id


# parse


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", VOICE)
def test_a_ringing_call(path: str, method: str) -> None:
    (signal,) = ADAPTER.parse(request(path, method=method))
    assert signal.event == events.CallInitiated(direction="incoming", **NUMBERS)
    assert signal.ids == LegIds(control=SID)
    assert signal.event.leg == CALLER


@pytest.mark.parametrize("path", VOICE)
def test_a_call_that_was_answered_elsewhere_and_is_sent_to_us(path: str) -> None:
    assert event(path, CallStatus="in-progress") == events.CallAnswered(**NUMBERS)


@pytest.mark.parametrize("path", [RESUME, FALLBACK])
@pytest.mark.parametrize("status", ["ringing", "in-progress"])
def test_a_call_that_comes_back(path: str, status: str) -> None:
    assert event(path, CallStatus=status) == events.CallResumed(unanswered=status == "ringing", **NUMBERS)


@pytest.mark.parametrize("path", [*VOICE, RESUME, STATUS])
@pytest.mark.parametrize("status", ["completed", "busy", "failed", "no-answer", "canceled"])
def test_the_end_of_a_call_wherever_it_is_told(path: str, status: str) -> None:
    ended = event(path, CallStatus=status, CallDuration="17", SipResponseCode="200")
    cause = {"busy": "user_busy", "no-answer": "no_answer"}.get(status, status)
    assert ended == events.CallHangup(
        cause=cause, source="carrier", sip_cause="200", seconds="17", unanswered=status != "completed"
    )


def test_a_person_who_is_busy_is_nobodys_fault() -> None:
    ended = event(STATUS, CallStatus="busy")
    assert isinstance(ended, events.CallHangup)
    assert result_of(known_cause(ended.cause), heard_agent=False) == "caller", "the other side's doing"


@pytest.mark.parametrize("status", ["ringing", "in-progress", "something new"])
def test_how_a_call_comes_along_is_only_recorded(status: str) -> None:
    assert event(STATUS, CallStatus=status) == events.CarrierNotice(kind=f"status {status}")


def test_that_a_dialled_call_has_left_the_queue_is_told_and_answered_with_nothing() -> None:
    begun = event(STATUS, CallStatus="initiated")
    assert begun == events.CallInitiated(direction="outgoing", **NUMBERS)
    assert twilio().reply(begun, ()).status == 204, "it is news, and no question"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"StreamEvent": "stream-started"}, events.StreamAnnounced(what="started")),
        ({"StreamEvent": "stream-stopped"}, events.StreamAnnounced(what="stopped")),
        (
            {"StreamEvent": "stream-error", "StreamError": "31920", "StreamName": "stream-1"},
            events.StreamFailed(reason="31920", address="stream-1"),
        ),
        ({"StreamEvent": "stream-paused"}, events.CarrierNotice(kind="stream stream-paused")),
    ],
)
def test_what_is_told_of_a_stream(said: dict[str, str], meant: Event) -> None:
    assert event(STREAM, StreamSid="MZ1", **said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            {"ReferCallStatus": "in-progress", "ReferSipResponseCode": "202", "NotifySipResponseCode": "200"},
            events.CallReferred(state="completed", code="200"),
        ),
        (
            {"ReferCallStatus": "busy", "ReferSipResponseCode": "202", "NotifySipResponseCode": "486"},
            events.CallReferred(state="failed", code="486"),
        ),
        (
            {"ReferCallStatus": "failed", "ReferSipResponseCode": "405"},
            events.CallReferred(state="failed", code="405"),
        ),
        ({"ReferSipResponseCode": "202"}, events.CallReferred(state="failed", code="202")),
    ],
)
def test_what_has_become_of_a_refer(said: dict[str, str], meant: Event) -> None:
    assert event(REFER, CallStatus="in-progress", **said) == meant


def test_a_caller_who_hangs_up_during_a_refer_is_gone() -> None:
    gone = event(REFER, CallStatus="completed", ReferCallStatus="canceled", ReferSipResponseCode="202")
    assert isinstance(gone, events.CallHangup)
    over = event(REFER, CallStatus="completed", ReferCallStatus="in-progress", NotifySipResponseCode="200")
    assert over == events.CallReferred(state="completed", code="200")


@pytest.mark.parametrize(
    ("status", "state"),
    [("in-progress", "running"), ("completed", "ready"), ("absent", "failed"), ("failed", "failed")],
)
def test_a_recording_has_a_state_and_is_as_long_as_twilio_says(status: str, state: Any) -> None:
    found = event(
        RECORDING, RecordingSid="RE1", RecordingStatus=status, RecordingChannels="2", RecordingDuration="13",
        RecordingStartTime="Tue, 14 Nov 2023 22:13:20 +0000", ErrorCode="0",
    )  # fmt: skip
    reason = "the carrier has none of it" if state == "failed" else ""
    assert found == events.CarrierRecording(
        recording="RE1", state=state, channels=2, seconds=13.0, began=1_700_000_000.0, reason=reason
    )


def test_what_a_recording_does_not_say_is_not_made_up() -> None:
    found = event(RECORDING, RecordingSid="RE1", RecordingStatus="completed", RecordingDuration="-1")
    assert found == events.CarrierRecording(recording="RE1", state="ready")
    other = event(RECORDING, RecordingSid="RE1", RecordingStatus="of next year")
    assert other == events.CarrierNotice(kind="recording of next year")


def test_a_request_without_a_call_is_malformed() -> None:
    for params in ({}, {"CallSid": ""}, {"CallSid": "x" * 65}):
        with pytest.raises(Malformed):
            ADAPTER.parse(request(params=params))


@given(st.dictionaries(st.sampled_from([*INCOMING, "StreamEvent", "Timestamp"]) | st.text(), st.text()))
def test_anything_else_in_a_form_raises_nothing_but_malformed(params: dict[str, str]) -> None:
    for path in (*VOICE, RESUME, STATUS, STREAM, RECORDING, MACHINE):
        try:
            ADAPTER.parse(
                request(path, {name: value.encode("utf-8", "replace").decode() for name, value in params.items()})
            )
        except (Malformed, UnicodeEncodeError):
            pass


def test_a_call_is_answered_once_however_it_is_asked() -> None:
    assert (
        key("/") == key("/", FromCity="BERLIN") == key("/twiml") == key("/", token="one") == key("/", token="two") != ""
    )
    assert key("/") != key("/", CallSid="CA2")


def test_a_repeat_is_known_by_its_token_and_without_one_by_what_it_says() -> None:
    assert key(RESUME, token="one") == key(RESUME, token="one", FromCity="BERLIN") != key(RESUME, token="two")
    assert key(RESUME) == "", "each time is a request of its own"
    told = {"CallStatus": "in-progress", "SequenceNumber": "2"}
    assert (
        key(STATUS, **told) == key(STATUS, **told, FromCity="BERLIN") != key(STATUS, **told | {"SequenceNumber": "3"})
    )
    assert key(STATUS, CallStatus="completed") == key(STATUS, CallStatus="completed", CallDuration="9") != ""
    assert key(STREAM, StreamSid="MZ1", StreamEvent="x") != key(STREAM, StreamSid="MZ2", StreamEvent="x")


# reply


def document(reply: Any) -> ElementTree.Element:
    assert (reply.status, reply.content_type) == (200, "text/xml; charset=utf-8")
    return ElementTree.fromstring(reply.body)


def verbs(reply: Any) -> list[str]:
    return [element.tag for element in document(reply)]


INITIATED, RESUMED = events.CallInitiated(direction="incoming"), events.CallResumed()


def test_answering_opens_the_stream_and_brings_the_caller_back_behind_it() -> None:
    root = document(ADAPTER.reply(INITIATED, [order(commands.Answer())]))
    connect, pause, redirect = root
    (stream,) = connect
    assert (connect.tag, connect.attrib) == ("Connect", {})
    assert stream.attrib == {"url": STREAM_URL, "name": "stream-1", "statusCallback": f"{PUBLIC}/twilio/stream"}
    assert {parameter.get("name"): parameter.get("value") for parameter in stream} == {
        "phoneNumber": "+15550100002",
        "phoneNumberSid": "PN1",
        "callerNumber": "+15550100001",
    }
    assert (pause.tag, pause.attrib) == ("Pause", {"length": "2"})
    assert (redirect.tag, redirect.attrib) == ("Redirect", {"method": "POST"})
    assert redirect.text == f"{PUBLIC}/twilio/resume#rc=5&rp=all&ct=2000&rt=4000"


def test_a_caller_who_only_hears_a_sentence_is_answered_without_a_stream() -> None:
    reply = twilio(greeting_text="Hello").reply(INITIATED, [order(commands.Answer(streamless=True))])
    assert verbs(reply) == ["Gather", "Redirect"], "a pause as the first verb does not answer"


def test_what_twilio_says_before_the_stream_it_says_once_and_what_comes_last_comes_last() -> None:
    adapter = twilio(greeting_text="Hello & <welcome>", pause_seconds=1, after_text="Disconnected.")
    first = adapter.reply(INITIATED, [order(commands.Answer())])
    assert verbs(first) == ["Say", "Pause", "Connect", "Pause", "Redirect"]
    say = document(first)[0]
    assert say.text == "Hello & <welcome>"
    assert say.attrib == {"voice": "Polly.Joanna-Neural", "language": "en-US"}
    assert verbs(adapter.reply(RESUMED, [order(commands.StartStream())])) == ["Connect", "Pause", "Redirect"]
    lost = events.CallResumed(unanswered=True)
    assert verbs(adapter.reply(lost, [order(commands.StartStream())])) == verbs(first), "nobody has heard it"
    recorded = verbs(adapter.reply(lost, [order(commands.StartStream(record=True))]))
    assert recorded == ["Say", "Pause", "Start", "Connect", "Pause", "Redirect"]
    last = adapter.reply(RESUMED, (), over=True)
    assert verbs(last) == ["Say", "Hangup"]
    assert document(last)[0].text == "Disconnected."
    assert adapter.preamble_seconds > 1 > ADAPTER.preamble_seconds


@pytest.mark.parametrize("text", ['"><Hangup/>', "<Hangup/>", "&amp;", "\x00\x08\ufffe", "ü 漢字 🙂", "x" * 600])
def test_what_a_caller_brings_stays_text(text: str) -> None:
    root = document(ADAPTER.reply(INITIATED, [order(commands.Answer(), from_number=text, to_number=text)]))
    assert [element.tag for element in root.iter()] == [
        "Response", "Connect", "Stream", "Parameter", "Parameter", "Parameter", "Pause", "Redirect",
    ]  # fmt: skip
    clean = text.translate({0: None, 8: None, 0xFFFE: None})
    parameter = root.find("Connect/Stream/Parameter")
    assert parameter is not None
    assert parameter.get("value") == (clean[:400] or "")


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        (commands.Reject(cause="busy"), ["Reject"]),
        (commands.Hangup(), ["Hangup"]),
        (commands.Speak(sentence="sorry"), ["Say", "Hangup"]),
    ],
)
def test_how_a_call_is_ended_in_the_answer(command: commands.Command, wanted: list[str]) -> None:
    reply = ADAPTER.reply(INITIATED, [order(command)])
    assert verbs(reply) == wanted
    assert reply.rest == ()
    if wanted == ["Reject"]:
        assert document(reply)[0].attrib == {"reason": "busy"}


@pytest.mark.parametrize("token", ["", "t1"])
def test_a_persons_key_is_known_again_by_its_token_and_asks_for_a_document_each_time(token: str) -> None:
    headers = {"i-twilio-idempotency-token": token} if token else {}
    (webhook,) = ADAPTER.parse(request(KEYS, INCOMING | {"Digits": "1"}, headers=headers))
    delivery = webhook.id if token else ""  # without it, the same key pressed once more is no other
    assert webhook.event == events.Dtmf(digit="1", source="asked", delivery=delivery)
    again = events.CarrierNotice(kind="a key that was told already", digit="1", source="asked", delivery=delivery)
    assert verbs(ADAPTER.reply(webhook.event, ())) == verbs(ADAPTER.reply(again, ())) == ["Pause", "Redirect"]
    assert ADAPTER.reply(events.CarrierNotice(kind="status ringing"), ()).status == 204


def test_with_nothing_to_say_yet_the_caller_is_asked_about_again_and_rings_on() -> None:
    reply = ADAPTER.reply(INITIATED, ())
    assert verbs(reply) == ["Pause", "Redirect"]
    assert document(reply)[0].attrib == {"length": "1"}


def test_a_call_that_is_over_is_hung_up() -> None:
    assert verbs(ADAPTER.reply(INITIATED, (), over=True)) == ["Hangup"]


def test_one_answer_carries_one_order_and_the_rest_is_left() -> None:
    orders = [order(commands.Speak(sentence="sorry")), order(commands.Hangup())]
    reply = ADAPTER.reply(RESUMED, orders)
    assert verbs(reply) == ["Say", "Hangup"]
    assert reply.rest == (orders[1],)


@pytest.mark.parametrize("told", [events.CallHangup(), events.CarrierNotice(), events.StreamFailed(), None])
def test_what_only_tells_is_answered_with_nothing_and_every_order_is_left(told: Event | None) -> None:
    orders = [order(commands.Speak(sentence="sorry"))]
    reply = ADAPTER.reply(told, orders)
    assert (reply.status, reply.body, reply.rest) == (204, b"", tuple(orders))


def test_a_document_fits_into_what_the_rest_interface_takes() -> None:
    """Twilio docs: `Twiml` holds 4000 characters."""
    long = order(commands.Answer(), from_number="x" * 600, to_number="y" * 600)
    assert len(twilio(greeting_text="g" * 500).reply(INITIATED, [long]).body) < 4000
