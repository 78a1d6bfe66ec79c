"""Twilio's media frames."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts import Audio, Connected, Digit, Ignored, MarkBack, Start, Stop
from callflow.errors import Malformed
from carriers.twilio_media import TwilioDialect
from tests.carriers.twilio_house import ACCOUNT, SID


START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ1",
    "start": {
        "accountSid": ACCOUNT,
        "streamSid": "MZ1",
        "callSid": SID,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {},
    },
}


def started(account: str = ACCOUNT) -> TwilioDialect:
    dialect = TwilioDialect(account)
    dialect.decode(json.dumps(START))
    return dialect


@pytest.mark.parametrize(
    ("frame", "meant"),
    [
        ({"event": "connected", "protocol": "Call", "version": "1.0.0"}, Connected()),
        (START, Start("MZ1", SID, "", "PCMU", 8000, 1)),
        (
            {"event": "media", "streamSid": "MZ1", "media": {"track": "inbound", "chunk": "7", "payload": "/w=="}},
            Audio(7, "/w=="),
        ),
        (
            {"event": "media", "media": {"track": "outbound", "chunk": "7", "payload": "/w=="}},
            Ignored("outbound media"),
        ),
        ({"event": "mark", "mark": {"name": "item:1"}}, MarkBack("item:1")),
        ({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "#"}}, Digit("#")),
        ({"event": "stop", "stop": {"accountSid": ACCOUNT, "callSid": SID}}, Stop("stop frame")),
        ({"event": "tomorrow"}, Ignored("tomorrow")),
    ],
)
def test_what_a_frame_means(frame: dict[str, Any], meant: Any) -> None:
    assert TwilioDialect(ACCOUNT).decode(json.dumps(frame)) == meant


@pytest.mark.parametrize(
    "frame", ["", "[]", "{}", '"x"', '{"event":1}', '{"event":"media"}', '{"event":"start"}', b"\0"]
)
def test_what_is_no_frame_is_malformed(frame: Any) -> None:
    with pytest.raises(Malformed):
        TwilioDialect().decode(frame)


def test_a_frame_of_more_than_thirty_seconds_is_malformed() -> None:
    with pytest.raises(Malformed):
        TwilioDialect().decode(json.dumps({"event": "media", "media": {"payload": "A" * 400_000}}))


def test_a_stream_of_another_account_belongs_to_no_call_of_ours() -> None:
    frame = TwilioDialect("AC" + "9" * 32).decode(json.dumps(START))
    assert isinstance(frame, Start)
    assert frame.call != SID


@pytest.mark.parametrize(("encoding", "ours"), [("audio/x-mulaw", "PCMU"), ("", "PCMU"), ("audio/l16", "audio/l16")])
def test_the_encoding_is_told_as_it_is(encoding: str, ours: str) -> None:
    form = {"encoding": encoding, "sampleRate": 16000, "channels": 2}
    start = TwilioDialect().decode(json.dumps(START | {"start": {"mediaFormat": form}}))
    assert isinstance(start, Start)
    assert (start.encoding, start.sample_rate, start.channels) == (ours, 16000, 2)


def test_everything_sent_names_the_stream_and_nothing_more_than_it_must() -> None:
    dialect = started()
    assert json.loads(dialect.audio("/w==")) == {"event": "media", "streamSid": "MZ1", "media": {"payload": "/w=="}}
    assert json.loads(dialect.mark("a:0")) == {"event": "mark", "streamSid": "MZ1", "mark": {"name": "a:0"}}
    assert json.loads(dialect.clear()) == {"event": "clear", "streamSid": "MZ1"}


@given(st.text())
def test_any_name_of_a_mark_comes_through(name: str) -> None:
    name = name.encode("utf-8", "replace").decode()
    assert json.loads(started().mark(name))["mark"]["name"] == name


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_arbitrary_contents_raise_nothing_but_malformed(value: Any) -> None:
    for event in ("connected", "start", "media", "mark", "dtmf", "stop"):
        try:
            TwilioDialect(ACCOUNT).decode(json.dumps({"event": event, event: value}))
        except Malformed:
            pass
