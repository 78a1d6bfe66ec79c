"""Odd frames of a media stream: read as far as they can be, told without what they hold."""

from __future__ import annotations

import base64
import json

import pytest

from callflow.contracts.media import CallerAudio
from callflow.media.malformed_frames import shape_of
from carriers.telnyx.media import TelnyxMediaProtocol
from carriers.twilio.media import TwilioMediaProtocol


AUDIO = bytes(range(160))
WHOLE = base64.b64encode(AUDIO).decode()


@pytest.mark.parametrize("chunk", [7, "7", 7.0, "7.0", " 7 "])
@pytest.mark.parametrize("protocol", [TelnyxMediaProtocol, TwilioMediaProtocol])
def test_a_counter_may_be_any_kind_of_number(protocol: type[TelnyxMediaProtocol], chunk: object) -> None:
    frame = {"event": "media", "media": {"payload": WHOLE, "chunk": chunk, "track": "inbound"}}
    assert protocol().decode(json.dumps(frame)) == CallerAudio(7, WHOLE)


@pytest.mark.parametrize("chunk", [None, [], {}, "seven", -1, "1e400", "nan", True, 1e300, "9" * 30])
@pytest.mark.parametrize("track", ["inbound", "inbound_track", None, 5, []])
def test_audio_is_audio_whatever_stands_beside_it(chunk: object, track: object) -> None:
    frame = {"event": "media", "media": {"payload": WHOLE, "chunk": chunk, "track": track}}
    read = TelnyxMediaProtocol().decode(json.dumps(frame))
    assert isinstance(read, CallerAudio)
    assert read.payload == WHOLE


@pytest.mark.parametrize(
    ("message", "shape"),
    [
        ('{"event":"media","media":{"payload":7}}', "{event: text of 5, media: {payload: number}}"),
        ('{"event":5,"x":[1,2],"y":null,"z":true}', "{event: number, x: list of 2, y: null, z: yes or no}"),
        ("secret words", "12 characters that are no JSON"),
        (b"\x00\x01", "2 bytes"),
        ("[" * 10_000, "10000 characters"),
    ],
)
def test_a_shape_tells_nothing_that_anybody_said(message: str | bytes, shape: str) -> None:
    assert shape_of(message) == shape


def test_a_shape_is_short_whatever_there_is() -> None:
    assert len(shape_of('{"' + '": 1, "'.join(f"name {number}" for number in range(200)) + '": 1}')) == 200
