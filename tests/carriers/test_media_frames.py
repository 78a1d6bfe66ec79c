"""What comes and goes 50 times a second is read and written without a general JSON library, which is the judge here.

Control characters in texts, and bytes in other fields that are no UTF-8, are let pass by both.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.errors import Malformed
from callflow.contracts.loose_base64 import loosely_decoded
from callflow.contracts.media import (
    CallerAudio,
    DtmfFrame,
    IgnoredFrame,
    MarkReceived,
    MediaProtocol,
    StreamStarted,
    StreamStopped,
)
from callflow.contracts.printable import whole
from callflow.engines.openai_realtime import server_events
from carriers.telnyx.media import TelnyxMediaProtocol
from carriers.twilio.media import TwilioMediaProtocol


def telnyx() -> MediaProtocol:
    return TelnyxMediaProtocol()


def twilio() -> MediaProtocol:
    protocol = TwilioMediaProtocol()
    form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    start = {
        "event": "start",
        "streamSid": 'MZ"1',
        "start": {"callSid": "CA1", "accountSid": "AC1", "mediaFormat": form},
    }
    assert isinstance(protocol.decode(json.dumps(start)), StreamStarted)
    return protocol


CARRIERS = pytest.mark.parametrize("carrier", [telnyx, twilio])
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PAYLOAD = st.binary(max_size=320).map(lambda audio: base64.b64encode(audio).decode())
CHUNK = st.integers(0, 10**9).map(str) | st.integers(0, 10**9)


@st.composite
def written(draw: st.DrawFn, document: dict[str, Any]) -> str:
    """The same document as any JSON library may write it: in any order, with other fields, spaces and escapes."""

    def shuffled(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        more = draw(st.dictionaries(st.text(max_size=8).filter(lambda name: name not in value), ANY, max_size=2))
        pairs = draw(st.permutations([*value.items(), *more.items()]))
        return {name: shuffled(inner) for name, inner in pairs}

    between = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r")]))
    text = json.dumps(shuffled(document), ensure_ascii=draw(st.booleans()), separators=between)
    return text.replace("/", "\\/") if draw(st.booleans()) else text


@st.composite
def media(draw: st.DrawFn) -> str:
    body: dict[str, Any] = {"payload": draw(PAYLOAD), "chunk": draw(CHUNK)}
    if draw(st.booleans()):
        body["track"] = draw(st.sampled_from(["inbound", "inbound_track", None, ""]))
    return draw(written({"event": "media", "media": body}))


@st.composite
def delta(draw: st.DrawFn) -> str:
    names = {"response_id": draw(st.text(min_size=1, max_size=20)), "item_id": draw(st.text(min_size=1, max_size=20))}
    index = draw(st.integers(0, 1000))
    kind = draw(st.sampled_from(["response.output_audio.delta", "response.audio.delta"]))
    return draw(written({"type": kind, "content_index": index, "delta": draw(PAYLOAD.filter(bool)), **names}))


@pytest.mark.exhaustive
@CARRIERS
@given(text=media())
def test_audio_of_the_caller_is_what_the_json_says(carrier: Any, text: str) -> None:
    said = json.loads(text)["media"]
    assert carrier().decode(text) == CallerAudio(int(said["chunk"]), said["payload"])


@CARRIERS
@given(text=media(), at=st.integers(0, 2000), instead=st.text(max_size=2))
def test_what_is_no_json_is_no_audio(carrier: Any, text: str, at: int, instead: str) -> None:
    at %= len(text)
    broken = text[:at] + instead + text[at + 1 :]
    try:
        frame = carrier().decode(broken)
    except Malformed:
        return
    if isinstance(frame, CallerAudio):
        said = json.loads(broken, strict=False)["media"]  # raises where it is no JSON
        assert frame.payload == whole(said["payload"])  # half a character is repaired


@CARRIERS
@pytest.mark.parametrize(
    "odd", [r'"\ud800"', r'"x\udfff"', "NaN", "-Infinity", "1e999", "9" * 400, '"a\nb"', r'{"\ud83d": 1}', "[NaN]"]
)
@pytest.mark.parametrize("inside", [True, False])
def test_what_the_strict_decoder_refuses_in_another_field_costs_no_frame(carrier: Any, odd: str, inside: bool) -> None:
    """A name cut in the middle of a character cost the `start` frame, and with it the call."""

    def read(event: str, **content: str) -> Any:
        body = {name: f'"{value}"' for name, value in content.items()}
        fields = {"event": f'"{event}"', "start": odd} if event != "start" and not inside else {"event": f'"{event}"'}
        body["from"] = odd if inside or event == "start" else "1"
        fields[event] = "{" + ",".join(f'"{name}":{value}' for name, value in body.items()) + "}"
        return carrier().decode("{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}")

    assert read("media", payload="AAAA", chunk="7") == CallerAudio(7, "AAAA")
    assert read("mark", name="a") == MarkReceived("a")
    assert read("dtmf", digit="5") == DtmfFrame("5")
    assert isinstance(read("stop"), StreamStopped)
    start = read("start", call_control_id="c1", callSid="c1")
    assert isinstance(start, StreamStarted)
    assert (start.call, start.encoding) == ("c1", "PCMU")


@CARRIERS
def test_a_long_frame_is_not_read_leniently(carrier: Any) -> None:
    """That is slow, and whoever sends many such frames would hold up all others."""
    with pytest.raises(Malformed):
        carrier().decode(f'{{"event":"media","x":NaN,"media":{{"payload":"{"AAAA" * 2500}"}}}}')


@CARRIERS
@given(payload=PAYLOAD, name=st.text(max_size=40))
def test_what_is_sent_is_the_json_that_is_meant(carrier: Any, payload: str, name: str) -> None:
    protocol = carrier()
    own = {} if carrier is telnyx else {"streamSid": 'MZ"1'}
    assert json.loads(protocol.audio(payload)) == {"event": "media", **own, "media": {"payload": payload}}
    assert json.loads(protocol.mark(name)) == {"event": "mark", **own, "mark": {"name": name}}
    assert json.loads(protocol.clear()) == {"event": "clear", **own}


@CARRIERS
@pytest.mark.parametrize("odd", [[], {}, "", 5, {"payload": 5}, {"payload": None, "chunk": 1}])
def test_what_stands_in_the_place_of_audio_costs_only_a_media_frame(carrier: Any, odd: Any) -> None:
    def frame(event: str, **content: Any) -> str:
        return json.dumps({"event": event, "media": odd, **content})

    assert carrier().decode(frame("mark", mark={"name": "a"})) == MarkReceived("a")
    assert carrier().decode(frame("dtmf", dtmf={"digit": "5"})) == DtmfFrame("5")
    assert isinstance(carrier().decode(frame("stop")), StreamStopped)
    assert isinstance(carrier().decode(frame("anything")), IgnoredFrame)
    with pytest.raises(Malformed):
        carrier().decode(frame("media"))


@given(delta())
def test_audio_of_the_model_is_what_the_json_says(text: str) -> None:
    said = json.loads(text)
    audio = server_events.audio_delta(server_events.decode(text.encode()))
    assert audio == (said["response_id"], said["item_id"], said["content_index"], base64.b64decode(said["delta"]))


@given(audio=st.binary(min_size=1, max_size=320), written=st.sampled_from(["unpadded", "url-safe", "broken"]))
def test_audio_of_the_model_is_read_however_its_base64_is_written(audio: bytes, written: str) -> None:
    """Without its padding, none of it was heard."""
    text = base64.b64encode(audio).decode()
    odd = {"unpadded": text.rstrip("="), "url-safe": text.replace("+", "-").replace("/", "_"), "broken": f"{text}\n"}
    message = json.dumps({"type": server_events.AUDIO_DELTA, "item_id": "i", "delta": odd[written]})
    heard = server_events.audio_delta(server_events.decode(message.encode()))
    assert heard is not None
    assert heard.audio == audio


@given(delta(), st.integers(0, 2000), st.binary(max_size=2))
def test_what_is_no_json_is_no_audio_of_the_model(text: str, at: int, instead: bytes) -> None:
    message = text.encode()
    at %= len(message)
    broken = message[:at] + instead + message[at + 1 :]
    try:
        event = server_events.decode(broken)
        audio = server_events.audio_delta(event) if event.type == server_events.AUDIO_DELTA else None
    except Malformed:
        return
    if audio is not None:
        said = json.loads(broken.decode(errors="replace"), strict=False)["delta"]  # raises where it is no JSON
        assert audio.audio == loosely_decoded(said)
