"""How loud a voice is shown."""

from __future__ import annotations

from callflow.media.voice_levels import VoiceLevels
from callflow.sandbox.common.phone import tone
from tests.e2e.talk import noise


def test_silence_has_no_level_and_a_loud_voice_nearly_a_whole_one() -> None:
    levels = VoiceLevels()
    levels.caller(b"\xff" * 160)
    levels.agent(b"\x7f" * 160)
    assert levels.take() == (0.0, 0.0)
    levels.caller(b"\x80" * 160)
    levels.agent(b"\x00" * 160)
    assert levels.take() == (1.0, 1.0), "full scale"


def test_a_tone_and_a_noise_are_seen_in_every_frame() -> None:
    for sound in (tone(200), noise(200, 1)):
        levels = VoiceLevels()
        for at in range(0, len(sound), 160):
            levels.agent(sound[at : at + 160])
            assert levels.take()[1] > 0.4


def test_the_loudest_moment_since_the_last_look_is_told_once() -> None:
    levels = VoiceLevels()
    levels.caller(tone(20))
    levels.caller(b"\xff" * 160)
    levels.caller(b"")
    loud, _ = levels.take()
    assert loud > 0.4
    assert levels.take() == (0.0, 0.0)
