"""Telnyx's media frames, both ways."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.errors import Malformed
from callflow.contracts.media import (
    CallerAudio,
    DtmfFrame,
    Frame,
    IgnoredFrame,
    MarkReceived,
    MediaError,
    OtherAudio,
    StreamConnected,
    StreamStarted,
    StreamStopped,
)
from carriers.telnyx.media import TelnyxMediaProtocol


STREAM = "4f9c1a52-7a5c-4b0e-9c6e-2f5d5a1a0001"
START: dict[str, Any] = {
    "user_id": "u",
    "call_control_id": "v3:c",
    "call_session_id": "s",
    "from": None,
    "tags": [],
    "client_state": None,
    "custom_parameters": {"k": "v"},
    "media_format": {"encoding": "PCMA", "sample_rate": 16000, "channels": 2},
}


def media(**fields: Any) -> dict[str, Any]:
    return {"event": "media", "sequence_number": "4", "stream_id": STREAM, "media": {"payload": "/////w==", **fields}}


FRAMES: list[tuple[dict[str, Any], Frame]] = [
    ({"event": "connected", "version": "1.0.0"}, StreamConnected()),
    ({"event": "connected", "version": "1.0.0", "protocol": "Call", "connected": None}, StreamConnected()),
    (
        {"event": "connected", "version": "1.0.0", "connected": {"x-telnyx-streaming-auth-token": "SECRET"}},
        StreamConnected("SECRET"),
    ),
    (
        {"event": "start", "sequence_number": "1", "stream_id": STREAM, "start": START},
        StreamStarted(STREAM, "v3:c", "s", "PCMA", 16000, 2),
    ),
    (
        {"event": "start", "start": {"stream_id": STREAM, "call_control_id": "v3:c"}},
        StreamStarted(STREAM, "v3:c", "", "PCMU", 8000, 1),
    ),
    (
        {"event": "start", "stream_id": STREAM, "start": {"media_format": {"encoding": "pcmu", "sample_rate": "8000"}}},
        StreamStarted(STREAM, "", "", "PCMU", 8000, 1),
    ),
    (media(track="inbound", chunk="2", timestamp="5"), CallerAudio(2, "/////w==")),
    (media(track="inbound_track", chunk=7), CallerAudio(7, "/////w==")),
    (media(), CallerAudio(0, "/////w==")),
    (media(track=None, chunk=None), CallerAudio(0, "/////w==")),
    (media(chunk="no number"), CallerAudio(0, "/////w==")),
    (media(chunk="-1"), CallerAudio(0, "/////w==")),
    (media(chunk=-1), CallerAudio(0, "/////w==")),
    (media(chunk="٣"), CallerAudio(0, "/////w==")),
    (media(chunk="9" * 5000), CallerAudio(0, "/////w==")),
    (media(track="outbound", chunk="2"), OtherAudio("/////w==")),
    (media(track="outbound_track"), OtherAudio("/////w==")),
    ({"event": "dtmf", "stream_id": STREAM, "dtmf": {"digit": "#"}}, DtmfFrame("#")),
    ({"event": "dtmf", "dtmf": {"digit": 5}}, DtmfFrame("5")),
    ({"event": "dtmf", "dtmf": None}, DtmfFrame("")),
    ({"event": "mark", "stream_id": STREAM, "mark": {"name": "0.12"}}, MarkReceived("0.12")),
    ({"event": "mark", "mark": {}}, MarkReceived("")),
    (
        {"event": "error", "payload": {"code": 100003, "title": "malformed_frame", "detail": "d"}},
        MediaError("100003", "malformed_frame"),
    ),
    ({"event": "error"}, MediaError("", "")),
    ({"event": "stop", "stream_id": STREAM, "stop": {"call_control_id": "v3:c"}}, StreamStopped("stop frame")),
    ({"event": "stop"}, StreamStopped("stop frame")),
    ({"event": "of_next_year", "payload": [1]}, IgnoredFrame("of_next_year")),
    ({"event": "x" * 500}, IgnoredFrame("x" * 40)),
]


@pytest.mark.parametrize(("frame", "meaning"), FRAMES, ids=range(len(FRAMES)))
def test_what_a_frame_means(frame: dict[str, Any], meaning: Frame) -> None:
    assert TelnyxMediaProtocol().decode(json.dumps(frame)) == meaning
    assert TelnyxMediaProtocol().decode(json.dumps({**frame, "field_of_next_year": {"a": [1]}})) == meaning


def test_audio_passes_untouched() -> None:
    payload = base64.b64encode(bytes(range(256))).decode()
    assert TelnyxMediaProtocol().decode(json.dumps(media(payload=payload))) == CallerAudio(0, payload)


MALFORMED: dict[str, str | bytes] = {
    "nothing": "",
    "not JSON": "media",
    "a list": "[]",
    "null": "null",
    "a string": '"media"',
    "no event": "{}",
    "event null": '{"event":null}',
    "event a number": '{"event":1}',
    "too deep": "[" * 100_000,
    "too deep where nobody looks": '{"event":"x","extra":' + "[" * 100_000,
    "cut off": '{"event":"media","media":{"payl',
    "two documents": '{"event":"stop"}{"event":"stop"}',
    "half a surrogate in half a frame": '{"event":"mark","mark":{"name":"\\ud800"}',
    "half a surrogate outside JSON": "\ud800",
    "media without a body": '{"event":"media"}',
    "media null": '{"event":"media","media":null}',
    "media a list": '{"event":"media","media":[]}',
    "media without a payload": '{"event":"media","media":{"chunk":"1"}}',
    "payload null": '{"event":"media","media":{"payload":null}}',
    "payload a number": '{"event":"media","media":{"payload":1}}',
    "a number beyond all numbers": '{"event":"error","payload":{"code":' + "9" * 5000 + "}}",
    "start without a body": '{"event":"start"}',
    "start a list": '{"event":"start","start":[]}',
    "binary": b'{"event":"stop"}',
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_frame_is_refused(what: str) -> None:
    with pytest.raises(Malformed):
        TelnyxMediaProtocol().decode(MALFORMED[what])


def test_a_frame_holds_thirty_seconds_and_no_more() -> None:
    longest = base64.b64encode(bytes(30 * 8000)).decode()
    assert TelnyxMediaProtocol().decode(json.dumps(media(payload=longest))) == CallerAudio(0, longest)
    with pytest.raises(Malformed, match="30 s"):
        TelnyxMediaProtocol().decode(json.dumps(media(payload=longest + "AAAAAAAA")))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
EVENTS = st.sampled_from(["connected", "start", "media", "dtmf", "mark", "error", "stop"]) | st.text() | JSON
PARTS = st.sampled_from(["stream_id", "start", "media", "dtmf", "mark", "connected", "payload"])
BODY = st.dictionaries(
    st.sampled_from(["payload", "track", "chunk", "name", "digit", "media_format", "code", "call_control_id"]), JSON
)


def _only_malformed(text: str | bytes) -> None:
    try:
        frame = TelnyxMediaProtocol().decode(text)
    except Malformed:
        return
    assert isinstance(frame, Frame)
    json.dumps(frame).encode()


@given(st.text(st.characters()) | st.binary())
def test_arbitrary_text_and_bytes_raise_nothing_but_malformed(text: str | bytes) -> None:
    _only_malformed(text)


@given(JSON)
def test_arbitrary_json_raises_nothing_but_malformed(document: Any) -> None:
    _only_malformed(json.dumps(document))


@given(event=EVENTS, parts=st.dictionaries(PARTS, BODY | JSON))
def test_arbitrary_parts_raise_nothing_but_malformed(event: Any, parts: dict[str, Any]) -> None:
    _only_malformed(json.dumps({"event": event, **parts}))


# To Telnyx


@given(st.binary(min_size=160, max_size=640))
def test_audio_for_telnyx(audio: bytes) -> None:
    payload = base64.b64encode(audio).decode()
    frame = json.loads(TelnyxMediaProtocol().audio(payload))
    assert frame == {"event": "media", "media": {"payload": payload}}


@given(st.text())
def test_marks_for_telnyx_may_have_any_name(name: str) -> None:
    assert json.loads(TelnyxMediaProtocol().mark(name)) == {"event": "mark", "mark": {"name": name}}


def test_a_mark_comes_back_under_its_name() -> None:
    sent = TelnyxMediaProtocol().mark('3."7"')
    assert TelnyxMediaProtocol().decode(sent) == MarkReceived('3."7"')


def test_clear_for_telnyx() -> None:
    assert json.loads(TelnyxMediaProtocol().clear()) == {"event": "clear"}
