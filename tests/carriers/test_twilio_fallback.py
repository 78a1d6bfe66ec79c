"""The sentence before a caller is connected with the fallback number, as Twilio's documents have it."""

from __future__ import annotations

import dataclasses
from typing import Final
from xml.etree import ElementTree

from callflow.contracts import commands, events
from carriers.twilio.twiml import CONNECTION_OVERRIDES
from tests.carriers.twilio_product import INCOMING, PUBLIC, order, request, twilio


SAID: Final = f"{PUBLIC}/twilio/resume?said=1"


def verbs(document: bytes) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(document))


def test_the_sentence_comes_back_and_the_last_one_does_not() -> None:
    adapter = twilio(sentences={"sorry": "I am sorry.", "one-moment": "One moment."})
    asked = events.CallResumed()
    say, back = verbs(adapter.reply(asked, [order(commands.Speak(sentence="one-moment", goes_on=True))]).body)
    assert (say.text, back.tag, (back.text or "").partition("#")[0]) == ("One moment.", "Redirect", SAID)
    own = order(commands.Speak(sentence="fallback", goes_on=True), text="We call for somebody.")
    assert verbs(adapter.reply(asked, [own]).body)[0].text == "We call for somebody."
    assert [verb.tag for verb in verbs(adapter.reply(asked, [order(commands.Speak())]).body)] == ["Say", "Hangup"]


def test_that_it_is_over_is_no_lost_stream_and_the_answer_connects_the_caller() -> None:
    adapter = twilio()
    plain = request("/twilio/resume", {**INCOMING, "CallStatus": "in-progress"})
    (resumed,) = adapter.parse(plain)
    (over,) = adapter.parse(dataclasses.replace(plain, url=SAID, query="said=1"))
    assert isinstance(resumed.event, events.CallResumed)
    assert isinstance(over.event, events.SpeakEnded)
    for told, talked in (
        ({"DialBridged": "true", "DialCallStatus": "completed"}, True),
        ({"DialBridged": "false", "DialCallStatus": "completed"}, False),
        ({"DialCallStatus": "completed"}, True),
        ({"DialCallStatus": "no-answer"}, False),
        ({}, False),
    ):
        (resumed,) = adapter.parse(request("/twilio/resume", {**INCOMING, "CallStatus": "in-progress", **told}))
        assert isinstance(resumed.event, events.CallResumed)
        assert resumed.event.talked == talked, told
    transfer = order(commands.Transfer(number="+15550100010", ring_seconds=20, fallback=True))
    reply = adapter.reply(over.event, [transfer])
    (dial,) = verbs(reply.body)
    for url in (dial.get("action", ""), dial[0].get("statusCallback", "")):
        assert url.endswith(CONNECTION_OVERRIDES), "Twilio gives up at the first 5xx, and nobody knows that they talk"
    assert (dial.tag, dial.get("timeout"), dial[0].text, reply.rest) == ("Dial", "20", "+15550100010", ())
