"""What is asked of the vendor for a client secret, and what is left out of it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from callflow.contracts.errors import SessionRefused
from callflow.engines.openai_realtime.client_secrets import read_request
from callflow.sandbox.openai_realtime import config
from callflow.sandbox.openai_realtime.faults import Quirks


FULL: dict[str, Any] = {
    "type": "realtime", "model": "gpt-realtime-2.1", "instructions": "Be kind.", "output_modalities": ["audio"],
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000}, "noise_reduction": {"type": "far_field", "strength": 0.5},
            "transcription": {"model": "gpt-transcribe", "keywords": ["taxi"], "languages": ["en"]},
            "turn_detection": {
                "type": "server_vad", "threshold": 0.4, "prefix_padding_ms": 1, "silence_duration_ms": 2,
                "idle_timeout_ms": 6000, "create_response": False, "interrupt_response": False,
            },
        },
        "output": {"format": {"type": "audio/pcma"}, "voice": {"id": "voice_1"}, "speed": 1.2},
    },
    "tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "function", "name": "f"},
    "parallel_tool_calls": False, "reasoning": {"effort": "high"}, "max_output_tokens": 7,
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.8}, "tracing": {"workflow_name": "w"},
    "include": ["item.input_audio_transcription.logprobs"],
}  # fmt: skip


LAST_DAY = date(2026, 11, 30)
USUAL: dict[str, Any] = {"model": "usual", "instructions": "Take calls.", "seconds": 600, "today": LAST_DAY}


def secret_request(session: Any, *, today: date = LAST_DAY, **more: Any) -> tuple[dict[str, Any], list[str]]:
    body, warnings = read_request({"session": session, **more}, **{**USUAL, "today": today})
    return body["session"], warnings


def test_every_field_of_the_api_goes_on_unchanged_and_the_emulator_takes_all() -> None:
    assert secret_request(FULL) == (FULL, [])
    usual = config.defaults("sess_1", FULL["model"], 1, Quirks(), transcription=False)
    config.updated(usual, FULL, Quirks(), voice_locked=False)
    assert set(FULL) | {"prompt"} == set(config._SESSION["realtime"].__closure__[0].cell_contents)  # type: ignore[index]
    listens = {"type": "transcription", "audio": {"input": FULL["audio"]["input"]}, "include": FULL["include"]}
    assert secret_request(listens) == (listens, [])


def test_names_of_earlier_systems_go_to_their_places() -> None:
    flat = {
        "instructions": "x", "voice": "cedar", "modalities": ["text", "audio"], "temperature": 0.8, "speed": 0.9,
        "turn_detection": {"type": "server_vad", "semantic": True, "threshold": 0.3}, "noise_reduction": "near_field",
        "input_audio_transcription": {"enabled": True, "model": "whisper-1", "logprobs": True, "include_segments": 1},
        "input_audio_format": "g711_ulaw", "output_audio_format": {"type": "audio/pcm"}, "max_output_tokens": None,
    }  # fmt: skip
    session, warnings = secret_request(flat, server={"url": "https://x.example"})
    assert session == {
        "type": "realtime", "model": "usual", "instructions": "x", "output_modalities": ["audio"],
        "audio": {
            "input": {
                "turn_detection": {"type": "semantic_vad"}, "noise_reduction": {"type": "near_field"},
                "transcription": {"model": "whisper-1"}, "format": {"type": "audio/pcmu"},
            },
            "output": {"voice": "cedar", "speed": 0.9, "format": {"type": "audio/pcm", "rate": 24000}},
        },
        "max_output_tokens": "inf", "include": ["item.input_audio_transcription.logprobs"],
    }  # fmt: skip
    left_out = ("server ", "session.temperature", "include_segments", "only audio", "turn_detection.threshold")
    assert len(warnings) == len(left_out)
    for each in left_out:
        assert any(each in line for line in warnings), each


def test_what_is_off_is_null_and_a_prompt_counts_as_instructions_while_there_are_some() -> None:
    off = {"turn_detection": {"type": "none"}, "noise_reduction": {"type": "none"}, "transcription": {"enabled": False}}
    session, warnings = secret_request({**off, "prompt": {"id": "pmpt_1", "version": 2}})
    assert session["audio"]["input"] == dict.fromkeys(off)
    assert session["prompt"] == {"id": "pmpt_1", "version": "2"}
    assert [line.split("; ")[0] for line in warnings] == ["session.prompt is sent"]
    nested, warnings = secret_request(
        {"instructions": "x", "voice": "cedar", "audio": {"output": {"voice": "marin", "pitch": 1}}}
    )
    assert nested["audio"]["output"] == {"voice": "marin"}
    assert len(warnings) == 2


@pytest.mark.parametrize(
    ("given", "instructions"),
    [({}, "Take calls."), ({"instructions": " "}, "Take calls."), ({"instructions": "x"}, "x")],
)
def test_a_prompt_that_is_no_more_is_left_out_and_the_session_has_instructions_all_the_same(
    given: dict[str, Any], instructions: str
) -> None:
    """What the vendor refuses for certain is not sent to it."""
    stored = {**given, "prompt": {"id": "pmpt_1", "version": 2, "variables": {"a": "b"}}}
    session, warnings = secret_request(stored, today=LAST_DAY + timedelta(days=1))
    assert "prompt" not in session
    assert session["instructions"] == instructions
    (line,) = warnings
    assert line.startswith("session.prompt is left out")
    assert ("of coming calls" in line) is (instructions != "x")
    usual = config.defaults("sess_1", FULL["model"], 1, Quirks(prompts=False), transcription=False)
    config.updated(usual, {**session, "model": FULL["model"]}, Quirks(prompts=False), voice_locked=False)
    with pytest.raises(SessionRefused, match="prompt reference"):
        secret_request({"prompt": {"id": ""}}, today=LAST_DAY + timedelta(days=1))


@pytest.mark.parametrize(
    ("given", "where"),
    [
        *(({"voice": name}, "audio.output.voice") for name in ("fable", "nova", "onyx")),
        ({"audio": {"output": {"voice": "onyx", "speed": 1.1}}}, "audio.output.voice"),
        ({"noise_reduction": "custom"}, "audio.input.noise_reduction"),
        ({"audio": {"input": {"noise_reduction": {"type": "custom", "strength": 2}}}}, "audio.input.noise_reduction"),
    ],
)
def test_a_voice_and_a_noise_profile_that_the_model_has_not_are_left_out(given: dict[str, Any], where: str) -> None:
    session, warnings = secret_request({"instructions": "x", **given})
    assert [line.split(" ")[0] for line in warnings] == [f"session.{where}"]
    side, _, name = where.removeprefix("audio.").partition(".")
    assert name not in session["audio"][side]
    usual = config.defaults("sess_1", "usual", 1, Quirks(), transcription=False)
    config.updated(usual, session, Quirks(), voice_locked=False)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "Provide either instructions or a prompt reference."),
        ({"session": {"instructions": " "}}, "Provide either instructions or a prompt reference."),
        ({"session": []}, "session must be an object"),
        ({"session": {"type": "live"}}, "session.type"),
        ({"session": FULL, "expires_after": 9}, "expires_after must be"),
        ({"session": FULL, "expires_after": {"anchor": "now"}}, "anchor"),
        *(({"session": FULL, "expires_after": {"seconds": n}}, "10 to 7200") for n in (9, 7201, True, "60", 60.5)),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_in_words(body: Any, why: str) -> None:
    with pytest.raises(SessionRefused) as refused:
        read_request(body, **USUAL)
    assert why in refused.value.problems[0]


def test_how_long_it_lives() -> None:
    for given, seconds in (({}, 600), ({"seconds": 10}, 10), ({"seconds": 7200.0}, 7200)):
        body = read_request({"session": FULL, "expires_after": given}, **USUAL).body
        assert body["expires_after"] == {"anchor": "created_at", "seconds": seconds}
