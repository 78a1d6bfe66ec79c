"""TwiML: documents that are XML whatever was said, and end where they are meant to."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carriers.twilio.twiml import CONNECTION_OVERRIDES, Document, Stream, Voice


VOICE = Voice("Polly.Joanna", "en-US")
ADDRESS = "https://calls.example"
RESUME = f"{ADDRESS}/twilio/resume"


def document(voice: Voice = VOICE) -> Document:
    return Document(ADDRESS, voice)


def parsed(made: Document) -> Element:
    text = made.text()
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    return fromstring(text.encode())


def only(made: Document) -> Element:
    (verb,) = parsed(made)
    return verb


ODD = st.text(st.sampled_from("a<>&'\"]é🚕\x00\x0b\x1b\ud800\udfff\ufffe\uffff\n\t"), max_size=30)


@settings(max_examples=30)
@given(ODD)
def test_whatever_is_said_the_document_is_xml_and_has_the_words_that_xml_may_hold(text: str) -> None:
    whole = parsed(document().say(text).ask(text, "/next", 3).connect(Stream("wss://x", "n", "/s", [("a", text)])))
    kept = "".join(each for each in text if each in "a<>&'\"]é🚕\n\t" or "\ud800" <= each <= "\udfff")
    kept = kept.encode("utf-8", "replace").decode()
    said = [each.text or "" for each in whole.iter("Say")]
    assert said == ([kept] if not text else [kept, kept])


@pytest.mark.parametrize(
    ("voice", "attributes"),
    [
        (VOICE, {"voice": "Polly.Joanna", "language": "en-US"}),
        (Voice("AWS.Polly.Joanna", ""), {"voice": "Polly.Joanna"}),
        (Voice("Google.x", ""), {"voice": "Google.x"}), (Voice("cedar", "de-DE"), {"language": "de-DE"}),
        (Voice("", ""), {}), (Voice("alice", ""), {"voice": "alice"}),
    ],
)  # fmt: skip
def test_a_voice_that_twilio_does_not_have_is_left_out(voice: Voice, attributes: dict[str, str]) -> None:
    assert only(document(voice).say("Hello.")).attrib == attributes


def test_nothing_is_said_and_nobody_waits_for_nothing() -> None:
    assert list(parsed(document().say("").pause(0))) == []
    assert only(document().pause(2)).attrib == {"length": "2"}


def test_parameters_of_a_stream_are_cut_to_what_twilio_takes() -> None:
    stream = Stream("wss://x/y?a=1&b=2", "n", "https://s", [("token", "x" * 999), ("empty", "")])
    connect = only(document().connect(stream))
    found = connect.find("Stream")
    assert found is not None
    assert found.attrib == {"url": "wss://x/y?a=1&b=2", "name": "n", "statusCallback": "https://s"}
    assert [len(each.attrib["value"]) for each in found] == [400, 0]


def test_a_document_comes_back_with_a_mark_where_a_sentence_is_over() -> None:
    redirect = only(document().come_back(0))
    assert (redirect.attrib, redirect.text) == ({"method": "POST"}, f"{RESUME}{CONNECTION_OVERRIDES}")
    pause, said = parsed(document().come_back(5, said=True))
    assert (pause.attrib["length"], said.text) == ("5", f"{RESUME}?said=1{CONNECTION_OVERRIDES}")
    gather, after = parsed(document().wait(9))
    assert (gather.attrib["timeout"], gather.attrib["numDigits"], after.tag) == ("9", "1", "Redirect")


@pytest.mark.parametrize(
    ("made", "outer", "inner", "text"),
    [
        (document().ring("+15550100001"), "Dial", "Number", "+15550100001"),
        (document().confer("room <1>"), "Dial", "Conference", "room <1>"),
        (document().refer("sip:a@b", then="/t"), "Refer", "Sip", "sip:a@b"),
        (document().dial("+1", caller_id="+2", seconds=20, then="/t", answered="/a"), "Dial", "Number", "+1"),
    ],
)  # fmt: skip
def test_whom_a_verb_is_about_stands_within_it(made: Document, outer: str, inner: str, text: str) -> None:
    verb = only(made)
    (within,) = verb
    assert (verb.tag, within.tag, within.text) == (outer, inner, text)


def test_a_dial_asks_afterwards_and_tells_of_the_answer() -> None:
    verb = only(document().dial("+1", caller_id="+2", seconds=20, then="/t", answered="/a"))
    assert verb.attrib == {"callerId": "+2", "timeout": "20", "action": "/t", "method": "POST"}
    assert verb[0].attrib == {"statusCallback": "/a", "statusCallbackEvent": "answered", "statusCallbackMethod": "POST"}


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ([], "sip:p@x"), ([("X-A", "")], "sip:p@x"),
        ([("X-A", "1"), ("X-B", "a b&c=é")], "sip:p@x?X-A=1&X-B=a%20b%26c%3D%C3%A9"),
        ([("X-A", "x" * 300)], "sip:p@x"),
    ],
)  # fmt: skip
def test_headers_of_an_invite_are_left_out_where_the_address_would_be_too_long(headers: Any, text: str) -> None:
    sip = only(document().lead_to_sip("sip:p@x", headers, seconds=30, then="/t"))[0]
    assert sip.text == text
    longest = only(document().lead_to_sip("sip:p@x", [("X", "x" * 244)], seconds=30, then="/t"))[0].text or ""
    assert len(longest) == 254, "fewer than 255"
    assert only(document().lead_to_sip("sip:p@x", [("X", "x" * 245)], seconds=30, then="/t"))[0].text == "sip:p@x"


def test_a_recording_has_both_sides_and_its_end_is_told() -> None:
    start = only(document().record("https://calls.example/told"))
    assert start[0].attrib["channels"] == "dual"
    assert start[0].attrib["recordingStatusCallback"] == "https://calls.example/told"
    assert [each.tag for each in parsed(document().reject("busy").hang_up())] == ["Reject", "Hangup"]
