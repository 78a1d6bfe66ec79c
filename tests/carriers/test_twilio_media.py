"""Twilio's media frames."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.errors import Malformed
from callflow.contracts.media import (
    CallerAudio,
    DtmfFrame,
    IgnoredFrame,
    MarkReceived,
    OtherAudio,
    StreamConnected,
    StreamStarted,
    StreamStopped,
)
from carriers.twilio.media import TwilioMediaProtocol
from tests.carriers.twilio_product import ACCOUNT, SID


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


def started(account: str = ACCOUNT) -> TwilioMediaProtocol:
    protocol = TwilioMediaProtocol(account)
    protocol.decode(json.dumps(START))
    return protocol


@pytest.mark.parametrize(
    ("frame", "meant"),
    [
        ({"event": "connected", "protocol": "Call", "version": "1.0.0"}, StreamConnected()),
        (START, StreamStarted("MZ1", SID, "", "PCMU", 8000, 1)),
        (
            {"event": "media", "streamSid": "MZ1", "media": {"track": "inbound", "chunk": "7", "payload": "/w=="}},
            CallerAudio(7, "/w=="),
        ),
        (
            {"event": "media", "media": {"track": "outbound", "chunk": "7", "payload": "/w=="}},
            OtherAudio("/w=="),
        ),
        ({"event": "mark", "mark": {"name": "item:1"}}, MarkReceived("item:1")),
        ({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "#"}}, DtmfFrame("#")),
        ({"event": "stop", "stop": {"accountSid": ACCOUNT, "callSid": SID}}, StreamStopped("stop frame")),
        ({"event": "tomorrow"}, IgnoredFrame("tomorrow")),
    ],
)
def test_what_a_frame_means(frame: dict[str, Any], meant: Any) -> None:
    assert TwilioMediaProtocol(ACCOUNT).decode(json.dumps(frame)) == meant


@pytest.mark.parametrize(
    "frame", ["", "[]", "{}", '"x"', '{"event":1}', '{"event":"media"}', '{"event":"start"}', b"\0"]
)
def test_what_is_no_frame_is_malformed(frame: Any) -> None:
    with pytest.raises(Malformed):
        TwilioMediaProtocol().decode(frame)


def test_a_frame_of_more_than_thirty_seconds_is_malformed() -> None:
    with pytest.raises(Malformed):
        TwilioMediaProtocol().decode(json.dumps({"event": "media", "media": {"payload": "A" * 400_000}}))


def test_a_stream_of_another_account_belongs_to_no_call_of_ours() -> None:
    frame = TwilioMediaProtocol("AC" + "9" * 32).decode(json.dumps(START))
    assert isinstance(frame, StreamStarted)
    assert frame.call != SID
    assert frame.is_foreign


@pytest.mark.parametrize(("encoding", "ours"), [("audio/x-mulaw", "PCMU"), ("", "PCMU"), ("audio/l16", "audio/l16")])
def test_the_encoding_is_told_as_it_is(encoding: str, ours: str) -> None:
    form = {"encoding": encoding, "sampleRate": 16000, "channels": 2}
    start = TwilioMediaProtocol().decode(json.dumps(START | {"start": {"mediaFormat": form}}))
    assert isinstance(start, StreamStarted)
    assert (start.encoding, start.sample_rate, start.channels) == (ours, 16000, 2)


def test_everything_sent_names_the_stream_and_nothing_more_than_it_must() -> None:
    protocol = started()
    assert json.loads(protocol.audio("/w==")) == {"event": "media", "streamSid": "MZ1", "media": {"payload": "/w=="}}
    assert json.loads(protocol.mark("a:0")) == {"event": "mark", "streamSid": "MZ1", "mark": {"name": "a:0"}}
    assert json.loads(protocol.clear()) == {"event": "clear", "streamSid": "MZ1"}


@given(st.text())
def test_any_name_of_a_mark_comes_through(name: str) -> None:
    name = name.encode("utf-8", "replace").decode()
    assert json.loads(started().mark(name))["mark"]["name"] == name


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_arbitrary_contents_raise_nothing_but_malformed(value: Any) -> None:
    for event in ("connected", "start", "media", "mark", "dtmf", "stop"):
        try:
            TwilioMediaProtocol(ACCOUNT).decode(json.dumps({"event": event, event: value}))
        except Malformed:
            pass
