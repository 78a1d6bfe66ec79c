"""Who is shut off from whom: hold and mute are apart, and the relay obeys both."""

from __future__ import annotations

import base64

from callflow.media.audio_gates import AudioGates, silence
from callflow.media.g711 import ULAW_SILENCE


def test_hold_and_mute_are_apart() -> None:
    gates = AudioGates()
    assert gates.is_open
    gates.mute("agent", True)
    assert (gates.caller_is_shut, gates.agent_is_shut, gates.muted) == (False, True, ["agent"])
    gates.hold(True)
    assert (gates.caller_is_shut, gates.agent_is_shut) == (True, True)
    gates.mute("agent", False)
    assert gates.agent_is_shut, "the caller is still on hold"
    gates.hold(False)
    assert gates.is_open
    gates.mute("caller", True)
    gates.mute("caller", True)
    assert (gates.caller_is_shut, gates.agent_is_shut, gates.is_open) == (True, False, False)
    gates.mute("caller", False)
    assert gates.is_open


def test_silence_has_the_length_of_the_frame() -> None:
    payload, audio = silence(160)
    assert audio == bytes([ULAW_SILENCE]) * 160 == base64.b64decode(payload)
