"""A session that is changed while the server has not confirmed it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from callflow.contracts.engine import SessionContext
from callflow.contracts.secret_text import NONE
from callflow.engines.common.account import Account
from callflow.engines.common.channel import Channel
from callflow.engines.openai_realtime import session_config
from callflow.engines.openai_realtime.server_events import decode
from callflow.engines.openai_realtime.session import Session
from callflow.sandbox.openai_realtime import Quirks
from callflow.sandbox.openai_realtime import config as emulated
from tests.configs import realtime_config


class Sent:
    """A socket that keeps what is sent."""

    def __init__(self) -> None:
        self.sessions: list[dict[str, Any]] = []

    def put(self, text: str) -> None:
        self.sessions.append(json.loads(text)["session"])


def test_a_change_before_the_confirmation_is_sent_after_it_and_only_then() -> None:
    channel, sent = Channel(SessionContext("call"), lambda event: None, NONE), Sent()
    channel.socket = sent  # type: ignore[assignment]
    session = Session(realtime_config(voice="marin"), SessionContext("call"), Account(), channel)
    session.change({"voice": "ash"}, spoken=False)
    session.request()
    assert sent.sessions[0]["audio"]["output"]["voice"] == "ash"
    assert session.change({"instructions": "Be brief."}, spoken=False) == []
    assert len(sent.sessions) == 1
    session.confirmed(decode(b'{"type":"session.updated","session":{}}'))
    session.begin()
    assert sent.sessions[1:] == [{"type": "realtime", "instructions": "Be brief."}]
    assert session.is_refusal("session-later"), "it is one of our updates, which may be refused"


def test_turn_detection_that_is_switched_off_before_the_confirmation_is_off_after_it() -> None:
    channel, sent = Channel(SessionContext("call"), lambda event: None, NONE), Sent()
    channel.socket = sent  # type: ignore[assignment]
    session = Session(realtime_config(), SessionContext("call"), Account(), channel)
    session.request()
    session.turn_detection = False
    session.confirmed(decode(b'{"type":"session.updated","session":{}}'))
    session.begin()
    assert sent.sessions[1]["audio"]["input"]["turn_detection"]["create_response"] is False


def test_the_refusal_of_one_update_undoes_nothing_of_the_others() -> None:
    """Else the agent goes on in its old role, where a response has instructions of its own."""
    channel, sent = Channel(SessionContext("call"), lambda event: None, NONE), Sent()
    channel.socket = sent  # type: ignore[assignment]
    one = realtime_config(vad_threshold=0.5, vad_silence_ms=500, instructions="Be brief.")
    session = Session(one, SessionContext("call"), Account(), channel)
    session.is_ready = True
    for changes in (
        {"vad_threshold": 7.0, "speed": 9.0},
        {"instructions": "You are a pirate."},
        {"vad_threshold": 8.0, "vad_silence_ms": 300},
        {"vad_silence_ms": 400},
    ):
        session.change(changes, spoken=False)
    session.refused("invalid_value", "too much", None)
    assert session.config == dataclasses.replace(
        one, instructions="You are a pirate.", vad_threshold=8.0, vad_silence_ms=400
    )
    session.confirmed(decode(b'{"type":"session.updated","session":{}}'))
    session.refused("invalid_value", "too much", None)
    assert session.config == dataclasses.replace(one, instructions="You are a pirate.", vad_silence_ms=400)
    session.refused("invalid_value", "too much", None)
    assert session.config == dataclasses.replace(one, instructions="You are a pirate.")


SET: dict[str, Any] = {
    "transcription_model": "gpt-transcribe", "transcription_language": "de", "transcription_prompt": "Names.",
    "transcription_logprobs": True, "reasoning_effort": "high", "parallel_tool_calls": "off",
    "noise_reduction": "near_field",
    "vad_idle_timeout_ms": 6000, "max_output_tokens": 500, "truncation": 0.8, "speed": 1.2,
}  # fmt: skip
TAKEN_AWAY: list[tuple[dict[str, Any], str, Any]] = [
    ({"transcription_language": ""}, "audio.input.transcription.language", None),
    ({"transcription_prompt": ""}, "audio.input.transcription.prompt", None),
    ({"transcription_language": "", "transcription_prompt": ""}, "audio.input.transcription.prompt", None),
    ({"transcription_model": "whisper-1", "transcription_prompt": ""}, "audio.input.transcription.prompt", None),
    ({"transcription_model": ""}, "audio.input.transcription", None),
    ({"transcription_logprobs": False}, "include", None),
    ({"reasoning_effort": "default"}, "reasoning", {"effort": "low"}),
    ({"parallel_tool_calls": "default"}, "parallel_tool_calls", True),
    ({"noise_reduction": "none"}, "audio.input.noise_reduction", None),
    ({"vad_idle_timeout_ms": 0}, "audio.input.turn_detection.idle_timeout_ms", None),
    ({"max_output_tokens": "inf"}, "max_output_tokens", "inf"),
    ({"truncation": "auto"}, "truncation", "auto"),
    ({"speed": 1.0}, "audio.output.speed", 1.0),
]


@pytest.mark.parametrize(("changes", "path", "expected"), TAKEN_AWAY)
def test_what_a_change_takes_away_is_gone_at_the_server(changes: dict[str, Any], path: str, expected: Any) -> None:
    """A server keeps what an update does not name."""
    config, brief = realtime_config(model="gpt-realtime-2.1", **SET), SessionContext("call")
    held = emulated.defaults("s", config.model, 0, Quirks(), transcription=False)
    held = emulated.updated(held, session_config.session(config, brief), Quirks(), voice_locked=False)
    partial, new, left_out = session_config.changed(config, brief, changes, spoken=True)
    assert left_out == []
    held = emulated.updated(held, partial, Quirks(), voice_locked=True)
    found: Any = held
    for name in path.split("."):
        found = found.get(name)
    assert found == expected
    wanted = emulated.defaults("s", config.model, 0, Quirks(), transcription=False)
    wanted |= {name: value for name, value in session_config.OF_REASONING.items() if name in held}
    wanted = emulated.updated(wanted, session_config.session(new, brief), Quirks(), voice_locked=False)
    assert held == wanted, "it is not as if it had begun so"


def test_tracing_that_is_on_cannot_be_switched_off_and_the_rest_of_the_change_is_made() -> None:
    config, brief = realtime_config(tracing="auto"), SessionContext("call")
    wanted = {"tracing": "off", "instructions": "New."}
    partial, new, left_out = session_config.changed(config, brief, wanted, spoken=False)
    assert left_out == ["tracing cannot be changed once it is on"]
    assert partial == {"type": "realtime", "instructions": "New."}
    assert new.tracing == "auto"
    _, new, left_out = session_config.changed(config, brief, wanted, spoken=False, begun=False)
    assert (new.tracing, left_out) == ("off", []), "a session that was not asked for yet begins without"
